//! A pool's life: closed, joined, terminated, made larger and smaller.

mod common;

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use poolmap::{pool_iter, pool_map, worker};

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
fn pid(_task: usize) -> u32 {
    std::process::id()
}

#[worker]
fn abort() {
    std::process::abort();
}

const MINUTE: u64 = 60_000;

#[poolmap::test]
fn a_closed_pool_finishes_what_it_has_and_takes_nothing_more() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let handles: Vec<_> = (0..20).map(|_| pool.submit(sleep { millis: 20 }).unwrap()).collect();
    pool.close();
    assert!(pool.submit(double { x: 1 }).unwrap_err().is_closed());
    assert!(pool_map!(in &pool, double, [1]).unwrap_err().is_closed());
    assert!(pool.resize(3).unwrap_err().is_closed());
    pool.join().unwrap();
    assert_eq!(common::children(std::process::id()), [0u32; 0]);
    for handle in handles {
        assert!(handle.is_finished());
        assert_eq!(handle.join().unwrap(), 20);
    }
    pool.join().unwrap();
    pool.close();
    pool.terminate();
    let error = pool.apply(double { x: 1 }).unwrap_err();
    assert!(error.is_closed() && error.to_string().contains("was shut down"), "{error}");
    assert!(pool.workers().is_empty());
    assert_eq!(pool.stats(), poolmap::Stats::default());
}

#[poolmap::test]
fn join_waits_for_maps_of_other_threads_and_for_callbacks() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let (begun, has_begun) = channel();
    let (sender, receiver) = channel();
    pool.submit(double { x: 4 }).unwrap().on_done(move |output| {
        std::thread::sleep(Duration::from_millis(100));
        sender.send(output.unwrap()).unwrap();
    });
    std::thread::scope(|scope| {
        let pool = &pool;
        let map = scope.spawn(move || {
            let tasks = (0..200usize).inspect(|&task| {
                if task == 1 {
                    begun.send(()).unwrap();
                }
            });
            pool_map!(in pool, sleep, tasks.map(|_| 2))
        });
        has_begun.recv_timeout(common::SOON).unwrap();
        pool.join().unwrap();
        assert_eq!(receiver.try_recv().unwrap(), 8);
        assert_eq!(map.join().unwrap().unwrap(), [2; 200]);
    });
}

#[poolmap::test]
fn join_does_not_wait_for_a_lazy_map_that_nobody_pulls() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let mut lazy = pool_iter!(in &pool, double, 0..).unwrap();
    assert_eq!(lazy.next().unwrap().unwrap(), 0);
    pool.join().unwrap();
    let last = lazy.by_ref().find_map(Result::err).unwrap();
    assert!(last.is_closed(), "{last}");
    assert!(lazy.next().is_none());
}

#[poolmap::test]
fn a_pool_without_a_task_is_joined_at_once() {
    let _guard = common::guard();
    for workers in [1, 5] {
        let pool = common::pool(workers);
        pool.join().unwrap();
    }
    let pool = common::pool(1);
    pool.ready().unwrap();
    pool.join().unwrap();
}

#[poolmap::test]
fn join_goes_on_when_workers_die() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let crashing: Vec<_> = (0..5).map(|_| pool.submit(abort {}).unwrap()).collect();
    let fine = pool.submit(double { x: 1 }).unwrap();
    pool.join().unwrap();
    assert!(crashing.into_iter().all(|handle| handle.join().unwrap_err().task().is_some()));
    assert_eq!(fine.join().unwrap(), 2);
}

#[poolmap::test]
fn terminate_ends_a_join_of_another_thread() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let handle = pool.submit(sleep { millis: MINUTE }).unwrap();
    std::thread::scope(|scope| {
        let joined = scope.spawn(|| pool.join());
        common::wait_until("the pool is closed", || pool.submit(double { x: 1 }).is_err());
        let started = Instant::now();
        pool.terminate();
        joined.join().unwrap().unwrap();
        assert!(started.elapsed() < common::SOON);
    });
    assert!(handle.join().unwrap_err().is_closed());
}

#[poolmap::test]
fn resizing_under_load_loses_nothing() {
    let _guard = common::guard();
    let pool = common::pool(12);
    std::thread::scope(|scope| {
        let pool = &pool;
        let map = scope.spawn(move || pool_map!(in pool, sleep, (0..2000).map(|_| 1)));
        let handles: Vec<_> = (0..500).map(|x| pool.submit(double { x }).unwrap()).collect();
        for workers in [12, 2, 1, 12, 6, 1, 8, 5] {
            pool.resize(workers).unwrap();
            assert_eq!(pool.stats().workers(), workers);
            std::thread::sleep(Duration::from_millis(30));
        }
        assert_eq!(map.join().unwrap().unwrap(), [1; 2000]);
        for (x, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().unwrap(), 2 * x);
        }
    });
    common::wait_until("5 workers are there", || pool.workers().len() == 5);
    pool.ready().unwrap();
    assert_eq!(pool.stats().workers_lost(), 0);
    let mut pids = pool_map!(in &pool, pid, 0..2000).unwrap();
    pids.sort_unstable();
    pids.dedup();
    assert!(pids.len() <= 5);
}

#[poolmap::test]
fn stats_tell_what_a_pool_has_done() {
    let _guard = common::guard();
    let pool = common::pool(2);
    pool_map!(in &pool, double, 0..100).unwrap();
    pool.apply(abort {}).unwrap_err();
    pool.ready().unwrap();
    let stats = pool.stats();
    assert_eq!((stats.workers(), stats.busy_workers(), stats.tasks_waiting(), stats.tasks_at_workers()), (2, 0, 0, 0));
    assert_eq!((stats.tasks_finished(), stats.workers_started(), stats.workers_lost()), (100, 3, 1));
    let handles: Vec<_> = (0..5).map(|_| pool.submit(sleep { millis: MINUTE }).unwrap()).collect();
    common::wait_until("both work", || pool.stats().busy_workers() == 2);
    let stats = pool.stats();
    assert_eq!(stats.tasks_waiting() + stats.tasks_at_workers(), 5);
    drop(handles);
}

#[poolmap::test]
fn two_joins_at_once_wait_for_the_calls_and_not_for_each_other() {
    let _guard = common::guard();
    let pool = common::pool(2);
    std::thread::scope(|scope| {
        let pool = &pool;
        let map = scope.spawn(move || pool_map!(in pool, sleep, (0..100).map(|_| 2)));
        common::wait_until("the map runs", || pool.stats().tasks_finished() > 0);
        let joins = [(); 2].map(|()| scope.spawn(|| pool.join()));
        joins.into_iter().for_each(|join| join.join().unwrap().unwrap());
        assert_eq!(map.join().unwrap().unwrap(), [2; 100]);
    });
}

#[poolmap::test]
fn a_call_in_every_worker_ends_while_the_pool_is_made_smaller() {
    let _guard = common::guard();
    let pool = common::pool(4);
    std::thread::scope(|scope| {
        let pool = &pool;
        let resizing = scope.spawn(move || {
            for workers in [1, 4, 2, 3, 1, 4].repeat(5) {
                pool.resize(workers).unwrap();
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        while !resizing.is_finished() {
            // A worker that is gone is a cancelled task.
            if let Err(error) = pool.run_on_all(pid { _task: 0 }) {
                assert!(error.task().is_some(), "{error}");
            }
        }
    });
    pool.resize(2).unwrap();
    common::wait_until("2 workers are left", || pool.workers().len() == 2);
    assert_eq!(pool.run_on_all(pid { _task: 0 }).unwrap().len(), 2);
}
