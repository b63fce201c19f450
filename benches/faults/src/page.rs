//! The page: how it was measured, on what, and the table.

use std::process::Command;

use crate::faults::{ALL, LIBRARIES, RUST};
use crate::python::Python;
use crate::runner::{LEFT_AFTER, Outcomes, RUNS, TIME_MAX, is_there};
use crate::task::{BAD, TASKS, WORKERS};
use crate::words;

pub fn page(outcomes: &Outcomes, python: &Python) -> String {
    format!(
        "# Faults of peers\n\n\
         This page shows how poolmap and other process pools behave when something goes wrong in one task of {TASKS}. `cargo run --release` in \
         benches/faults runs it all and writes this page; nothing here is edited by hand.\n\n{}\n{}\n{READING}",
        method(python),
        table(outcomes, python),
    )
}

fn method(python: &Python) -> String {
    let (hang, left) = (TIME_MAX.as_secs(), LEFT_AFTER.as_secs());
    let versions = LIBRARIES.iter().map(|library| version(library, python)).collect::<Vec<_>>().join(", ");
    format!(
        "- **A case** is {TASKS} tasks of 20 ms on a pool of {WORKERS} workers that have run tasks before; the one with index \
         {BAD} is bad. It runs in a process of its own, {RUNS} times; where the runs differ, the cell says how many did what. \
         Times are medians, and rough: other cases run at the same time.\n\
         - **Each task is asked for by itself**, in the way of the library that gives most: `pool_iter_unordered!` (poolmap), \
         `spawn` (procspawn), `apply_async` (Pool, mpire), `submit` (ProcessPoolExecutor, loky), `schedule` (pebble). \
         Everything else is as it comes.\n\
         - **Results** are those that are right. An **error** is that of the bad task, with its type's name (of poolmap and \
         procspawn, the name of its kind); what is **lost** are good tasks that gave an error.\n\
         - **Hangs**: the case had not ended after {hang} s, and was killed. **Left** are processes that ran {left} s after \
         their parent had ended, workers or a library's helpers.\n\
         - **Versions**: {versions}; Linux {}, {}.\n",
        said("uname", &["-r"]),
        said("rustc", &["--version"]),
    )
}

fn table(outcomes: &Outcomes, python: &Python) -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut header = vec!["fault".to_owned()];
    header.extend(LIBRARIES.map(str::to_owned));
    let mut table = row(header);
    table += &format!("|{}\n", "---|".repeat(1 + LIBRARIES.len()));
    for (fault, name, title) in ALL {
        let mut cells = vec![title.to_owned()];
        cells.extend(LIBRARIES.iter().map(|library| match outcomes.get(&(*library, name)) {
            Some(outcomes) => words::cell(fault, outcomes),
            None if is_there(library, python) => "not offered".to_owned(),
            None => "not installed".to_owned(),
        }));
        table += &row(cells);
    }
    table
}

/// What the cells do not say by themselves.
const READING: &str = "\
- A time limit is the library's own for each task, or a wait with an end and then a kill by the task's handle (procspawn). With \
Pool, ProcessPoolExecutor and loky a caller can give up waiting, but not end the task.
- A memory limit for workers, which would be one more row, is offered by none of these versions.
- Python's `exit` raises an exception, which a pool may catch; the other ends of a process cannot be caught. Rust's `exit` is \
one of those.
";

fn version(library: &str, python: &Python) -> String {
    match python.version(library) {
        Some(version) if ["Pool", "ProcessPoolExecutor"].contains(&library) => format!("{library} of Python {version}"),
        Some(version) => format!("{library} {version}"),
        None if RUST.contains(&library) => format!("{library} {}", locked(library)),
        None => format!("{library} is not installed"),
    }
}

/// The version of a crate, from the lock file.
fn locked(name: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let after = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).expect("it is a dependency").1;
    after.split_once('"').expect("a version ends").0
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
