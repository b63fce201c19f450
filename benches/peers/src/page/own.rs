//! What is said of poolmap alone: latency, memory, many workers, the CPU time of waiting.

use std::fmt::Write as _;

use super::numbers::{cell, mebibytes, ratio, time, verdict};
use super::tables;
use crate::figures::{Figures, Measures};
use crate::measures::{FLIGHT_BYTES, FLIGHT_VALUES, METHODS, PRELOADED_BYTES, PRELOADED_WORKERS, STARTS};

/// The latency of a single task.
pub fn latency(measures: &Measures) -> String {
    let mut section = String::from(
        "## Latency\n\nOne call with one task of no work, `pool_map!(add, [1], [2])`, on a warm pool: from the call to its \
         result. Back to back the worker has no time to fall asleep; after 10 ms of sleep before each call it has to be \
         woken, and so has the parent. rayon's figure is a task handed to a thread and waited for.\n\n\
         | | back to back, median | p99 | after 10 ms of sleep, median | p99 |\n|---|--:|--:|--:|--:|\n",
    );
    for library in ["poolmap", "procspawn", "rayon"] {
        let _ = write!(section, "| {library} |");
        for figure in ["back median", "back p99", "paused median", "paused p99"] {
            let _ = write!(section, " {} |", cell(measures.get(&format!("latency {library} {figure}")), time));
        }
        section.push('\n');
    }
    section
}

/// How long workers take to start.
pub fn start(measures: &Measures) -> String {
    let mut section = String::from(
        "## Start\n\nThe time from the building of a pool until all its workers are ready, and until a map of as many tasks has \
         ended. The map needs only the first workers. For comparison: as many processes of the same program that end at once, until \
         the last has ended. The ratio compares the ready pool with them.\n\n\
         | workers | all ready | as many tasks done | as many processes | ratio |\n|--:|--:|--:|--:|--:|\n",
    );
    for (workers, _) in STARTS {
        let of = |what: &str| measures.get(&format!("start {workers} {what}"));
        let times = of("ready").zip(of("processes")).map(|(ready, processes)| ready / processes);
        let [ready, results, processes] = ["ready", "results", "processes"].map(|what| cell(of(what), time));
        let _ = writeln!(section, "| {workers} | {ready} | {results} | {processes} | {} |", cell(times, ratio));
    }
    section
}

/// How workers are made, and how soon a pool serves again.
pub fn warm(measures: &Measures) -> String {
    let mut section = String::from(
        "## Start methods\n\nA worker that is executed, and one that is a copy of a fork server (`StartMethod::ForkServer`). The aim for a \
         copy is 0.4 ms, and for tasks that have a process each 2,500 a second.\n\n\
         | start method | one more worker ready | 64 more | a process for each task, a second |\n|---|--:|--:|--:|\n",
    );
    for (name, method) in METHODS {
        let of = |what: &str| measures.get(&format!("warm {name} {what}"));
        let tasks = cell(of("task").map(|seconds| 1.0 / seconds), |rate| format!("{rate:.0}"));
        let _ = writeln!(section, "| {method:?} | {} | {} | {tasks} |", cell(of("one"), time), cell(of("all"), time));
    }
    let pss = measures.get("warm preloaded pss").map(|bytes| bytes / PRELOADED_BYTES as f64);
    let _ = writeln!(
        section,
        "\nWith 1 GiB preloaded, one more worker is ready after {}, and after {} where glibc takes huge pages \
         (`.env(\"GLIBC_TUNABLES\", \"glibc.malloc.hugetlb=1\")`). {PRELOADED_WORKERS} workers that have read all of it and their server \
         take {} times its size together (PSS), where the aim is once.\n\n\
         Four calls hang on a pool of four workers, and their futures are dropped (`abort_on_drop`): the next call has its output after {}, \
         where the aim is 200 ms.",
        cell(measures.get("warm preloaded one"), time),
        cell(measures.get("warm preloaded huge"), time),
        cell(pss, ratio),
        cell(measures.get("warm served"), time),
    );
    section
}

