//! The section about the cost of recording a map, and that about keeping tasks apart.

use std::fmt::Write as _;

use super::numbers::{cell, ratio, time, verdict};
use crate::figures::Measures;
use crate::measures::{RECORDED, STARTED};

/// The options that write about each task.
pub fn recorded(measures: &Measures) -> String {
    let mut section = String::from(
        "## Recording\n\nA map of 100,000 tasks of 10 µs that is recorded, as a ratio to the same map without, its neighbour in the same \
         process. No task fails, so `save_failed` writes nothing.\n\n| option | ratio | aim | the aim is |\n|---|--:|--:|---|\n",
    );
    for (option, aim) in RECORDED {
        let figure = measures.get(&format!("recorded {option}"));
        let is_reached = aim.map_or("–", |aim| verdict(figure, aim));
        let _ = writeln!(section, "| `{option}` | {} | {} | {is_reached} |", cell(figure, ratio), cell(aim, ratio));
    }
    section
}

/// A process for each task, and a sandbox.
pub fn apart(measures: &Measures) -> String {
    let mut section = String::from(
        "## Untrusted input\n\nFrom the building of a pool of one worker to its first output, without a sandbox and with \
         `Sandbox::strict()`, which may take 600 µs more; and how many tasks a second have a process of their own (`fresh_process`) on 2 \
         workers, where the aim is 1,500.\n\n\
         | start method | plain | in a sandbox | more | the aim is | a process for each task, a second | the aim is |\n\
         |---|--:|--:|--:|---|--:|---|\n",
    );
    for (name, method) in STARTED {
        let of = |what: &str| measures.get(&format!("apart {what}"));
        let (plain, inside) = (of(&format!("start {name} plain")), of(&format!("start {name} sandbox")));
        let more = inside.zip(plain).map(|(inside, plain)| (inside - plain).max(0.0));
        // In parts of the aim.
        let is_start_reached = verdict(more.map(|more| more / 600e-6), 1.0);
        let fresh = of(&format!("fresh {name}"));
        let is_rate_reached = verdict(fresh.map(|seconds| seconds * 1500.0), 1.0);
        let rate = cell(fresh.map(|seconds| 1.0 / seconds), |rate| format!("{rate:.0}"));
        let [plain, inside, more] = [plain, inside, more].map(|figure| cell(figure, time));
        let _ = writeln!(
            section,
            "| {method:?} | {plain} | {inside} | {more} | {is_start_reached} | {rate} | {is_rate_reached} |",
        );
    }
    let [plain, inside] = ["plain", "sandbox"].map(|kind| cell(measures.get(&format!("apart call {kind}")), time));
    let _ = writeln!(section, "\nOne call there and back takes {plain} without a sandbox, and {inside} in one.");
    section
}
