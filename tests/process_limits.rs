//! Processes with a limit of time or memory, and with captured output.

mod common;

use std::time::Duration;

use common::{SOON, is_alive, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use poolmap::{Event, Output, Process, ProcessHandle, TaskErrorKind, worker};

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3600);

#[worker]
fn hang(begun: &Event) {
    begun.set();
    loop {
        std::hint::spin_loop();
    }
}

#[worker]
fn wait_for(begun: &Event, go: &Event) -> u32 {
    println!("it waits");
    begun.set();
    go.wait();
    7
}

#[worker]
fn length(bytes: &[u8]) -> usize {
    std::thread::sleep(SHORT / 4);
    bytes.len()
}

#[worker]
fn sleep_long() {
    std::thread::sleep(Duration::from_secs(600));
}

/// The process waits at its end for the other, which is no daemon.
#[worker]
fn start_another() -> u32 {
    Process::new(sleep_long {}).start().unwrap().pid()
}

#[worker]
fn zeros(length: usize) -> usize {
    vec![0u8; length].len()
}

#[worker]
fn print_and(end: &str) -> Result<usize, String> {
    println!("out: {end}");
    eprintln!("err: {end}");
    match end {
        "fail" => return Err("it fails".to_owned()),
        "panic" => panic!("it panics"),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        "hang" => loop {
            std::thread::park();
        },
        _ => {}
    }
    Ok(end.len())
}

fn raise(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

fn kind<T: std::fmt::Debug>(mut process: ProcessHandle<T>) -> TaskErrorKind {
    let error = process.join().unwrap_err();
    error.task().unwrap_or_else(|| panic!("{error}")).kind().clone()
}

#[poolmap::test]
fn a_process_over_its_limit_is_killed() {
    let _guard = common::guard();
    for daemon in [false, true] {
        let begun = Event::new().unwrap();
        let mut process = Process::new(hang { begun }).daemon(daemon).timeout(SHORT).start().unwrap();
        let error = process.join().unwrap_err();
        let task = error.task().unwrap();
        assert!(matches!(task.kind(), TaskErrorKind::TimedOut { limit: SHORT, .. }), "{error}");
        assert_eq!((task.attempts(), task.worker_pid()), (1, Some(process.pid())));
        assert!(!process.is_alive() && !error.is_deadline());
        assert!(error.to_string().ends_with("timed out after 100ms"), "{error}");
    }
}

#[poolmap::test]
fn a_process_that_is_stopped_is_killed_at_its_limit() {
    let _guard = common::guard();
    let (begun, go) = (Event::new().unwrap(), Event::new().unwrap());
    let call = wait_for { begun: begun.clone(), go };
    let process = Process::new(call).timeout(Duration::from_secs(1)).start().unwrap();
    begun.wait();
    raise(process.pid(), Signal::SIGSTOP);
    // Nobody waits for it.
    wait_until("it has ended", || !process.is_alive());
    assert!(matches!(kind(process), TaskErrorKind::TimedOut { .. }));
}

#[poolmap::test]
fn a_process_within_its_limit_is_left_alone() {
    let _guard = common::guard();
    let (begun, go) = (Event::new().unwrap(), Event::new().unwrap());
    let call = wait_for { begun: begun.clone(), go: go.clone() };
    let mut process = Process::new(call).timeout(LONG).start().unwrap();
    begun.wait();
    assert_eq!(process.join_timeout(SHORT).unwrap(), None);
    go.set();
    assert_eq!(process.join().unwrap(), 7);
    assert!(process.exit_status().unwrap().success());
    assert_eq!(Process::new(zeros { length: 1 }).timeout(Duration::MAX).start().unwrap().join().unwrap(), 1);
    // The way of the arguments does not count, and may take longer.
    let bytes = vec![1; 64 << 20];
    let limit = Duration::from_secs(60);
    assert_eq!(Process::new(length { bytes }).timeout(limit).start().unwrap().join().unwrap(), 64 << 20);
}

#[poolmap::test]
fn a_process_that_does_not_end_after_its_output_is_killed_and_the_output_kept() {
    let _guard = common::guard();
    let mut process = Process::new(start_another {}).timeout(SHORT).start().unwrap();
    let other = process.join().unwrap();
    assert!(!process.is_alive() && is_alive(other));
    raise(other, Signal::SIGKILL);
    wait_until("the other has ended", || !is_alive(other));
}

#[poolmap::test]
fn a_process_over_its_memory_ends_by_it() {
    let _guard = common::guard();
    let with = |length, bytes| Process::new(zeros { length }).memory_limit(bytes).start();
    let Ok(mut process) = with(1 << 30, 64 << 20) else {
        // A system that has no such limit.
        return;
    };
    let error = process.join().unwrap_err();
    let text = error.to_string();
    if cfg!(not(target_env = "musl")) {
        assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::MemoryLimit { limit: 0x400_0000, .. }), "{text}");
        assert!(text.contains("Process::new(…).memory_limit(…)"), "{text}");
    }
    assert_eq!(with(1 << 20, 64 << 20).unwrap().join().unwrap(), 1 << 20);
    assert_eq!(Process::new(zeros { length: 1 << 28 }).start().unwrap().join().unwrap(), 1 << 28);
    let error = with(1, 1 << 20).unwrap_err();
    assert!(error.is_invalid_option() && error.to_string().starts_with("`memory_limit` must be at least"), "{error}");
}

#[poolmap::test]
fn output_is_captured_however_the_call_ends() {
    let _guard = common::guard();
    for daemon in [false, true] {
        for end in ["return", "fail", "panic", "abort", "exit", "hang"] {
            let process = Process::new(print_and { end: end.into() }).daemon(daemon).output(Output::Captured);
            let process = if end == "hang" { process.timeout(SHORT) } else { process };
            let mut process = process.start().unwrap();
            let captured = process.join_captured().unwrap();
            assert_eq!(captured.stdout, format!("out: {end}\n"));
            assert!(captured.stderr.starts_with(&format!("err: {end}\n")), "{}", captured.stderr);
            match (end, captured.outcome) {
                ("return", outcome) => assert_eq!(outcome.unwrap(), end.len()),
                (_, outcome) => {
                    let error = outcome.unwrap_err();
                    assert_eq!(error.stdout(), Some(&*captured.stdout));
                    let is_expected = match error.kind() {
                        TaskErrorKind::Failed(_) => end == "fail",
                        TaskErrorKind::Panicked { .. } => end == "panic",
                        TaskErrorKind::Crashed { exit_code, .. } => {
                            end == if *exit_code == Some(3) { "exit" } else { "abort" }
                        }
                        TaskErrorKind::TimedOut { .. } => end == "hang",
                        _ => false,
                    };
                    assert!(is_expected, "{end}: {error}");
                }
            }
            assert!(process.join_captured().unwrap_err().is_taken());
        }
    }
}

#[poolmap::test]
fn a_process_that_captures_nothing_says_so_and_can_be_joined() {
    let _guard = common::guard();
    let mut process = Process::new(print_and { end: "return".into() }).start().unwrap();
    let error = process.join_captured().unwrap_err();
    assert!(error.is_invalid_option(), "{error}");
    assert_eq!(process.join().unwrap(), 6);
    let mut process = Process::new(print_and { end: "return".into() }).output(Output::Captured).start().unwrap();
    assert_eq!(process.join_timeout(SOON).unwrap(), Some(6));
    let error = Process::new(sleep_long {}).timeout(Duration::ZERO).start().unwrap_err();
    assert_eq!(error.to_string(), "`timeout` must be greater than zero, got 0");
}
