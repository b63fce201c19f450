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
    let of = |what: &str| measures.get(&format!("apart {what}"));
    let mut section = String::from(
        "## Untrusted input\n\nHow long a worker takes to start, without a sandbox and with `Sandbox::strict()`, which may take 600 µs more: \
         the first of a pool, from the building of the pool to its first output, and one that follows (`Pool::resize`). For the first the \
         filter of system calls is compiled and the namespaces are made.\n\n\
         | start method | worker | plain | in a sandbox | more | the aim is |\n|---|---|--:|--:|--:|---|\n",
    );
    for (name, method) in STARTED {
        for (worker, what) in [("the first", "start"), ("a further one", "further")] {
            let [plain, inside] = ["plain", "sandbox"].map(|kind| of(&format!("{what} {name} {kind}")));
            let more = inside.zip(plain).map(|(inside, plain)| (inside - plain).max(0.0));
            // In parts of the aim.
            let is_reached = verdict(more.map(|more| more / 600e-6), 1.0);
            let [plain, inside, more] = [plain, inside, more].map(|figure| cell(figure, time));
            let _ = writeln!(section, "| {method:?} | {worker} | {plain} | {inside} | {more} | {is_reached} |");
        }
    }
    section.push_str(
        "\nTasks a second that have a process each (`fresh_process`) on 2 workers.\n\n| start method | tasks | aim | the aim is |\n\
         |---|--:|--:|---|\n",
    );
    for (name, method) in STARTED {
        let fresh = of(&format!("fresh {name}"));
        let is_reached = verdict(fresh.map(|seconds| seconds * 1500.0), 1.0);
        let rate = cell(fresh.map(|seconds| 1.0 / seconds), |rate| format!("{rate:.0}"));
        let _ = writeln!(section, "| {method:?} | {rate} | 1500 | {is_reached} |");
    }
    let [plain, inside] = ["plain", "sandbox"].map(|kind| cell(of(&format!("call {kind}")), time));
    let _ = writeln!(section, "\nOne call there and back takes {plain} without a sandbox, and {inside} in one.");
    section
}
