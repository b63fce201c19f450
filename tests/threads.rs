//! One pool, several threads.

mod common;

use std::time::Duration;

use poolmap::{Pool, pool_iter, pool_map, worker};

#[worker]
fn double(x: usize) -> usize {
    2 * x
}

#[worker]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

#[worker]
fn die_at(task: usize, at: usize) -> usize {
    if task == at {
        std::process::abort();
    }
    task
}

#[poolmap::test]
fn several_threads_map_on_one_pool_at_once() {
    let _guard = common::guard();
    for workers in [1, 2, 4] {
        let pool = Pool::builder().workers(workers).build().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..6usize {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..10 {
                        let from = 1000 * thread + round;
                        let expected: Vec<usize> = (from..from + 300).map(|x| 2 * x).collect();
                        assert_eq!(pool_map!(in pool, double, from..from + 300).unwrap(), expected);
                    }
                });
            }
        });
    }
}

#[poolmap::test]
fn a_crash_in_one_threads_map_is_none_of_anothers() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(3).build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let pool = &pool;
            scope.spawn(move || {
                for _ in 0..20 {
                    let at = if thread == 0 { 25 } else { usize::MAX };
                    let outcomes: Vec<_> = pool_iter!(in pool, die_at, 0..50, std::iter::repeat(at)).unwrap().collect();
                    for (task, outcome) in outcomes.iter().enumerate() {
                        assert_eq!(outcome.is_err(), task == at, "thread {thread}: {outcome:?}");
                    }
                }
            });
        }
    });
}

#[poolmap::test]
fn a_map_inside_the_loop_over_another_goes_on_with_one_worker() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let mut seen = 0;
    for outer in pool_iter!(in &pool, double, 0..200).unwrap() {
        let outer = outer.unwrap();
        assert_eq!(pool_map!(in &pool, double, [outer, 1]).unwrap(), [2 * outer, 2]);
        seen += 1;
    }
    assert_eq!(seen, 200);
}

#[poolmap::test]
fn an_iterator_that_nobody_pulls_keeps_no_one_from_the_workers() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let mut held = pool_iter!(in &pool, double, 0..).unwrap();
    assert_eq!(held.next().unwrap().unwrap(), 0);
    for _ in 0..5 {
        assert_eq!(pool_map!(in &pool, double, 0..100).unwrap().len(), 100);
    }
    assert_eq!(held.next().unwrap().unwrap(), 2);
}

#[poolmap::test]
fn ending_one_map_early_costs_another_nothing() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                let mut results = pool_iter!(in &pool, sleep, std::iter::repeat(2)).unwrap();
                assert!(results.next().unwrap().is_ok());
            }
        });
        for _ in 0..20 {
            let expected: Vec<usize> = (0..100).map(|x| 2 * x).collect();
            assert_eq!(pool_map!(in &pool, double, 0..100; chunk_size = 3).unwrap(), expected);
        }
    });
}

#[poolmap::test]
fn a_pool_outlives_the_thread_that_made_it() {
    let _guard = common::guard();
    let pool = std::thread::spawn(|| {
        let pool = Pool::builder().workers(2).build().unwrap();
        pool.ready().unwrap();
        pool
    });
    let pool = pool.join().unwrap();
    let pids: Vec<u32> = pool.workers().iter().map(poolmap::WorkerInfo::pid).collect();
    assert_eq!(pool_map!(in &pool, double, 0..100).unwrap().len(), 100);
    let after: Vec<u32> = pool.workers().iter().map(poolmap::WorkerInfo::pid).collect();
    assert_eq!(pids, after, "no worker was lost with the thread");
}

#[poolmap::test]
fn shutting_down_the_global_pool_ends_the_calls_on_it() {
    let _guard = common::guard();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pool_map!(sleep, [600_000; 4]).unwrap_err());
        common::wait_until("the workers start", || {
            poolmap::global_pool().is_ok_and(|pool| pool.workers().len() == poolmap::cpu_count())
        });
        poolmap::shutdown_global();
        let error = waiting.join().unwrap();
        assert!(error.is_closed(), "{error}");
    });
}

#[poolmap::test]
fn dropping_a_pool_with_running_tasks_takes_no_longer_than_its_limit() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(3).build().unwrap();
    let mut results = pool_iter!(in &pool, sleep, [0, 600_000, 600_000, 600_000]; chunk_size = 1).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    let pids: Vec<u32> = pool.workers().iter().map(poolmap::WorkerInfo::pid).collect();
    drop(pool);
    assert!(pids.iter().all(|&pid| !common::is_alive(pid)));
    assert!(results.next().unwrap().unwrap_err().is_closed());
    assert!(results.next().is_none());
}
