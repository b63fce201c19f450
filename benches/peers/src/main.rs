//! Runs the same workloads over poolmap and its peers, in turn, and writes docs/performance.md with the table and a plot.
//!
//! `cargo run --release` in this folder does it all. The Python side needs `pip install loky joblib mpire`; what is not
//! installed is left out of the table, and said so. `PEERS_RUNS` sets the number of runs (5).

mod report;
mod runs;
mod tasks;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use report::Table;

/// The libraries of this program, and those of peers.py.
const RUST: [&str; 3] = ["rayon", "poolmap", "procspawn"];
const PYTHON: [&str; 5] = ["Pool", "ProcessPoolExecutor", "loky", "joblib", "mpire"];
/// What peers.py runs; the others need what Python has no form for.
const PYTHON_WORKLOADS: [&str; 8] = ["W1", "W2", "W3", "W3c", "W4", "W5", "W6", "W9"];
/// No run takes longer than this: what does is left out.
const RUN_TIME_MAX: Duration = Duration::from_secs(40);

#[crossmist::main]
fn main() {
    poolmap::init();
    procspawn::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["one", library, workload] => {
            let took = match library {
                "poolmap" => runs::poolmap(workload).expect("no task fails"),
                "rayon" => runs::rayon(workload),
                "procspawn" => runs::procspawn(workload),
                other => panic!("no library {other}"),
            };
            println!("{} {}", runs::tasks_of(workload, library), took.as_secs_f64());
        }
        ["start", library] => runs::start(library),
        _ => all(),
    }
}

/// Every workload over every library, as many times as asked, in turn.
fn all() {
    let runs: usize = std::env::var("PEERS_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(5);
    let rounds = tasks::rounds_per_microsecond().to_string();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python: Vec<(&str, String)> =
        PYTHON.iter().filter_map(|&library| Some((library, version(folder, library)?))).collect();
    let mut seconds: Table = BTreeMap::new();
    for run in 0..runs {
        for &(workload, _) in report::WORKLOADS {
            let mut commands: Vec<(&str, Command)> = Vec::new();
            let libraries =
                if workload == "W8" { &["rayon", "poolmap", "procspawn", "crossmist"][..] } else { &RUST[..] };
            for &library in libraries {
                let mut command = Command::new(std::env::current_exe().expect("it runs"));
                match workload {
                    "W8" => command.args(["start", library]),
                    _ => command.args(["one", library, workload]),
                };
                commands.push((library, command));
            }
            for (library, _) in python.iter().filter(|_| PYTHON_WORKLOADS.contains(&workload)) {
                let mut command = Command::new("python3");
                command.arg(folder.join("peers.py")).args([library, workload]);
                commands.push((library, command));
            }
            for (library, mut command) in commands {
                eprintln!("run {} of {runs}: {workload} {library}", run + 1);
                if let Some(each) = measure(command.env("PEERS_ROUNDS", &rounds), workload) {
                    seconds.entry((workload.to_owned(), library.to_owned())).or_default().push(each);
                }
            }
        }
    }
    let docs = folder.join("../../docs");
    report::write(&docs, &seconds, runs, &python).expect("docs/ can be written");
    eprintln!("written: {}", docs.join("performance.md").display());
}

/// The seconds for one task; for W8 those of the whole process.
fn measure(command: &mut Command, workload: &str) -> Option<f64> {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    while child.try_wait().ok()?.is_none() {
        if start.elapsed() > RUN_TIME_MAX {
            child.kill().ok()?;
        }
        // W8 is a few milliseconds: it is looked at often.
        std::thread::sleep(Duration::from_micros(if workload == "W8" { 20 } else { 5_000 }));
    }
    let took = start.elapsed();
    let output = child.wait_with_output().ok()?;
    if !output.status.success() {
        return None;
    }
    if workload == "W8" {
        return Some(took.as_secs_f64());
    }
    let text = String::from_utf8(output.stdout).ok()?;
    let (tasks, seconds) = text.trim().split_once(' ')?;
    Some(seconds.parse::<f64>().ok()? / tasks.parse::<f64>().ok()?)
}

fn version(folder: &Path, library: &str) -> Option<String> {
    let output = Command::new("python3").arg(folder.join("peers.py")).args([library, "version"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
