//! Runs every workload over every library, each in a process of its own, in turn. What they do there it does not know.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::figures::{Figures, Measures, Outcome};
use crate::measures::{self, Often};
use crate::workloads::{self, PYTHON};

/// No process runs longer than this.
const TIME_MAX: Duration = Duration::from_secs(20);
/// A measure of poolmap's own may: the environment can ask for more.
const MEASURE_TIME_MAX: Duration = Duration::from_secs(600);
/// What takes longer than this is run once only.
const SLOW: Duration = Duration::from_secs(10);
/// What takes less than this has further turns in each run; Python's libraries have not.
const QUICK: Duration = Duration::from_secs(2);
const TURNS: usize = 3;
/// W8 is some milliseconds only.
const STARTS: usize = 31;

/// All figures of so many runs.
pub fn all(runs: usize, rounds: f64) -> (Figures, Measures) {
    let mut figures = Figures::default();
    let mut slow = BTreeSet::new();
    let mut measured = Measures::default();
    // What else runs on the machine disturbs all of it: the page says so.
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    if let Some(load) = load.and_then(|load| load.split(' ').next()?.parse().ok()) {
        measured.add("load", load);
    }
    for run in 0..runs {
        for workload in workloads::names() {
            turns(workload, run, rounds, &mut slow, &mut figures);
        }
        for &(what, often) in measures::ALL {
            if run == 0 || often == Often::EachRun {
                let start = Instant::now();
                measure(what, rounds, &mut measured);
                eprintln!("run {}: {what}: {:.1} s", run + 1, start.elapsed().as_secs_f64());
            }
        }
    }
    (figures, measured)
}

/// One run of a workload: each library in turn, and what is quick in some further turns, for a steadier figure.
fn turns(
    workload: &'static str,
    run: usize,
    rounds: f64,
    slow: &mut BTreeSet<(&'static str, &'static str)>,
    figures: &mut Figures,
) {
    let mut libraries = workloads::libraries(workload);
    libraries.retain(|library| !slow.contains(&(workload, *library)));
    for turn in 0..if workload == "W8" { STARTS } else { TURNS } {
        libraries.retain(|library| {
            let start = Instant::now();
            let outcome = if workload == "W8" { whole(library) } else { one(library, workload, rounds) };
            let took = start.elapsed();
            figures.add(workload, library, run, outcome);
            if took > SLOW {
                slow.insert((workload, library));
            }
            if turn == 0 {
                eprintln!("run {}: {workload} {library}: {:.1} s", run + 1, took.as_secs_f64());
            }
            took < QUICK && !PYTHON.contains(library)
        });
    }
}

/// The version of a Python library, or none if it is not installed.
pub fn python_version(library: &str) -> Option<String> {
    let output = peers_py(&[library, "version"]).output().ok()?;
    output.status.success().then(|| format!("{library} {}", String::from_utf8_lossy(&output.stdout).trim()))
}

fn one(library: &str, workload: &str, rounds: f64) -> Outcome {
    let mut command = match PYTHON.contains(&library) {
        true => peers_py(&[library, workload]),
        false => ourselves(&["one", library, workload]),
    };
    command.env("PEERS_ROUNDS", rounds.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = match ended(&mut command, TIME_MAX) {
        Ok((output, _)) => output,
        Err(reason) => return Outcome::None(reason),
    };
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match text.split_once(' ') {
        Some(("none", reason)) => Outcome::None(reason.to_owned()),
        Some((tasks, seconds)) => match (tasks.parse::<f64>(), seconds.parse::<f64>()) {
            (Ok(tasks), Ok(seconds)) => Outcome::Seconds(seconds / tasks),
            _ => Outcome::None(format!("it said {text}")),
        },
        None => Outcome::None("it said nothing".to_owned()),
    }
}

/// The start and the end of a whole process: its own time is what counts.
fn whole(library: &str) -> Outcome {
    let mut command = match PYTHON.contains(&library) {
        true => peers_py(&[library, "W8"]),
        false => ourselves(&["start", library]),
    };
    match ended(command.stdout(Stdio::null()).stderr(Stdio::null()), TIME_MAX) {
        Ok((_, took)) => Outcome::Seconds(took.as_secs_f64()),
        Err(reason) => Outcome::None(reason),
    }
}

/// Adds what a measure prints: lines of a name and a number.
fn measure(what: &str, rounds: f64, measured: &mut Measures) {
    let mut command = ourselves(&["measure", what]);
    command.env("PEERS_ROUNDS", rounds.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match ended(&mut command, MEASURE_TIME_MAX) {
        Ok((output, _)) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
            lines.for_each(|(name, value)| measured.add(name, value.parse().expect("a measure prints numbers")));
        }
        Err(reason) => measured.fail(what, reason),
    }
}

fn ourselves(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("it runs"));
    command.args(arguments);
    command
}

fn peers_py(arguments: &[&str]) -> Command {
    // The interpreter itself: what is found by its name may be a script that looks for it first, and W8 times all of it.
    static PYTHON3: LazyLock<String> = LazyLock::new(|| {
        let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        output.map_or("python3".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    });
    let mut command = Command::new(PYTHON3.as_str());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers.py")).args(arguments);
    command
}

/// Waits for a process, and how long it took, or why it did not end well. It leads a group, which is ended with it: what a
/// library leaves behind must not run beside the next.
fn ended(command: &mut Command, most: Duration) -> Result<(Output, Duration), String> {
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).process_group(0).spawn();
    let child = child.map_err(|error| format!("it did not start: {error}"))?;
    let group = child.id();
    let (done, waiting) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        let late = waiting.recv_timeout(most) == Err(RecvTimeoutError::Timeout);
        if late {
            end_group(group).ok();
        }
        late
    });
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let took = start.elapsed();
    drop(done);
    if watch.join().expect("it does not panic") {
        return Err(format!("it did not end within {} s", most.as_secs()));
    }
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().last().unwrap_or_default();
        return Err(format!("it ended with {}: {last}", output.status));
    }
    Ok((output, took))
}

fn end_group(group: u32) -> std::io::Result<ExitStatus> {
    Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status()
}
