//! The page from its first line to its last.

use std::io;
use std::path::Path;

use super::numbers::{cell, ratio, time};
use super::{apart, load, machine, model, own, plot, tables};
use crate::figures::{Figures, Measures};

/// Writes performance.md and performance.svg.
pub fn write(docs: &Path, figures: &Figures, measures: &Measures, runs: usize) -> io::Result<()> {
    std::fs::create_dir_all(docs)?;
    std::fs::write(docs.join("performance.svg"), plot::plot(figures))?;
    std::fs::write(docs.join("performance.md"), page(figures, measures, runs))
}

fn page(figures: &Figures, measures: &Measures, runs: usize) -> String {
    let sections = [
        opening(figures, measures),
        method(measures, runs),
        format!("## poolmap and its aims\n\n{AIMS}\n\n{}", tables::aims(figures)),
        format!(
            "## All libraries\n\n![the ratios of the table as points on a logarithmic scale](performance.svg)\n\n\
             {LIBRARIES}\n\n{}\n{PROCSPAWN}\n",
            tables::libraries(figures, runs),
        ),
        own::latency(measures),
        own::start(measures),
        own::warm(measures),
        apart::recorded(measures),
        apart::apart(measures),
        own::memory(measures),
        own::scaling(figures, measures),
        own::threads(measures),
        model::cost(measures),
        model::even_section(measures),
        load::section(measures),
        failures(measures),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn opening(figures: &Figures, measures: &Measures) -> String {
    let (reached, aims) = tables::reached(figures);
    let (serial, threads) = model::break_even(measures);
    format!(
        "# Performance\n\npoolmap runs tasks in worker processes, so that a crash costs one task and not the program. This page \
         says what that costs beside threads (rayon) and beside other libraries that use processes, on the same workloads, on \
         one machine, in one run.\n\n\
         - {reached} of the {aims} aims of the workloads are reached.\n\
         - A task of no work in a long map takes {}, and one call with a single task {}.\n\
         - Two worker processes beat a plain loop from tasks of {serial} of CPU time on, {threads}.\n\n{}",
        cell(figures.seconds("W2", "poolmap"), time),
        cell(measures.get("latency poolmap back median"), time),
        load::costs(measures),
    )
}

fn method(measures: &Measures, runs: usize) -> String {
    format!(
        "## How it is measured\n\n\
         `cargo run --release` in benches/peers runs it all and writes this page; nothing here is edited by hand. The Python side \
         needs `pip install loky joblib mpire numpy`.\n\n\
         - **A ratio, lower is better.** A figure is a library's time for a task divided by that of rayon in the same run: 1 is \
         as fast as threads, 2 takes twice as long, 0.5 half as long. (W8 is a whole process, and is divided by that of the \
         faster of crossmist and procspawn.)\n\
         - **Interleaved.** Runs: {runs}. In each, every workload goes over every library in turn, one at a time, each in a process of its \
         own. A workload of less than 2 s has 3 turns in each run (W8 31; Python one), of which the median counts. A figure \
         is the median of the ratios of the runs.\n\
         - **Two workers**, processes or threads. They have run a tenth of the workload before the clock starts, so pools, \
         allocators and caches are warm. The arguments exist before the clock starts, but for the copies that a \
         library needs, and for lazy items.\n\
         - **Slow libraries run fewer tasks**, and their time for one is compared; they run once only if that takes more than \
         10 s, and are ended after 20 s. A dash, with the reason, stands for what a library cannot do.\n\
         - **Machine**: {}; its load before the first run was {} (what else runs there disturbs the figures).\n\
         - **Versions**: {}.\n",
        machine::machine(),
        cell(measures.get("load"), ratio),
        machine::versions(),
    )
}

/// What rayon is given, and what an aim is.
const AIMS: &str = "An aim is what poolmap set itself to reach, and an aim that is missed is shown as missed. Rows that begin \
with a dash compare the row above with another form of the same work over threads; they have no aim, and are here so that the \
choice of the form hides nothing.

The input of rayon:

- W1, W2: a map takes iterators. rayon gets the same two, which it has to collect before it can go parallel: \
`xs.zip(ys).collect::<Vec<_>>().into_par_iter().map(..).collect::<Vec<_>>()`, in W1 with `.with_max_len(1)`.
- W2i: the base is that of W2, whose results are a Vec by then. rayon has no iterator in order; the others were not measured.
- W6: each task owns its block, so rayon clones it for each. The caller gets the blocks, takes their lengths and drops them; \
poolmap's come from `pool_iter_unordered!`, one by one.
- W7: slices that are sent are copies, so rayon's tasks own copies too: \
`par_chunks(..).map(|s| s.to_vec()).map(sum)`. In shared memory, and out of a caller's own Vec, it is plain `par_chunks`: \
threads need no copy, and poolmap pays for all that it does.
- W9, W9p: `par_iter` over the lines. W10: `par_bridge`, as the items are lazy.";

/// How the peers are called.
const LIBRARIES: &str = "Python's CPU time of a task is waited for by the clock, as an interpreter has no rounds to count: a \
worker that has to share its processor then loses nothing. Pool, ProcessPoolExecutor and mpire fork their workers, so that an \
array made before is shared with them; joblib maps large numpy arrays into memory by itself. numpy holds the arrays, \
and sums them several numbers at a time, which `iter().sum()` in Rust must not do: so Python can be faster than threads in W7b. \
W8 is the whole process, so Python's own start is a part of it.";

/// Why procspawn is called as it is.
const PROCSPAWN: &str = "procspawn has no map. Chunks by default are made by hand, each message under 200 KB. That is not for \
speed alone. Its `Pool::spawn` sends the arguments before it returns, and what does not fit into the socket's buffer (212,992 \
bytes by default) waits until a worker reads it; but a worker's result is handed over only when its handle is joined, by a \
channel that holds nothing, and until then that worker is given no further task. One thread with more such large messages on \
their way than there are workers therefore waits for itself, forever: the parent in `sendmsg`, its monitor threads in the \
hand-over, the workers without work. So W6 and W7, whose tasks are larger than the buffer, are called from four threads, \
each with one task on its way.";

/// Measures that did not end well.
fn failures(measures: &Measures) -> String {
    let lines: Vec<String> = measures.failures().map(|(measure, reason)| format!("- {measure}: {reason}\n")).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("## Not measured\n\n{}", lines.concat())
}
