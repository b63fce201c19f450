//! Runs every fault in every library, each in a process of its own that is ended after a time. What they do there it does not
//! know.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::{ALL, LIBRARIES, RUST};
use crate::processes;
use crate::python::Python;
use crate::report::Report;

/// How often each case is run: what depends on chance may differ.
pub const RUNS: usize = 3;
/// A case that has not ended after this hangs.
pub const TIME_MAX: Duration = Duration::from_secs(10);
/// What is left so long after a case's process ended was left behind.
pub const LEFT_AFTER: Duration = Duration::from_secs(2);
/// Cases at one time: most of them sleep.
const AT_ONCE: usize = 3;

/// How the process of a case ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Code(i32),
    Signal(i32),
    /// It did not, and was killed.
    None,
}

/// What was seen of one run of a case.
pub struct Outcome {
    pub report: Report,
    pub end: End,
    /// The processes that it left behind.
    pub left: usize,
}

/// Every run of every case, by library and the fault's name.
pub type Outcomes = BTreeMap<(&'static str, &'static str), Vec<Outcome>>;

pub fn all(python: &Python) -> Outcomes {
    let mut cases = VecDeque::new();
    for run in 0..RUNS {
        for (fault, name, _) in ALL {
            let run_it = |library: &&str| fault.is_met_by(library) && is_there(library, python);
            cases.extend(LIBRARIES.into_iter().filter(run_it).map(|library| (run, library, name)));
        }
    }
    let cases = Mutex::new(cases);
    let outcomes = Mutex::new(Outcomes::new());
    let work = || {
        loop {
            let Some((run, library, fault)) = cases.lock().expect("nobody panics").pop_front() else { break };
            let start = Instant::now();
            let outcome =
                case(command(library, fault, python), &format!("{}-{run}-{library}-{fault}", std::process::id()));
            eprintln!("run {}: {library} {fault}: {:.1} s", run + 1, start.elapsed().as_secs_f64());
            outcomes.lock().expect("nobody panics").entry((library, fault)).or_default().push(outcome);
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    outcomes.into_inner().expect("nobody panics")
}

/// Whether a library can be run at all.
pub fn is_there(library: &str, python: &Python) -> bool {
    RUST.contains(&library) || python.version(library).is_some()
}

fn command(library: &str, fault: &str, python: &Python) -> Command {
    if !RUST.contains(&library) {
        return python.case(library, fault);
    }
    let mut command = Command::new(std::env::current_exe().expect("Linux tells it"));
    command.args(["case", library, fault]);
    command
}

fn case(mut command: Command, mark: &str) -> Outcome {
    // A group of its own: what a library sends to its group must not come here.
    command.env(processes::MARK, mark).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let end = end(&mut child);
    let left = if end == End::None { 0 } else { processes::left(mark, LEFT_AFTER) };
    processes::end(mark);
    child.wait().expect("it is ours");
    let text = reader.join().expect("it does not panic").expect("a case writes text");
    Outcome { report: Report::read(&text), end, left }
}

fn end(child: &mut Child) -> End {
    let start = Instant::now();
    while start.elapsed() < TIME_MAX {
        if let Some(status) = child.try_wait().expect("it is ours") {
            return match (status.code(), status.signal()) {
                (Some(code), _) => End::Code(code),
                (None, Some(signal)) => End::Signal(signal),
                (None, None) => unreachable!("a process that has ended has a code or a signal"),
            };
        }
        thread::sleep(Duration::from_millis(5));
    }
    End::None
}
