//! Signals reach the program as if it had no workers, and what it does about its signals and children does not hurt its pools.

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::time::Duration;

use common::{Killed, is_alive, is_stopped, kill, program, run, text, wait_until};
use nix::libc;

const SIGNALLED: &str = env!("CARGO_BIN_EXE_signalled");
/// As in the program.
const HANDLED: i32 = 7;

/// A program that has told its workers.
struct Started {
    program: Killed,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
    workers: Vec<u32>,
}

impl Started {
    fn new(command: &mut Command) -> Self {
        let mut program = Killed(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let stdout = BufReader::new(program.0.stdout.take().unwrap());
        let stderr = program.0.stderr.take().unwrap();
        let mut started = Self { program, stdout, stderr, workers: Vec::new() };
        started.workers = started.line().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        started
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn pid(&self) -> u32 {
        self.program.0.id()
    }

    /// The program ends, by a signal or with a code; its workers end with it, and none has said a word.
    fn ends(mut self, signal: Option<i32>, code: Option<i32>) {
        let status = self.program.0.wait().unwrap();
        assert_eq!((status.signal(), status.code()), (signal, code));
        assert_eq!(self.leaves_nothing(), "");
    }

    /// Nothing is left of the program; gives what it wrote as errors.
    fn leaves_nothing(self) -> String {
        wait_until("the workers are gone", || !self.workers.iter().any(|&pid| is_alive(pid)));
        // Each process of the program held these until its end.
        assert_eq!(std::io::read_to_string(self.stdout).unwrap(), "");
        std::io::read_to_string(self.stderr).unwrap()
    }
}

/// The program, with every signal's default: some are ignored where the tests run in the background.
#[allow(unsafe_code, reason = "std has no safe way to say what a child does before it is the program")]
fn signalled(arguments: &[&str]) -> Command {
    let mut command = program(SIGNALLED);
    command.args(arguments);
    // SAFETY: `signal` may be called after a fork.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGTSTP] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        })
    };
    command
}

/// Starts the program in a terminal of its own, and gives the terminal's other side.
#[allow(unsafe_code, reason = "std has no safe way to say what a child does before it is the program")]
fn in_a_terminal(arguments: &[&str]) -> (Started, File) {
    let pair = nix::pty::openpty(None, None).unwrap();
    // What is cloned is closed in children; else the terminal would never be closed.
    let keyboard = pair.master.try_clone().unwrap();
    drop(pair.master);
    let mut command = signalled(arguments);
    command.stdin(OwnedFd::try_clone(&pair.slave).unwrap());
    // SAFETY: both may be called after a fork.
    unsafe {
        command.pre_exec(|| {
            if libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY as _, 0) == -1 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        })
    };
    (Started::new(&mut command), File::from(keyboard))
}

/// Every way to wait for a signal, and how the program ends by it then.
fn ways(signal: i32) -> impl Iterator<Item = ([&'static str; 3], Option<i32>, Option<i32>)> {
    ["busy", "idle"].into_iter().flat_map(move |state| {
        [(["wait", "default", state], Some(signal), None), (["wait", "own handler", state], None, Some(HANDLED))]
    })
}

#[test]
fn ctrl_c_in_a_terminal_ends_the_program_and_its_workers_say_nothing() {
    let _guard = common::guard();
    for (arguments, signal, code) in ways(libc::SIGINT) {
        let (started, mut keyboard) = in_a_terminal(&arguments);
        keyboard.write_all(b"\x03").unwrap();
        started.ends(signal, code);
    }
}

#[test]
fn closing_the_terminal_ends_the_program_and_its_workers() {
    let _guard = common::guard();
    for (arguments, signal, code) in ways(libc::SIGHUP) {
        let (started, keyboard) = in_a_terminal(&arguments);
        drop(keyboard);
        started.ends(signal, code);
    }
}

#[test]
fn a_signal_to_the_program_alone_ends_it_and_its_workers() {
    let _guard = common::guard();
    for (name, number) in [("INT", libc::SIGINT), ("TERM", libc::SIGTERM), ("HUP", libc::SIGHUP)] {
        for (arguments, signal, code) in ways(number) {
            let started = Started::new(&mut signalled(&arguments));
            kill(started.pid(), name);
            started.ends(signal, code);
        }
    }
}

#[test]
fn no_time_limit_ends_a_task_while_the_program_is_stopped() {
    let _guard = common::guard();
    let limit = Duration::from_millis(1500);
    // Tasks that end while it is stopped, and tasks that are stopped with it and end after it goes on.
    std::thread::scope(|scope| {
        for stops_workers in [false, true] {
            scope.spawn(move || {
                let arguments = ["time limit", "40", &limit.as_millis().to_string()];
                // A group of its own in the session of the test, as a shell gives it: the kernel would not stop it otherwise.
                let mut started = Started::new(signalled(&arguments).process_group(0));
                for _ in 0..3 {
                    assert_eq!(started.line(), "begun\n");
                }
                kill(started.pid(), "TSTP");
                let mut stopped = vec![started.pid()];
                if stops_workers {
                    started.workers.iter().for_each(|&worker| kill(worker, "STOP"));
                    stopped.extend(&started.workers);
                }
                wait_until("all are stopped", || stopped.iter().all(|&pid| is_stopped(pid)));
                std::thread::sleep(limit + limit / 3);
                stopped.iter().for_each(|&pid| kill(pid, "CONT"));
                assert_eq!(started.line(), "[40, 40, 40]\n");
                started.ends(None, Some(0));
            });
        }
    });
}

#[test]
fn a_program_that_has_its_own_way_with_its_children_gets_right_results() {
    let _guard = common::guard();
    for whose in ["handled", "ignored", "waited for"] {
        let output = run(program(SIGNALLED).args(["children", whose]));
        assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("all is right\n", ""), "{whose}");
        assert!(output.status.success());
    }
}

#[test]
fn a_program_that_is_the_first_process_of_a_container_reaps_its_workers() {
    let _guard = common::guard();
    let unshare = |program: &str| {
        let mut command = common::program("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child", program]);
        command
    };
    if !unshare("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this process may not make a PID namespace");
        return;
    }
    let mut started = Started::new(unshare(SIGNALLED).arg("first process"));
    assert_eq!(started.line(), "left: [1]\n");
    assert_eq!(started.line().split_whitespace().count(), 2);
    let first = common::children(started.pid())[0];
    started.workers = common::children(first);
    assert_eq!(started.workers.len(), 2);
    // It has no handler for this, so it goes on.
    kill(first, "TERM");
    assert!(started.workers.iter().all(|&worker| is_alive(worker)));
    kill(first, "KILL");
    // What `unshare` makes of the signal differs with its version.
    started.leaves_nothing();
}

#[test]
fn a_program_started_without_its_standard_streams_works() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    for (number, closed) in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"].iter().enumerate() {
        let path = folder.path().join(number.to_string());
        let mut shell = program("sh");
        shell.args(["-c", &format!("exec \"$0\" \"$@\" {closed}"), SIGNALLED, "to a file"]).arg(&path);
        let output = run(&mut shell);
        assert!(output.status.success(), "{closed}: {}", text(&output.stderr));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "[2, 4, 6] true", "{closed}");
    }
}
