//! Nothing outlives the parent, however it ends, and nothing is left on disk or in memory.

mod common;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Killed, SOON, files, is_alive, kill, program, stop, wait_until};

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
    assert_eq!(files(folder.path()), BTreeSet::new(), "files are left");
}

#[test]
fn workers_are_gone_after_any_other_end_of_their_parent() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let ends = [
        ("end", Some(0)),
        ("panic", Some(101)),
        ("panic in a map", Some(101)),
        ("abort in a map", None),
        ("exit in a map", Some(3)),
    ];
    for (state, code) in ends {
        let (mut child, pids) = parent(state, 3, folder.path());
        assert_eq!(child.0.wait().unwrap().code(), code, "{state}");
        wait_until("the workers are gone", || !pids.iter().any(|&pid| is_alive(pid)));
    }
    // SIGHUP and SIGINT are ignored where the tests run in the background.
    for signal in ["TERM", "ABRT", "USR1", "ALRM"] {
        let (mut child, pids) = parent("busy", 3, folder.path());
        kill(child.0.id(), signal);
        child.0.wait().unwrap();
        wait_until("the workers are gone", || !pids.iter().any(|&pid| is_alive(pid)));
    }
    assert_eq!(files(folder.path()), BTreeSet::new(), "files are left");
}

/// Longer than a parent and its workers, and theirs, take to start.
const START_MICROS: u64 = 80_000;

#[test]
fn no_process_is_left_whenever_a_parent_is_killed() {
    let guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let kills = common::asked("POOLMAP_KILLS", 30);
    guard.allow(Duration::from_millis(500) * u32::try_from(kills).unwrap());
    let mut slowest = Duration::ZERO;
    for round in 0..kills {
        let mut command = program(env!("CARGO_BIN_EXE_scenario"));
        // A group of its own, all of which is killed: its workers are not in it.
        command
            .args(["parent", ["busy", "nested"][round as usize % 2], "3"])
            .env("TMPDIR", folder.path())
            .process_group(0);
        let mut child = Killed(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        std::thread::sleep(Duration::from_micros(RandomState::new().hash_one(round) % START_MICROS));
        kill_group(child.0.id());
        let killed = Instant::now();
        // Whatever descends from it holds this until its end.
        let mut said = String::new();
        child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        slowest = slowest.max(killed.elapsed());
        child.0.wait().unwrap();
        assert_eq!(said, "");
    }
    eprintln!("the slowest of {kills} took {slowest:?}");
    assert!(slowest < SOON, "{slowest:?}");
    assert_eq!(files(folder.path()), BTreeSet::new(), "files are left");
}

fn kill_group(leader: u32) {
    let group = nix::unistd::Pid::from_raw(leader.cast_signed());
    nix::sys::signal::killpg(group, nix::sys::signal::SIGKILL).unwrap();
}

#[test]
fn a_stopped_worker_is_gone_with_its_parent() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let (mut child, pids) = parent("busy", 2, folder.path());
    stop(pids[0]);
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
