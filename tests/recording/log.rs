//! A job log, as a test reads it.

use std::collections::BTreeMap;
use std::path::Path;

/// The columns of the contract, in their order.
pub(crate) const COLUMNS: [&str; 12] = [
    "index",
    "function",
    "worker",
    "pid",
    "node",
    "attempt",
    "start_s",
    "duration_s",
    "cpu_s",
    "peak_bytes",
    "outcome",
    "detail",
];

/// A line, by its columns.
#[derive(Clone, Debug)]
pub(crate) struct Line(BTreeMap<String, String>);

impl Line {
    pub(crate) fn text(&self, column: &str) -> &str {
        self.0.get(column).unwrap_or_else(|| panic!("there is no column {column}"))
    }

    /// A number that is there.
    pub(crate) fn number(&self, column: &str) -> f64 {
        self.text(column).parse().unwrap_or_else(|_| panic!("{column} is no number in {self:?}"))
    }

    pub(crate) fn index(&self) -> usize {
        self.text("index").parse().unwrap()
    }
}

/// Reads a log by its ending.
pub(crate) fn read(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        return text.lines().map(of_json).collect();
    }
    let mut records = records(&text).into_iter();
    let header = records.next().expect("there is a header");
    assert_eq!(header[..COLUMNS.len()], COLUMNS);
    let line = |values: Vec<String>| {
        assert_eq!(values.len(), header.len(), "{values:?}");
        Line(header.iter().cloned().zip(values).collect())
    };
    records.map(line).collect()
}

fn of_json(line: &str) -> Line {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    Line(value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect())
}

/// The records of a text as RFC 4180 has them.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut fields, mut field, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            '\n' if !is_quoted => {
                fields.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut fields));
            }
            other => field.push(other),
        }
    }
    assert!(field.is_empty() && fields.is_empty(), "the last line has no end");
    records
}
