//! The page for those who come from Python: each row of its tables has an answer, and what the answer names runs in an example
//! of the same section. That the examples do run is for the tests of the documentation.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The page, which is two files.
const FILES: [&str; 2] = ["docs/coming_from_python.md", "docs/coming_from_python_continued.md"];
const TABLES: usize = 5;
/// Shorter words stand for what a reader fills in: `f`, `xs`, `T`.
const WORD_BYTES_MIN: usize = 3;

/// What stands below a heading.
#[derive(Default)]
struct Section<'p> {
    rows: Vec<&'p str>,
    /// The words of the code that is shown and runs.
    words: BTreeSet<String>,
}

/// Reads a page, and notes what is wrong with its examples.
fn sections<'p>(page: &'p str, faults: &mut Vec<String>) -> Vec<Section<'p>> {
    let mut sections = vec![Section::default()];
    let (mut in_example, mut in_import) = (false, false);
    for line in page.lines() {
        let section = sections.last_mut().unwrap();
        if let Some(marks) = line.strip_prefix("```") {
            in_example = !in_example;
            if !marks.is_empty() {
                faults.push(format!("an example that is marked `{marks}` may not run"));
            }
        } else if in_example {
            in_import |= line.starts_with("use ");
            let is_hidden = line == "#" || line.starts_with("# ");
            if !in_import && !is_hidden {
                section.words.extend(words(&code(line)).map(str::to_owned));
            }
            in_import &= !line.ends_with(';');
        } else if line.starts_with("# ") {
            sections.push(Section::default());
        } else if line.starts_with('|') && !line.starts_with("| Python |") && !line.starts_with("|---") {
            section.rows.push(line);
        }
    }
    sections
}

/// A line without its strings and its comment.
fn code(line: &str) -> String {
    let without_strings = line.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    without_strings.split("//").next().unwrap().to_owned()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.len() >= WORD_BYTES_MIN)
}

/// What an answer names: the words of its code, and the ends of its links to our items.
fn named(answer: &str) -> BTreeSet<&str> {
    let spans = answer.split('`').skip(1).step_by(2);
    let links = answer.split("](crate::").skip(1).filter(|link| !link.starts_with("guide::"));
    let items = links.map(|link| link.split(['(', ')']).next().unwrap().rsplit("::").next().unwrap());
    spans.chain(items).flat_map(words).collect()
}

/// What is wrong with a page.
fn faults(page: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for section in sections(page, &mut faults) {
        for row in section.rows {
            // A bar that is escaped is no end of a cell.
            let unescaped = row.replace(r"\|", " ");
            let cells: Vec<&str> = unescaped.split('|').map(str::trim).collect();
            let ["", python, answer, ""] = cells[..] else {
                faults.push(format!("a row has not two cells: {row}"));
                continue;
            };
            let named = named(answer);
            if python.is_empty() || answer.is_empty() {
                faults.push(format!("a row has an empty cell: {row}"));
            } else if named.is_empty() && !answer.starts_with("nothing") {
                faults.push(format!("an answer names no code, and does not begin with `nothing`: {row}"));
            }
            for name in named.into_iter().filter(|name| !section.words.contains(*name)) {
                faults.push(format!("`{name}` occurs in no example of its section: {row}"));
            }
        }
    }
    faults
}

#[test]
fn every_row_has_an_answer_and_every_answer_an_example() {
    let read = |file| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let page = FILES.map(read).join("\n");
    let faults = faults(&page);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let tables = sections(&page, &mut Vec::new()).into_iter().filter(|section| !section.rows.is_empty());
    assert_eq!(tables.count(), TABLES);
}

/// A page with one more row, and what is wrong with it.
fn faults_of_row(row: &str) -> Vec<String> {
    let example = "use poolmap::{imported};\n# hidden();\npool.shown(\"quoted\")?; // said";
    faults(&format!(
        "# One\n\n| Python | here |\n|---|---|\n{row}\n\n```\n{example}\n```\n\n# Two\n\n```\nelsewhere();\n```\n"
    ))
}

#[test]
fn a_row_that_lacks_something_is_named() {
    for (answer, fault) in [
        ("", "an empty cell"),
        ("see above", "names no code"),
        ("`pool_map!(f, xs)`", "`pool_map`"),
        ("[the page](crate::Pool::close)", "`close`"),
        ("[a function](crate::shared())", "`shared`"),
        ("`shown`, and the option `chunk_size = k`", "`chunk_size`"),
        ("`shown` or `imported`", "`imported`"),
        ("`hidden`", "`hidden`"),
        ("`quoted`", "`quoted`"),
        ("`said`", "`said`"),
        ("`elsewhere`", "`elsewhere`"),
    ] {
        let row = format!("| `p.f()` | {answer} |");
        let faults = faults_of_row(&row);
        assert!(faults.len() == 1 && faults[0].contains(fault) && faults[0].contains(&row), "{answer}: {faults:?}");
    }
}

#[test]
fn a_row_that_lacks_nothing_passes() {
    for answer in ["`pool.shown(f)`", "[`shown(\\|x\\| ..)`](crate::Pool::shown)", "nothing: there is no such thing"] {
        assert_eq!(faults_of_row(&format!("| `p.f()` | {answer} |")), [""; 0]);
    }
    assert_eq!(faults("```no_run\nshown();\n```\n").len(), 1);
}
