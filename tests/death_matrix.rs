//! The death matrix: what each way to die costs at each moment. `tests/bin/death_matrix.rs` runs each cell, with 1, 2 and 5
//! workers, and checks that each of 100 tasks has one outcome, in order, with the right value, that an error names the task that
//! was hit, and that nothing is left. Here is what must have become of it. `POOLMAP_WRITE_DEATH_MATRIX=1` writes docs/death-matrix.md.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

const MOMENTS: [&str; 7] =
    ["start-up", "before hello", "reading arguments", "in the task", "writing the result", "idle", "during close"];
const WORKERS: [u32; 3] = [1, 2, 5];
const RIGHT: &str = "all 100 right";

/// A way, and what it is to a task that is hit.
const WAYS: [(&str, &str); 16] = [
    ("panic", "1 Panicked"),
    ("double panic", "1 Crashed: SIGABRT"),
    ("exit(0)", "1 Crashed: exit code 0"),
    ("exit(3)", "1 Crashed: exit code 3"),
    ("_exit(4)", "1 Crashed: exit code 4"),
    ("abort", "1 Crashed: SIGABRT"),
    ("segfault", "1 Crashed: SIGSEGV"),
    ("SIGBUS", "1 Crashed: SIGBUS"),
    ("SIGFPE", "1 Crashed: SIGFPE"),
    ("SIGKILL", "1 Crashed: SIGKILL"),
    ("stack overflow", "1 Crashed: SIGABRT"),
    ("out of memory, with a limit", "1 MemoryLimit"),
    ("endless loop, with a limit", "1 TimedOut"),
    ("SIGSTOP, with a limit", "1 TimedOut"),
    ("closed descriptors", "all 100 right"),
    ("fork, both return", "all 100 right"),
];

/// A way that there is at some moments only, and what it is to the task.
const VALUES: [(&str, &str, &str); 5] = [
    ("argument does not decode", "reading arguments", "1 Decode"),
    ("result does not encode", "writing the result", "1 Encode"),
    ("result does not decode", "writing the result", "1 Decode"),
    ("panic in Drop", "in the task", "1 Panicked"),
    ("panic in Drop", "writing the result", "1 Panicked"),
];

/// What must become of a cell; none where it makes no sense.
fn expected(way: &str, moment: &str) -> Option<&'static str> {
    if let Some((.., told)) = VALUES.iter().find(|(value, at, _)| (*value, *at) == (way, moment)) {
        return Some(told);
    }
    // It is of the Deserialize or the Serialize that was running.
    match (way, moment) {
        ("panic", "reading arguments") => return Some("1 Decode"),
        ("panic", "writing the result") => return Some("1 Encode"),
        _ => {}
    }
    // With musl, no stack is walked from the handler of an abort, and so no failed allocation is found there.
    if way == "out of memory, with a limit" && cfg!(target_env = "musl") {
        return expected("abort", moment).filter(|_| moment != "start-up");
    }
    let (_, told) = WAYS.iter().find(|(other, _)| *other == way)?;
    match moment {
        // Over a socket the result has no way out.
        "reading arguments" | "in the task" | "writing the result"
            if way == "closed descriptors" && !common::shares_memory() =>
        {
            Some("1 Crashed: exit code 70")
        }
        // The limit is not set yet.
        "start-up" if way.contains("memory") => None,
        "reading arguments" | "in the task" | "writing the result" => Some(told),
        _ => Some(RIGHT),
    }
}

/// Every way, in the order of the table.
fn ways() -> Vec<&'static str> {
    let mut ways: Vec<&str> = WAYS.iter().map(|(way, _)| *way).collect();
    ways.extend(VALUES.iter().map(|(way, ..)| *way));
    ways.dedup();
    ways
}

/// What became of a cell, and the milliseconds it took with some number of workers.
type Came = Vec<(String, u64)>;

/// Runs the cells of one way in one program, one after another.
fn run(way: &str) -> BTreeMap<String, Came> {
    let moments = MOMENTS.iter().filter(|moment| expected(way, moment).is_some());
    let cells = moments.flat_map(|moment| WORKERS.map(|workers| format!("{way}|{moment}|{workers}")));
    let folder = tempfile::tempdir().unwrap();
    let mut program = common::program(env!("CARGO_BIN_EXE_death_matrix"));
    program.arg(folder.path()).args(cells).env_remove("RUST_BACKTRACE");
    let output = common::run(&mut program);
    let (stdout, stderr) = (common::text(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{way}: {}\n{stdout}\n{stderr}", output.status);
    let mut came: BTreeMap<String, Came> = BTreeMap::new();
    for line in stdout.lines() {
        println!("{line}");
        let fields: Vec<&str> = line.split('|').collect();
        let [_, moment, _, told, millis] = fields[..] else { panic!("no cell: {line}") };
        came.entry(moment.to_owned()).or_default().push((told.to_owned(), millis.parse().unwrap()));
    }
    came
}

/// The words for a cell, and its slowest time.
fn words(came: &Came) -> String {
    let mut told: Vec<&str> = came.iter().map(|(told, _)| told.as_str()).collect();
    told.dedup();
    let slowest = came.iter().map(|(_, millis)| *millis).max().unwrap_or(0);
    format!("{}, {slowest} ms", told.join(" or "))
}

fn table(matrix: &BTreeMap<&str, BTreeMap<String, Came>>) -> String {
    let mut table = String::from(
        "# What each way to die costs at each moment\n\n\
         Written by `POOLMAP_WRITE_DEATH_MATRIX=1 cargo test --test death_matrix`. In each cell 100 tasks run\n\
         while one task, or outside of a task one worker, is hit; behind what became of them stands the slowest time\n\
         of the whole cell with 1, 2 and 5 workers, from\n\
         the start of the pool to its end. The limit of a task is 1 s, that of a start 2 s.\n\n",
    );
    writeln!(table, "| way | {} |\n|---|{}", MOMENTS.join(" | "), "---|".repeat(MOMENTS.len())).unwrap();
    for way in ways().into_iter().filter(|way| matrix.contains_key(way)) {
        let cells = MOMENTS.map(|moment| matrix[way].get(moment).map_or("–".to_owned(), words));
        writeln!(table, "| {way} | {} |", cells.join(" | ")).unwrap();
    }
    table
}

#[test]
fn each_way_to_die_costs_one_task_at_most_at_each_moment() {
    let guard = common::guard();
    // Some 400 pools, one after another for each way.
    guard.allow(Duration::from_secs(480));
    let matrix = Mutex::new(BTreeMap::new());
    let tried = ways().into_iter().filter(|way| common::limits_memory() || !way.contains("memory"));
    common::for_each(tried.collect(), |way| {
        let came = run(way);
        matrix.lock().unwrap().insert(way, came);
    });
    let matrix = matrix.into_inner().unwrap();
    let mut wrong = Vec::new();
    for (way, cells) in &matrix {
        for moment in MOMENTS.iter().filter(|moment| expected(way, moment).is_some()) {
            let came = cells.get(*moment).unwrap_or_else(|| panic!("{way}, {moment}: not run"));
            assert_eq!(came.len(), WORKERS.len());
            if came.iter().any(|(told, _)| Some(told.as_str()) != expected(way, moment)) {
                wrong.push(format!("{way}, {moment}: {came:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if std::env::var_os("POOLMAP_WRITE_DEATH_MATRIX").is_some() && common::shares_memory() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/death-matrix.md"), table(&matrix)).unwrap();
    }
}
