//! What was seen of a case, in short words.

use crate::faults::Fault;
use crate::report::Report;
use crate::runner::{End, Outcome, RUNS};
use crate::task::{BAD, TASKS};

/// A cell of the table: what all runs of a case did. Where only numbers differ it has their ranges; where more does, how many
/// did what.
pub fn cell(fault: Fault, outcomes: &[Outcome]) -> String {
    let mut ways: Vec<Vec<(String, f64)>> = Vec::new();
    for outcome in outcomes {
        let run = (words(fault, outcome), outcome.report.seconds.unwrap_or_default());
        match ways.iter_mut().find(|way| without_numbers(&way[0].0) == without_numbers(&run.0)) {
            Some(way) => way.push(run),
            None => ways.push(vec![run]),
        }
    }
    let all = ways.len() == 1;
    let cells = ways.into_iter().map(|mut way| {
        way.sort_by(|a, b| a.1.total_cmp(&b.1));
        let words = ranges(&way).replace(SECONDS, &format!("{:.1} s", way[way.len() / 2].1));
        if all { words } else { format!("{words} ({} of {RUNS} runs)", way.len()) }
    });
    cells.collect::<Vec<_>>().join("; ")
}

fn without_numbers(words: &str) -> Vec<Option<&str>> {
    words.split(' ').map(|word| word.parse::<usize>().is_err().then_some(word)).collect()
}

/// The words of runs that differ in numbers only, with the range of each number.
fn ranges(way: &[(String, f64)]) -> String {
    let range = |(place, word): (usize, &str)| {
        let numbers = way.iter().filter_map(|(run, _)| run.split(' ').nth(place)?.parse::<usize>().ok());
        match (numbers.clone().min(), numbers.max()) {
            (Some(least), Some(most)) if least != most => format!("{least} to {most}"),
            _ => word.to_owned(),
        }
    };
    way[0].0.split(' ').enumerate().map(range).collect::<Vec<_>>().join(" ")
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
