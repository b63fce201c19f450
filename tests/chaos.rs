//! Many tasks while workers die: every result right, none lost, none twice, and nothing grows.
//!
//! `POOLMAP_CHAOS_SECONDS` says how long it goes on (3 by default).

mod common;

use std::time::{Duration, Instant};

use poolmap::{Pool, TaskErrorKind, pool_iter, pool_try_map, worker};

const KILL_INTERVAL: Duration = Duration::from_millis(20);

/// Works for about 20 µs.
#[worker]
fn work(task: usize) -> (usize, u32) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(20) {
        std::hint::spin_loop();
    }
    (task.wrapping_mul(task), std::process::id())
}

#[worker]
fn poisoned(task: usize) -> usize {
    if task.is_multiple_of(10) {
        common::segfault();
    }
    task
}

/// The parent's resident bytes, and its threads.
fn size() -> (u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    (kilobytes * 1024, std::fs::read_dir("/proc/self/task").unwrap().count())
}

#[poolmap::test]
fn results_are_right_while_workers_are_killed() {
    let guard = common::guard();
    let seconds = common::asked("POOLMAP_CHAOS_SECONDS", 3);
    guard.allow(Duration::from_secs(seconds));
    let pool = Pool::builder().workers(2).build().unwrap();
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let tasks = (0..).take_while(|_| Instant::now() < end);
    let (mut next, mut kills, mut killed_at) = (0, 0, Instant::now());
    let mut before = None;
    for result in pool_iter!(in &pool, work, tasks; attempts = 5).unwrap() {
        let (square, pid) = result.unwrap();
        assert_eq!(square, next * next, "task {next}");
        next += 1;
        if killed_at.elapsed() >= KILL_INTERVAL && pool.workers().iter().any(|worker| worker.pid() == pid) {
            common::kill(pid, "KILL");
            (kills, killed_at) = (kills + 1, Instant::now());
        }
        if before.is_none() && start.elapsed() > Duration::from_secs(seconds) / 3 {
            before = Some((size(), common::descriptors().len()));
        }
    }
    let ((bytes_before, threads_before), descriptors_before) = before.expect("it went on for longer");
    let ((bytes, threads), descriptors) = (size(), common::descriptors().len());
    println!(
        "{next} tasks, {kills} kills, {bytes_before} to {bytes} bytes, {descriptors_before} to {descriptors} descriptors"
    );
    assert!(kills > 0, "no worker was killed");
    assert_eq!(threads, threads_before, "threads");
    // Each worker has two, and may just be starting or ending.
    assert!(descriptors <= descriptors_before + 6, "descriptors: {descriptors_before} to {descriptors}");
    assert!(bytes < bytes_before + (16 << 20), "resident memory: {bytes_before} to {bytes}");
}

#[poolmap::test]
fn poison_among_tasks_costs_itself() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let start = Instant::now();
    let outcomes = pool_try_map!(in &pool, poisoned, 0..5_000).unwrap();
    println!("500 of 5,000 tasks crash: {:?}", start.elapsed());
    for (task, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(output) => assert_eq!((*output, task % 10 > 0), (task, true)),
            Err(error) => {
                assert_eq!((error.index(), task % 10), (task, 0));
                assert!(matches!(error.kind(), TaskErrorKind::Crashed { signal: Some(11), .. }), "{error}");
            }
        }
    }
}
