//! Workers that have served long enough end, and others take their places.

mod common;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poolmap::{Pool, pool_map, pool_try_map, worker};

#[worker]
fn pid(_task: usize) -> u32 {
    std::process::id()
}

#[worker]
fn pid_or_die(task: usize) -> u32 {
    if task.is_multiple_of(10) {
        std::process::abort();
    }
    std::process::id()
}

thread_local! {
    static LEAKED: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
}

/// Keeps so many bytes for ever.
#[worker]
fn leak(bytes: usize) -> u32 {
    let mut leaked = LEAKED.take();
    leaked.push(vec![1; bytes]);
    LEAKED.set(leaked);
    std::thread::sleep(Duration::from_millis(30));
    std::process::id()
}

fn counts(pids: impl IntoIterator<Item = u32>) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for pid in pids {
        *counts.entry(pid).or_default() += 1;
    }
    counts
}

#[poolmap::test]
fn a_worker_runs_no_more_tasks_than_it_may() {
    let _guard = common::guard();
    for (workers, most, tasks) in [(1, 1, 12), (2, 1, 30), (2, 7, 200), (3, 100, 1000)] {
        let pool = Pool::builder().workers(workers).max_tasks_per_worker(most).build().unwrap();
        for chunk_size in [1, 5, 64] {
            let served = counts(pool_map!(in &pool, pid, 0..tasks; chunk_size = chunk_size).unwrap());
            assert!(served.values().all(|&count| count <= most), "{served:?}");
        }
        let served = counts(pool_map!(in &pool, pid, 0..tasks).unwrap());
        assert!(served.values().all(|&count| count <= most), "{served:?}");
        if most == 1 {
            assert_eq!(served.len(), tasks, "a worker has run two tasks");
        }
    }
}

#[poolmap::test]
fn workers_that_die_and_workers_that_retire_lose_no_task() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).max_tasks_per_worker(3).build().unwrap();
    let outcomes = pool_try_map!(in &pool, pid_or_die, 0..100; chunk_size = 8).unwrap();
    let failed: Vec<usize> = (0..100).filter(|&task| outcomes[task].is_err()).collect();
    assert_eq!(failed, (0..100).step_by(10).collect::<Vec<_>>());
    assert!(counts(outcomes.into_iter().flatten()).values().all(|&count| count <= 3));
}

#[cfg(target_os = "linux")]
#[poolmap::test]
fn a_worker_that_leaks_is_replaced_between_two_tasks() {
    let _guard = common::guard();
    if option_env!("POOLMAP_PORTABLE").is_some() {
        let error = Pool::builder().max_memory_per_worker(1).build().unwrap_err();
        assert!(error.is_invalid_option(), "{error}");
        return;
    }
    let pool = Pool::builder().workers(1).max_memory_per_worker(64 << 20).build().unwrap();
    let served = counts(pool_map!(in &pool, leak, [8 << 20; 40]).unwrap());
    assert!(served.len() > 1, "320 MiB were leaked by one worker");
    assert_eq!(served.values().sum::<usize>(), 40);
}

#[poolmap::test]
fn workers_without_work_end_and_others_start_with_the_next_call() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).idle_timeout(Duration::from_millis(100)).build().unwrap();
    let mut before = BTreeSet::new();
    for _ in 0..3 {
        let pids: BTreeSet<u32> = pool_map!(in &pool, pid, 0..10).unwrap().into_iter().collect();
        assert!(pids.is_disjoint(&before), "{pids:?} {before:?}");
        common::wait_until("the workers end", || pool.workers().is_empty());
        common::wait_until("they are reaped", || common::children(std::process::id()).is_empty());
        assert!(pids.iter().all(|&pid| !common::is_alive(pid)));
        before.extend(pids);
    }
    // On a busy machine the first may have ended again before the second is ready.
    pool.ready().unwrap();
}

#[poolmap::test]
fn what_allows_nothing_is_refused() {
    let _guard = common::guard();
    for builder in [
        Pool::builder().max_tasks_per_worker(0),
        Pool::builder().max_memory_per_worker(0),
        Pool::builder().idle_timeout(Duration::ZERO),
    ] {
        let error = builder.build().unwrap_err();
        assert!(error.is_invalid_option(), "{error}");
    }
}

#[worker]
fn pid_after(millis: u64) -> u32 {
    std::thread::sleep(Duration::from_millis(millis));
    std::process::id()
}

#[poolmap::test]
fn a_worker_that_is_old_ends_after_its_task_and_another_takes_its_place() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).max_age_per_worker(Duration::from_millis(300)).build().unwrap();
    pool.ready().unwrap();
    let first = pool.workers()[0].pid();
    // Without work, too.
    common::wait_until("another worker serves", || pool.workers().first().is_some_and(|worker| worker.pid() != first));
    // What runs is not disturbed, and nothing is lost.
    let handles: Vec<_> = (0..4).map(|_| pool.submit(pid_after { millis: 400 }).unwrap()).collect();
    let pids: BTreeSet<u32> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
    assert!(pids.len() >= 3, "a worker has served for longer: {pids:?}");
    assert_eq!(pool_map!(in &pool, pid, 0..1000).unwrap().len(), 1000);
    assert_eq!(pool.stats().workers_lost(), 0);
    let error = Pool::builder().workers(1).max_age_per_worker(Duration::ZERO).build().unwrap_err();
    assert_eq!(error.to_string(), "`max_age_per_worker` must be greater than zero, got 0");
}
