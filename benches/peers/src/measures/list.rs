//! The list of measures.

use super::{apart, break_even, cost, cpu, latency, load, memory, recorded, start, threads, warm};

/// How often a measure is taken.
#[derive(Clone, Copy, PartialEq)]
pub enum Often {
    /// In each run: the page shows medians.
    EachRun,
    /// What does not vary, or takes long.
    Once,
}

/// The measures, in the order they are taken.
pub const ALL: &[(&str, Often)] = &[
    ("latency", Often::EachRun),
    ("start", Often::EachRun),
    ("warm", Often::Once),
    ("recorded", Often::EachRun),
    ("apart", Often::Once),
    ("cost", Often::EachRun),
    ("break-even", Often::EachRun),
    ("load-tasks", Often::EachRun),
    ("load-callers", Often::EachRun),
    ("memory-peak", Often::EachRun),
    ("memory-flight", Often::EachRun),
    ("memory-worker", Often::Once),
    ("memory-growth", Often::Once),
    ("threads", Often::EachRun),
    ("cpu-crowd", Often::EachRun),
    ("cpu-waiting", Often::Once),
];

/// Takes one measure.
pub fn run(what: &str) {
    match what {
        "latency" => latency::run(),
        "start" => start::run(),
        // Only the time that the process itself takes is measured.
        start::NOTHING => {}
        "warm" => warm::run(),
        "recorded" => recorded::run(),
        "apart" => apart::run(),
        "cost" => cost::run(),
        "break-even" => break_even::run(),
        "load-tasks" => load::tasks(),
        "load-callers" => load::callers(),
        "memory-peak" => memory::peak(),
        "memory-flight" => memory::flight(),
        "memory-worker" => memory::worker(),
        "memory-growth" => memory::growth(),
        "threads" => threads::run(),
        "cpu-crowd" => cpu::crowd(),
        "cpu-waiting" => cpu::waiting(),
        other => panic!("no measure {other}"),
    }
}