/// The memory of parent and workers.
pub fn memory(measures: &Measures) -> String {
    let mib = |mebibytes: u32| f64::from(mebibytes << 20);
    let tasks = measures.get("memory growth tasks").unwrap_or_default();
    let peak = measures.get("memory parent peak");
    let results = measures.get("memory flight results");
    let worker = measures.get("memory worker VmRSS");
    let growth =
        measures.get("memory growth parent").zip(measures.get("memory growth worker")).map(|(p, w)| p.max(w).max(0.0));
    let part = |name: &str| cell(measures.get(&format!("memory worker {name}")), mebibytes);
    format!(
        "## Memory\n\nResident memory as Linux counts it, shared memory included.\n\n\
         | what | figure | aim | the aim is |\n|---|--:|--:|---|\n\
         | the parent's peak in W10, a million items, over its pool's idle state | {} | 16 MiB | {} |\n\
         | the same while {} results of {} are read one by one, for each byte of one | {} | 2.00 | {} |\n\
         | the same while as many arguments of that size are made one by one, for each byte of one | {} | – | – |\n\
         | a worker before its first task | {} | 4 MiB | {} |\n\
         | more in a process after {:.0} million tasks than before them | {} | 1 MiB | {} |\n\n\
         With an idle pool the parent has {}. Of a worker's memory {} are its own, {} are pages of the program's file and of \
         libraries, which all processes share, and {} are memory shared with the parent. \
         `PEERS_GROWTH_TASKS=100000000` looks at the growth over more tasks.\n",
        cell(peak, mebibytes),
        verdict(peak, mib(16)),
        FLIGHT_VALUES,
        mebibytes(FLIGHT_BYTES as f64),
        cell(results, ratio),
        verdict(results, 2.0),
        cell(measures.get("memory flight arguments"), ratio),
        cell(worker, mebibytes),
        verdict(worker, mib(4)),
        tasks / 1e6,
        cell(growth, mebibytes),
        verdict(growth, mib(1)),
        cell(measures.get("memory parent idle"), mebibytes),
        part("RssAnon"),
        part("RssFile"),
        part("RssShmem"),
    )
}

/// More workers than processors, and pools that wait.
pub fn scaling(figures: &Figures, measures: &Measures) -> String {
    let mut section = format!(
        "## More workers than processors\n\nThe same workloads with 8 workers, as a ratio to 2 workers in the same run: none \
         may lose more than a tenth.\n\n{}\n\
         The parent's own CPU time for a task of no work, with 1,000 workers as a ratio to 2: it may be twice as much.\n\n\
         | | 2 workers | 1,000 workers | ratio | aim | the aim is |\n|---|--:|--:|--:|--:|---|\n",
        tables::crowded(figures),
    );
    for (kind, what) in [("chunks", "chunks by default"), ("single", "`chunk_size = 1`")] {
        let few = measures.get(&format!("crowd 2 {kind}"));
        let many = measures.get(&format!("crowd 1000 {kind}"));
        let times = many.zip(few).map(|(many, few)| many / few);
        let (few, many) = (cell(few, time), cell(many, time));
        let verdict = verdict(times, 2.0);
        let _ = writeln!(section, "| {what} | {few} | {many} | {} | 2.00 | {verdict} |", cell(times, ratio));
    }
    section.push_str(
        "\n## A pool that waits\n\nCPU time as a part of one processor, over 2 s. Less than 0.05 % counts as none.\n\n\
         | | parent | its workers together | aim | the aim is |\n|---|--:|--:|--:|---|\n",
    );
    let percent = |part: f64| format!("{:.2} %", part * 100.0);
    for (name, what, aim, shown) in
        [("long", "while its tasks sleep for 2 s", 0.01, "under 1 %"), ("idle", "without tasks", 0.0005, "0")]
    {
        let parent = measures.get(&format!("waiting {name} parent"));
        let workers = measures.get(&format!("waiting {name} workers"));
        // In parts of the aim: it is under it, and not at it.
        let most = parent.zip(workers).map(|(parent, workers)| (parent + workers) / aim);
        let (parent, workers) = (cell(parent, percent), cell(workers, percent));
        let _ = writeln!(section, "| {what} | {parent} | {workers} | {shown} | {} |", verdict(most, 0.99));
    }
    section
}

/// Tasks that use a library with threads of its own.
pub fn threads(measures: &Measures) -> String {
    let (all, shared) = (measures.get("threads all"), measures.get("threads shared"));
    let times = all.zip(shared).map(|(all, shared)| all / shared);
    format!(
        "## Libraries that start threads\n\nTasks on two workers that each use rayon, in 100 parallel sections of 80 µs of CPU time. rayon \
         starts a thread for each CPU, in each worker. A pool tells it to share the CPUs (`threads_per_worker`).\n\n\
         | a thread for each CPU in each worker, a task | the CPUs shared, a task | ratio |\n|--:|--:|--:|\n| {} | {} | {} |\n",
        cell(all, time),
        cell(shared, time),
        cell(times, ratio),
    )
}
