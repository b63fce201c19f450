//! Programs that start Processes, and end in one way or another: the first argument names it.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use poolmap::{Process, ProcessHandle, TaskError, TaskErrorKind, active_children, worker};

/// Goes on until the file `go` is in the folder, and leaves the file `done`.
#[worker]
fn wait_and_tell(folder: PathBuf) {
    while !folder.join("go").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::write(folder.join("done"), "").expect("the folder is there");
}

#[worker]
fn sleep_long() {
    std::thread::sleep(Duration::from_secs(600));
}

/// Starts another one below it, and comes back at once.
#[worker]
fn start_below(folder: &Path) -> poolmap::Result<()> {
    Process::new(sleep_long {}).daemon(true).start()?;
    Process::new(wait_and_tell { folder: folder.into() }).start().map(drop)
}

#[worker]
fn fail() -> Result<(), String> {
    Err("it has to".to_owned())
}

#[worker]
fn panic_with(message: String) {
    panic!("{message}");
}

#[allow(unsafe_code, reason = "what a program does with its children is its own affair")]
fn ignore_children() {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: there is no handler.
    unsafe { sigaction(Signal::SIGCHLD, &ignore) }.expect("the signal may be ignored");
}

fn tell(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("the test reads it");
}

/// Starts a Process that goes on without its parent, and one that does not, and tells their numbers.
fn start(folder: &str) -> poolmap::Result<()> {
    Process::new(wait_and_tell { folder: folder.into() }).name("plain").start()?;
    Process::new(sleep_long {}).name("daemon").daemon(true).start()?;
    let pids: Vec<String> = active_children().iter().map(|child| child.pid().to_string()).collect();
    tell(&pids.join(" "));
    Ok(())
}

#[worker]
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

/// What becomes of a call with more in both directions than a socket holds, of one that fails, and of one that panics, while
/// something is wrong with their processes.
fn fail_meanwhile() {
    let bytes = vec![7; 300_000];
    for is_daemon in [false, true] {
        let process = Process::new(echo { bytes: bytes.clone() }).daemon(is_daemon).start();
        tell(&told(process, |output| output == bytes));
    }
    tell(&told(Process::new(fail {}).start(), |()| false));
    tell(&told(Process::new(panic_with { message: "it has to".into() }).start(), |()| false));
    assert_eq!(active_children(), []);
}

/// How the join of a process came out, and how the process ended.
fn told<T>(process: poolmap::Result<ProcessHandle<T>>, is_right: impl Fn(T) -> bool) -> String {
    let mut process = process.expect("the system starts it");
    let outcome = match process.join() {
        Ok(output) => format!("ok {}", is_right(output)),
        Err(error) if error.is_start_failure() => "no start".to_owned(),
        Err(error) => match error.task().map(TaskError::kind) {
            Some(TaskErrorKind::Crashed { signal, exit_code, .. }) => format!("crashed {signal:?} {exit_code:?}"),
            Some(TaskErrorKind::Failed(_)) => "failed".to_owned(),
            Some(TaskErrorKind::Panicked { .. }) => "panicked".to_owned(),
            _ => error.to_string(),
        },
    };
    let status = process.exit_status();
    format!("{outcome}: {:?} {:?}", status.and_then(|it| it.code()), status.and_then(|it| it.signal()))
}

/// How many descriptors this program was started with, beside the first three, that count for a limit of so many: each takes a number
/// below it, and so each lets it rise by one.
fn inherited_below(most: libc::rlim_t) -> libc::rlim_t {
    let is_open = |number: libc::rlim_t| Path::new(&format!("/proc/self/fd/{number}")).symlink_metadata().is_ok();
    let mut inherited = 0;
    for number in 3.. {
        if number >= most + inherited {
            break;
        }
        inherited += libc::rlim_t::from(is_open(number));
    }
    inherited
}

/// Starts processes until the system refuses, and then as many as there were.
fn exhaust(descriptors: libc::rlim_t) -> poolmap::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("it has no way to fail");
    setrlimit(Resource::RLIMIT_NOFILE, descriptors + inherited_below(descriptors), hard)
        .expect("a limit may be lowered");
    let mut before = 0;
    for _ in 0..2 {
        let mut running = Vec::new();
        let error = loop {
            match Process::new(sleep_long {}).start() {
                Ok(process) => running.push(process),
                Err(error) => break error,
            }
        };
        assert!(error.is_start_failure() && error.to_string().contains("ulimit -n"), "{error}");
        assert!(before == 0 || running.len() == before, "{} instead of {before}", running.len());
        before = running.len();
        for process in &mut running {
            process.kill();
            assert!(process.join().is_err());
        }
        drop(running);
        // The thread that kept them ends by itself, and with it its own descriptors.
        while Path::new("/proc/self/task").read_dir().expect("it can be read").count() > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    tell(&format!("{} as before", before > 0));
    Ok(())
}

/// How the program ends, after its Processes were started.
fn end(how: &str) -> poolmap::Result<()> {
    match how {
        "returns" => {}
        // What it returns does not matter: a Process that fails is as good as any error.
        "fails" => Process::new(fail {}).start()?.join()?,
        "panics" => panic!("main panics"),
        "exits" => std::process::exit(3),
        _ => std::thread::sleep(Duration::from_secs(600)),
    }
    Ok(())
}

fn run(arguments: &[String]) -> poolmap::Result<()> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["panicking process"] => {
            let error = Process::new(panic_with { message: "the message".into() }).start()?.join().unwrap_err();
            tell(&error.to_string());
        }
        ["faults"] => fail_meanwhile(),
        ["few descriptors", most] => exhaust(most.parse().expect("a number"))?,
        ["ignores SIGCHLD"] => {
            ignore_children();
            tell(&told(Process::new(echo { bytes: vec![1] }).start(), |output| output == [1]));
            let process = Process::new(sleep_long {}).start()?;
            process.kill();
            tell(&told(Ok(process), |()| false));
        }
        ["below", folder] => {
            let mut process = Process::new(start_below { folder: folder.into() }).start()?;
            tell(&process.pid().to_string());
            process.join()?;
        }
        ["by hand" | "under main", how, folder] => {
            start(folder)?;
            end(how)?;
        }
        ref other => unreachable!("no such program: {other:?}"),
    }
    Ok(())
}

mod under {
    #[poolmap::main]
    pub(super) fn main() -> poolmap::Result<()> {
        super::run(&Vec::from_iter(std::env::args().skip(1)))
    }
}

fn main() -> poolmap::Result<()> {
    let arguments = Vec::from_iter(std::env::args().skip(1));
    if arguments.first().is_some_and(|first| first == "by hand") {
        poolmap::init();
        return run(&arguments);
    }
    under::main()
}
