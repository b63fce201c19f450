//! Nothing outlives the parent, however it ends, and nothing is left on disk or in memory.

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use common::{Killed, SOON, files, is_alive, kill, program, wait_until};

/// Starts a parent, and gives its workers as soon as it tells them.
fn parent(state: &str, workers: usize, folder: &std::path::Path) -> (Killed, Vec<u32>) {
    let mut command = program(env!("CARGO_BIN_EXE_scenario"));
    command.args(["parent", state, &workers.to_string()]).env("TMPDIR", folder);
    let mut child = Killed(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pids: Vec<u32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), workers);
    (child, pids)
}

#[test]
fn workers_are_gone_after_a_sigkill_of_their_parent_busy_idle_or_starting() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let mut slowest = Duration::ZERO;
    for round in 0..21 {
        let state = ["busy", "idle", "starting"][round % 3];
        let (mut child, pids) = parent(state, 3, folder.path());
        // A little later each time, so that it is killed at different moments.
        std::thread::sleep(Duration::from_millis(round as u64));
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        let took = wait_until("the workers are gone", || !pids.iter().any(|&pid| is_alive(pid)));
        slowest = slowest.max(took);
    }
    eprintln!("the slowest took {slowest:?}");
    assert!(slowest < SOON);
    assert!(files(folder.path()).is_empty());
}

#[test]
fn workers_are_gone_after_any_other_end_of_their_parent() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    for state in ["end", "panic"] {
        let (mut child, pids) = parent(state, 3, folder.path());
        child.0.wait().unwrap();
        wait_until("the workers are gone", || !pids.iter().any(|&pid| is_alive(pid)));
    }
    // SIGHUP and SIGINT are ignored where the tests run in the background.
    for signal in ["TERM", "ABRT", "USR1", "ALRM"] {
        let (mut child, pids) = parent("busy", 3, folder.path());
        kill(child.0.id(), signal);
        child.0.wait().unwrap();
        wait_until("the workers are gone", || !pids.iter().any(|&pid| is_alive(pid)));
    }
    assert!(files(folder.path()).is_empty());
}

#[test]
fn a_stopped_worker_is_gone_with_its_parent() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let (mut child, pids) = parent("busy", 2, folder.path());
    kill(pids[0], "STOP");
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    wait_until("the workers are gone", || !pids.iter().any(|&pid| is_alive(pid)));
}

#[poolmap::test]
fn a_hundred_pools_leave_nothing() {
    let _guard = common::guard();
    for round in 0..100 {
        let pool = poolmap::Pool::builder().workers(1 + round % 3).build().unwrap();
        if round % 2 == 0 {
            pool.ready().unwrap();
        }
        drop(pool);
    }
}
