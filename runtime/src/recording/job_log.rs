//! The job log: a line for each execution, as CSV or as JSON. It knows no more of a file than that it is written behind what is there.

use std::path::Path;
use std::sync::Arc;

use super::csv::{push_number, push_seconds, push_text};
use super::facts::Facts;
use super::json::push_string;
use crate::error::{Error, Result};
use crate::journal::{Writer, open_anew};

/// The columns, in their order.
const COLUMNS: [&str; 17] = [
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
    "send_bytes",
    "receive_bytes",
    "exitval",
    "signal",
    "starttime",
];

/// The form of the lines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineForm {
    Csv,
    JsonLines,
}

/// A value of a column.
enum Value<'a> {
    Unknown,
    Number(u64),
    Seconds(u64),
    Text(&'a str),
}

/// The job log of one call.
pub(super) struct JobLog {
    form: LineForm,
    function: &'static str,
    /// When the call started, in nanoseconds since 1970.
    started_at: u64,
    writer: Arc<Writer>,
    lines: Vec<u8>,
}

impl JobLog {
    /// Opens the job log of a call of a function, and empties it.
    ///
    /// # Errors
    ///
    /// There can be no such file, or another call writes it.
    pub(super) fn create(path: &Path, function: &'static str, started_at: u64) -> Result<Self> {
        let file = open_anew(path).map_err(|error| {
            Error::invalid_option(format!("could not write the `job_log` {}: {error}", path.display()))
        })?;
        let is_json = path.extension().is_some_and(|extension| extension == "jsonl");
        let form = if is_json { LineForm::JsonLines } else { LineForm::Csv };
        let writer = Arc::new(Writer::of_log(path, file));
        let lines = if is_json { Vec::new() } else { format!("{}\n", COLUMNS.join(",")).into_bytes() };
        Ok(Self { form, function, started_at, writer, lines })
    }

    /// Adds a line.
    pub(super) fn add(&mut self, facts: &Facts<'_>) {
        let number = |number: Option<u64>| number.map_or(Value::Unknown, Value::Number);
        let seconds = |nanos: Option<u64>| nanos.map_or(Value::Unknown, Value::Seconds);
        let ending = facts.ending;
        let code = |code: Option<i32>| number(code.and_then(|code| u64::try_from(code).ok()));
        let values = [
            Value::Number(facts.index as u64),
            Value::Text(self.function),
            number(facts.worker.map(u64::from)),
            number(facts.pid.map(u64::from)),
            facts.node.map_or(Value::Unknown, Value::Text),
            Value::Number(u64::from(facts.attempt)),
            seconds(facts.times.start),
            seconds(facts.times.duration),
            seconds(facts.times.cpu),
            number(facts.peak_bytes),
            Value::Text(ending.outcome.name()),
            Value::Text(&ending.detail),
            number(facts.argument_bytes),
            number(facts.result_bytes),
            code(ending.exit_code),
            code(ending.signal),
            seconds(facts.times.start.map(|start| self.started_at.saturating_add(start))),
        ];
        match self.form {
            LineForm::Csv => push_csv(&mut self.lines, &values),
            LineForm::JsonLines => push_json(&mut self.lines, &values),
        }
    }

    /// Has the lines so far written soon.
    pub(super) fn flush(&mut self) {
        if !self.lines.is_empty() {
            self.writer.add(&self.lines);
            self.lines.clear();
        }
    }

    /// Writes all lines, and ends.
    pub(super) fn close(&mut self) {
        self.flush();
        self.writer.close();
    }
}

fn push_csv(line: &mut Vec<u8>, values: &[Value<'_>]) {
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            line.push(b',');
        }
        match *value {
            Value::Unknown => {}
            Value::Number(number) => push_number(line, number),
            Value::Seconds(nanos) => push_seconds(line, nanos),
            Value::Text(text) => push_text(line, text),
        }
    }
    line.push(b'\n');
}

fn push_json(line: &mut Vec<u8>, values: &[Value<'_>]) {
    for (at, (value, column)) in values.iter().zip(COLUMNS).enumerate() {
        line.extend_from_slice(if at == 0 { b"{\"" } else { b",\"" });
        line.extend_from_slice(column.as_bytes());
        line.extend_from_slice(b"\":");
        match *value {
            Value::Unknown => line.extend_from_slice(b"null"),
            Value::Number(number) => push_number(line, number),
            Value::Seconds(nanos) => push_seconds(line, nanos),
            Value::Text(text) => push_string(line, text),
        }
    }
    line.extend_from_slice(b"}\n");
}
