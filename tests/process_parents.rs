//! What becomes of Processes when the program that started them ends, in every way.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::time::Duration;

use common::{Killed, children, is_alive, kill, program, run, text, wait_until};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgid};

const PROCESSES: &str = env!("CARGO_BIN_EXE_processes");

/// A program that has started a Process that is no daemon, and one that is.
struct Started {
    program: Killed,
    stdout: BufReader<ChildStdout>,
    plain: u32,
    daemon: u32,
}

impl Started {
    fn new(main: &str, how: &str, folder: &Path) -> Self {
        let mut command = program(PROCESSES);
        command.args([main, how]).arg(folder).process_group(0).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut program = Killed(command.spawn().unwrap());
        let mut stdout = BufReader::new(program.0.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let pids: Vec<u32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        Self { program, stdout, plain: pids[0], daemon: pids[1] }
    }

    fn is_running(&mut self) -> bool {
        self.program.0.try_wait().unwrap().is_none()
    }

    /// The daemon ends without a word more; the other goes on, and ends when it is let.
    fn leaves_the_plain_one(mut self, folder: &Path) {
        wait_until("the daemon is gone", || !is_alive(self.daemon));
        assert!(is_alive(self.plain));
        assert!(!folder.join("done").exists());
        std::fs::write(folder.join("go"), "").unwrap();
        // It holds this until its end.
        self.stdout.read_to_string(&mut String::new()).unwrap();
        assert!(folder.join("done").exists());
        wait_until("it is gone", || !is_alive(self.plain));
    }
}

#[test]
fn the_end_of_main_waits_for_processes_that_are_no_daemons_and_ends_the_others() {
    let _guard = common::guard();
    for (how, code) in [("returns", 0), ("fails", 1), ("panics", 101)] {
        let folder = tempfile::tempdir().unwrap();
        let mut started = Started::new("under main", how, folder.path());
        // Nothing tells that it waits but that it goes on.
        std::thread::sleep(Duration::from_millis(100));
        assert!(started.is_running(), "{how}");
        assert!(is_alive(started.plain) && is_alive(started.daemon), "{how}");
        std::fs::write(folder.path().join("go"), "").unwrap();
        assert_eq!(started.program.0.wait().unwrap().code(), Some(code), "{how}");
        assert!(folder.path().join("done").exists(), "{how}");
        wait_until("both are gone", || !is_alive(started.plain) && !is_alive(started.daemon));
    }
}

#[test]
fn a_process_that_is_no_daemon_survives_the_sigkill_of_its_parent_and_a_daemon_does_not() {
    let _guard = common::guard();
    for main in ["under main", "by hand"] {
        let folder = tempfile::tempdir().unwrap();
        let mut started = Started::new(main, "waits", folder.path());
        assert!(is_alive(started.plain) && is_alive(started.daemon));
        started.program.0.kill().unwrap();
        assert_eq!(started.program.0.wait().unwrap().signal(), Some(9));
        started.leaves_the_plain_one(folder.path());
    }
}

#[test]
fn an_exit_and_a_program_entered_by_hand_wait_for_nobody() {
    let _guard = common::guard();
    let cases =
        [("under main", "exits", 3), ("by hand", "exits", 3), ("by hand", "returns", 0), ("by hand", "panics", 101)];
    for (main, how, code) in cases {
        let folder = tempfile::tempdir().unwrap();
        let mut started = Started::new(main, how, folder.path());
        assert_eq!(started.program.0.wait().unwrap().code(), Some(code), "{main} {how}");
        started.leaves_the_plain_one(folder.path());
    }
}

#[test]
fn a_signal_to_the_group_of_the_program_reaches_the_process_that_is_no_daemon() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let mut started = Started::new("under main", "waits", folder.path());
    let pid = |pid: u32| Pid::from_raw(pid.cast_signed());
    let group = pid(started.program.0.id());
    wait_until("both have their groups", || {
        getpgid(Some(pid(started.plain))) == Ok(group) && getpgid(Some(pid(started.daemon))) == Ok(pid(started.daemon))
    });
    killpg(group, Signal::SIGTERM).unwrap();
    assert_eq!(started.program.0.wait().unwrap().signal(), Some(15));
    wait_until("both are gone", || !is_alive(started.plain) && !is_alive(started.daemon));
    assert!(!folder.path().join("done").exists());
}

#[test]
fn a_process_waits_for_those_that_it_has_started() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(PROCESSES);
    command.arg("below").arg(folder.path()).stdout(Stdio::piped());
    let mut program = Killed(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let process = line.trim().parse().unwrap();
    wait_until("it has started both", || children(process).len() == 2);
    std::thread::sleep(Duration::from_millis(100));
    assert!(is_alive(process));
    std::fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(program.0.wait().unwrap().code(), Some(0));
    assert!(folder.path().join("done").exists());
}

#[test]
fn a_panic_in_a_process_is_printed_as_that_of_a_thread_and_told() {
    let _guard = common::guard();
    let output = run(program(PROCESSES).arg("panicking process"));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success());
    assert!(
        stdout.starts_with(
            "process `Process-1` (`processes::panic_with`, message: \"the message\") panicked at tests/bin/"
        ),
        "{stdout}"
    );
    assert!(stdout.ends_with(": the message\n"), "{stdout}");
    assert!(stderr.contains("panicked at tests/bin/processes.rs:") && stderr.contains("the message"), "{stderr}");
}

#[test]
fn no_daemon_is_left_whenever_its_parent_is_killed() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("go"), "").unwrap();
    for round in 0..30u64 {
        let mut command = program(PROCESSES);
        command.args(["under main", "waits"]).arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut started = Killed(command.spawn().unwrap());
        // A little later each time, so that it is killed at different moments of the starts.
        std::thread::sleep(Duration::from_micros(500 * round));
        kill(started.0.id(), "KILL");
        let mut said = String::new();
        // All that descend from it hold this until their end.
        started.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "", "{round}");
    }
}
