//! Pools inside the tasks of pools: they give the same results, wait for nobody, and end with the worker that they stand in.

mod common;

use std::path::Path;
use std::time::Duration;

use common::{files, is_alive, wait_until};
use poolmap::{Pool, TaskErrorKind, pool_map, pool_try_map, worker};

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

/// Maps over the pool of calls that name none.
#[worker]
fn sum_of_doubles(count: u64) -> poolmap::Result<(u64, usize)> {
    let doubles = pool_map!(double, 0..count)?;
    Ok((doubles.iter().sum(), poolmap::global_pool()?.workers().len()))
}

#[worker]
fn sum_in_a_pool_of_its_own(count: u64) -> poolmap::Result<(u64, usize)> {
    let pool = Pool::builder().workers(2).build()?;
    let doubles = pool_map!(in &pool, double, 0..count)?;
    Ok((doubles.iter().sum(), pool.workers().len()))
}

fn expected(counts: impl Iterator<Item = u64>, workers: usize) -> Vec<(u64, usize)> {
    counts.map(|count| (count * count.saturating_sub(1), workers)).collect()
}

#[poolmap::test]
fn a_task_that_maps_has_one_worker_of_its_own_and_waits_for_no_other() {
    let _guard = common::guard();
    // More tasks than workers, all of which map, over the pool that they themselves are run by.
    assert_eq!(pool_map!(sum_of_doubles, 1..21; chunk_size = 3).unwrap(), expected(1..21, 1));
    let pool = Pool::builder().workers(2).build().unwrap();
    assert_eq!(pool_map!(in &pool, sum_of_doubles, 1..21).unwrap(), expected(1..21, 1));
    assert_eq!(pool_map!(in &pool, sum_in_a_pool_of_its_own, 0..6).unwrap(), expected(0..6, 2));
}

/// The depth at which no pool is allowed any more, with pools that are made by hand.
#[worker]
fn nest(depth: u32) -> Result<u32, String> {
    match Pool::builder().workers(1).build() {
        Ok(pool) => {
            pool_map!(in &pool, nest, [depth + 1]).map(|depths| depths[0]).map_err(|error| format!("{error:#}"))
        }
        Err(error) if error.is_nested_too_deep() => Ok(depth),
        Err(error) => Err(format!("{error:#}")),
    }
}

#[poolmap::test]
fn pools_made_by_hand_keep_to_the_depth_too() {
    let _guard = common::guard();
    assert_eq!(pool_map!(nest, [1, 1]).unwrap(), [4, 4]);
}

/// Leaves its process id as a file, and goes on for ever.
#[worker]
fn stay(folder: &Path) {
    std::fs::write(folder.join(std::process::id().to_string()), "").unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

/// How a worker ends whose pool is busy.
#[worker]
fn hold_a_busy_pool(folder: &Path, end: &str) -> usize {
    let pool = Pool::builder().workers(2).build().unwrap();
    let paths = || [folder; 2];
    std::thread::scope(|scope| {
        scope.spawn(|| pool_map!(in &pool, stay, paths()));
        wait_until("both are busy", || files(folder).len() == 2);
        match end {
            "KILL" | "TERM" => common::kill(std::process::id(), end),
            "exit" => std::process::exit(9),
            _ => {}
        }
    });
    files(folder).len()
}

/// The processes that have left a file.
fn stayed(folder: &Path) -> Vec<u32> {
    files(folder).iter().map(|path| path.file_name().unwrap().to_str().unwrap().parse().unwrap()).collect()
}

#[poolmap::test]
fn the_workers_of_a_worker_are_gone_with_it() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    for (end, code) in [("KILL", 9), ("TERM", 15), ("exit", 9)] {
        let folder = tempfile::tempdir().unwrap();
        let outcomes = pool_try_map!(in &pool, hold_a_busy_pool, [folder.path()], [end]).unwrap();
        match outcomes[0].as_ref().unwrap_err().kind() {
            TaskErrorKind::Crashed { signal, exit_code, .. } => assert_eq!(signal.or(*exit_code), Some(code), "{end}"),
            other => panic!("{end}: {other:?}"),
        }
        let inner = stayed(folder.path());
        assert_eq!(inner.len(), 2);
        wait_until("the inner workers are gone", || !inner.iter().any(|&pid| is_alive(pid)));
    }
}

#[poolmap::test]
fn a_time_limit_ends_the_workers_of_the_worker_too() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Long enough for the inner workers to start.
    let limit = Duration::from_secs(1);
    let outcomes = pool_try_map!(in &pool, hold_a_busy_pool, [folder.path()], ["none"]; timeout = limit).unwrap();
    let error = outcomes[0].as_ref().unwrap_err();
    assert!(matches!(error.kind(), TaskErrorKind::TimedOut { .. }), "{error}");
    let inner = stayed(folder.path());
    assert_eq!(inner.len(), 2);
    wait_until("the inner workers are gone", || !inner.iter().any(|&pid| is_alive(pid)));
    assert_eq!(pool_map!(in &pool, double, [4]).unwrap(), [8]);
}

#[poolmap::test]
fn shutting_down_a_pool_ends_the_workers_of_its_workers() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| pool_try_map!(hold_a_busy_pool, [folder.path()], ["none"]));
        wait_until("both are busy", || files(folder.path()).len() == 2);
        poolmap::shutdown_global();
        assert!(call.join().unwrap().is_err_and(|error| error.is_closed()));
    });
    let inner = stayed(folder.path());
    wait_until("the inner workers are gone", || !inner.iter().any(|&pid| is_alive(pid)));
}
