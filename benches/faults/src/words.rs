//! What was seen of a case, in short words.

use crate::faults::Fault;
use crate::report::Report;
use crate::runner::{End, Outcome, RUNS};
use crate::task::{BAD, TASKS};

/// A cell of the table: what all runs of a case did; where they differ, how many did what.
pub fn cell(fault: Fault, outcomes: &[Outcome]) -> String {
    let mut ways: Vec<(String, Vec<f64>)> = Vec::new();
    for outcome in outcomes {
        let words = words(fault, outcome);
        if !ways.iter().any(|(known, _)| *known == words) {
            ways.push((words.clone(), Vec::new()));
        }
        let way = ways.iter_mut().find(|(known, _)| *known == words).expect("it was added");
        way.1.push(outcome.report.seconds.unwrap_or_default());
    }
    let all = ways.len() == 1;
    let cells = ways.into_iter().map(|(words, mut seconds)| {
        seconds.sort_by(f64::total_cmp);
        let words = words.replace(SECONDS, &format!("{:.1} s", seconds[seconds.len() / 2]));
        if all { words } else { format!("{words} ({} of {RUNS} runs)", seconds.len()) }
    });
    cells.collect::<Vec<_>>().join("; ")
}

/// Stands for the time that the tasks took, by which runs that did the same differ.
const SECONDS: &str = "{seconds}";

fn words(fault: Fault, Outcome { report, end, left }: &Outcome) -> String {
    if !report.is_ready {
        return format!("does not start{}", ending(*end));
    }
    if fault == Fault::ParentKilled && *end == End::Signal(9) {
        return format!("{} left", count(*left, "process", "es"));
    }
    let mut words = answers(report);
    match (report.seconds.is_some(), *end) {
        (true, End::Code(0)) => words += &format!(" in {SECONDS}"),
        (true, End::None) => words += &format!(" in {SECONDS}, **but the pool's end hangs**"),
        (true, end) => words += &format!(" in {SECONDS}{}", ending(end)),
        (false, End::None) => words = format!("**hangs** after {words}"),
        (false, end) => words += &ending(end),
    }
    if *left > 0 {
        words += &format!("; {} left", count(*left, "process", "es"));
    }
    words
}

/// Results and errors: that of the bad task, and those of tasks that others lost with it.
fn answers(report: &Report) -> String {
    let results = report.results.len();
    let mut parts = Vec::new();
    if let ([(name, tasks)], 0) = (&report.errors.iter().collect::<Vec<_>>()[..], results)
        && tasks.len() == TASKS
    {
        return format!("all lost: `{name}`");
    }
    parts.push(count(results, "result", "s"));
    if !report.wrong.is_empty() {
        parts.push(format!("{} wrong", report.wrong.len()));
    }
    for (name, tasks) in &report.errors {
        let lost = tasks.iter().filter(|task| **task != BAD).count();
        parts.push(match (lost, tasks.contains(&BAD)) {
            (0, _) => format!("1 error: `{name}`"),
            (lost, true) => format!("1 error and {lost} lost: `{name}`"),
            (lost, false) => format!("{lost} lost: `{name}`"),
        });
    }
    if let Some(name) = &report.failure {
        parts.push(format!("the call fails: `{name}`"));
    }
    parts.join(", ")
}

/// How the parent itself came to an end that it should not have.
fn ending(end: End) -> String {
    match end {
        End::Code(0) | End::None => String::new(),
        // What Rust's runtime exits with after a panic of the main thread.
        End::Code(101) => ", **the parent panics**".to_owned(),
        End::Code(code) => format!(", **the parent exits with {code}**"),
        End::Signal(signal) => format!(", **the parent is ended by signal {signal}**"),
    }
}

fn count(n: usize, one: &str, plural: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { plural })
}
