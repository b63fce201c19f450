//! What a case says on its standard output, and what is understood of it.
//!
//! 1. A line is said as soon as it is known, so that what came before a hang is known too.
//! 2. `ready`: the workers have run tasks, and the fault comes next.
//! 3. `result INDEX`, `wrong INDEX`, `error INDEX NAME`: what a task gave: its result, a wrong one, or an error of that type.
//! 4. `failure NAME`: the call as a whole failed.
//! 5. `done SECONDS`: every task is answered, so long after the first was given. What follows is the end of the pool.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::Duration;

use crate::task;

pub fn ready() {
    say("ready");
}

pub fn result(index: usize, value: usize) {
    let right = value == task::expected(index);
    say(&format!("{} {index}", if right { "result" } else { "wrong" }));
}

pub fn error(index: usize, name: &str) {
    say(&format!("error {index} {name}"));
}

pub fn failure(name: &str) {
    say(&format!("failure {name}"));
}

pub fn done(took: Duration) {
    say(&format!("done {}", took.as_secs_f64()));
}

fn say(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("the runner reads it");
}

/// All that a case has said.
#[derive(Default)]
pub struct Report {
    pub is_ready: bool,
    pub results: BTreeSet<usize>,
    pub wrong: BTreeSet<usize>,
    /// The errors of tasks, by their type.
    pub errors: BTreeMap<String, BTreeSet<usize>>,
    pub failure: Option<String>,
    pub seconds: Option<f64>,
}

impl Report {
    pub fn read(text: &str) -> Self {
        let mut report = Self::default();
        for line in text.lines() {
            let number = |word: &str| word.parse().expect("an index is a number");
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["ready"] => report.is_ready = true,
                ["result", index] => drop(report.results.insert(number(index))),
                ["wrong", index] => drop(report.wrong.insert(number(index))),
                ["error", index, name] => drop(report.errors.entry(name.to_owned()).or_default().insert(number(index))),
                ["failure", name] => report.failure = Some(name.to_owned()),
                ["done", seconds] => report.seconds = seconds.parse().ok(),
                _ => panic!("a case says no such thing: {line}"),
            }
        }
        report
    }
}
