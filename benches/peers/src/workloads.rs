//! The workloads: what they are, what is to be reached, and who can run them. Plain facts; nothing here runs anything.

/// What a row of the table is.
pub struct Workload {
    pub name: &'static str,
    pub what: &'static str,
    /// The library that its figures are ratios to.
    pub base: &'static str,
    /// The ratio to be reached.
    pub aim: Option<f64>,
}

/// The base of W8: the faster of crossmist and procspawn.
pub const FASTER_START: &str = "the faster start";

/// In the order of the table. Rows of one name differ in what they are compared with.
pub const WORKLOADS: &[Workload] = &[
    row("W1", "add(i64, i64), one task a message (`chunk_size = 1`)", "rayon", Some(1.6)),
    row("W1", "– to rayon over a range that need not be collected", "rayon-range", None),
    row("W2", "add(i64, i64), 10 million tasks, chunks by default", "rayon", Some(0.5)),
    row("W2", "– to rayon over a range that need not be collected", "rayon-range", None),
    row("W2i", "W2 by `pool_iter!`, the results read one by one in order", "rayon", Some(1.2)),
    row("W3", "10 µs of CPU a task, chunks by default", "rayon", Some(1.02)),
    row("W3c", "10 µs of CPU a task, `chunk_size = 1`", "rayon", Some(1.02)),
    row("W4", "1 ms of CPU a task", "rayon", Some(1.03)),
    row("W5", "1 % of the tasks 20 ms, the others 50 µs, in random order", "rayon", Some(0.97)),
    row("W6", "1 MiB of bytes in, the same out", "rayon", Some(0.33)),
    row("W6", "– to rayon that hands each block over by a channel", "rayon-channel", None),
    row("W6", "– to rayon whose blocks never leave their thread", "rayon-inside", None),
    row("W7", "sums of 64 slices of a 256 MiB array, the slices sent", "rayon", Some(0.6)),
    row("W7", "– to rayon that collects the copied slices first", "rayon-owned", None),
    row("W7f", "the array in shared memory, the first map over it, which maps its pages", "rayon", None),
    row("W7b", "the array in shared memory, the second map over it", "rayon", Some(1.1)),
    row("W7c", "out of a caller's own Vec, to threads that share it", "rayon", Some(5.0)),
    row("W8", "start, pool of 2, two tasks, exit (1 is the faster Rust peer)", FASTER_START, Some(0.95)),
    row("W9", "words of 2 million lines of text", "rayon", Some(1.4)),
    row("W9p", "words of 4 KB paragraphs, a HashMap out", "rayon", Some(1.05)),
    row("W10", "a million lazy items of 256 B, unordered", "rayon", Some(0.5)),
];

/// The names of the workloads, each once.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
    names.dedup();
    names
}

const fn row(name: &'static str, what: &'static str, base: &'static str, aim: Option<f64>) -> Workload {
    Workload { name, what, base, aim }
}

/// The libraries that peers.py runs.
pub const PYTHON: [&str; 5] = ["Pool", "ProcessPoolExecutor", "loky", "joblib", "mpire"];

/// The columns of the table.
pub const COLUMNS: [&str; 7] = ["poolmap", "procspawn", "Pool", "ProcessPoolExecutor", "loky", "joblib", "mpire"];

/// poolmap with more workers than there are processors.
pub const CROWDED: &str = "poolmap, 8 workers";

/// Who runs a workload, in turn.
pub fn libraries(workload: &str) -> Vec<&'static str> {
    if workload == "W8" {
        return ["crossmist", "procspawn", "poolmap"].into_iter().chain(PYTHON).collect();
    }
    if workload == "W2i" {
        return vec!["rayon", "poolmap", CROWDED];
    }
    let mut libraries = vec!["rayon"];
    libraries.extend(match workload {
        "W1" | "W2" => &["rayon-range"][..],
        "W6" => &["rayon-channel", "rayon-inside"],
        "W7" => &["rayon-owned"],
        _ => &[],
    });
    libraries.extend(["poolmap", CROWDED, "procspawn"]);
    libraries.extend(PYTHON);
    libraries
}

/// How many tasks a library runs of a workload: fewer where it is slow, and the time for one is compared. peers.py has its
/// own numbers.
pub fn tasks_of(workload: &str, library: &str) -> usize {
    let slow = library == "procspawn";
    match workload {
        "W1" if slow => 5_000,
        "W1" => 500_000,
        "W2" if slow => 2_000_000,
        "W2" | "W2i" => 10_000_000,
        "W3c" if slow => 5_000,
        "W3" | "W3c" => 50_000,
        "W4" => 500,
        "W5" => 3_000,
        "W6" => 400,
        "W7" | "W7f" | "W7b" | "W7c" => 64,
        "W9" if slow => 500_000,
        "W9" => 2_000_000,
        "W9p" => 10_000,
        "W10" if slow => 200_000,
        "W10" => 1_000_000,
        other => panic!("no workload {other}"),
    }
}
