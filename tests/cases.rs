//! Cases that someone who comes from Python would try first.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use poolmap::{Pool, TaskErrorKind, pool_map, pool_try_map, worker};
use serde::ser::{Error, SerializeTuple};
use serde::{Deserialize, Serialize, Serializer};

#[worker]
fn collatz(start: u64) -> (u64, u32) {
    let steps = std::iter::successors(Some(start), |&x| if x % 2 == 0 { Some(x / 2) } else { Some(3 * x + 1) });
    (start, steps.take_while(|&x| x > 1).count() as u32)
}

#[worker]
fn pid(_task: usize) -> u32 {
    std::process::id()
}

#[worker]
fn other_pid(_task: usize) -> u32 {
    std::process::id()
}

#[worker]
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|place| place as u8 ^ (place >> 8) as u8).collect()
}

#[worker]
fn gigabyte(_task: usize) -> Vec<u64> {
    vec![0x0123_4567_89ab_cdef; 1 << 27]
}

#[poolmap::test]
fn a_map_with_one_worker_equals_the_serial_one() {
    let _guard = common::guard();
    let serial: Vec<_> = (1..2000).map(collatz).collect();
    let pool = common::pool(1);
    assert_eq!(pool_map!(in &pool, collatz, 1..2000).unwrap(), serial);
    for size in [1, 7] {
        assert_eq!(pool_map!(in &pool, collatz, 1..2000; chunk_size = size).unwrap(), serial);
    }
}

#[poolmap::test]
fn two_maps_of_different_functions_reuse_the_same_processes() {
    let _guard = common::guard();
    let pool = common::pool(2);
    pool.ready().unwrap();
    let workers: BTreeSet<u32> = pool.workers().iter().map(|worker| worker.pid()).collect();
    let first: BTreeSet<u32> = pool_map!(in &pool, pid, 0..100; chunk_size = 1).unwrap().into_iter().collect();
    let second: BTreeSet<u32> = pool_map!(in &pool, other_pid, 0..100; chunk_size = 1).unwrap().into_iter().collect();
    assert!(first.is_subset(&workers) && second.is_subset(&workers), "{workers:?} {first:?} {second:?}");
    assert_eq!(pool.workers().iter().map(|worker| worker.pid()).collect::<BTreeSet<_>>(), workers);
}

#[poolmap::test]
fn a_pool_made_in_a_thread_that_has_ended_goes_on_working() {
    let _guard = common::guard();
    let (pool, workers) = std::thread::spawn(|| {
        let pool = common::pool(2);
        pool.ready().unwrap();
        let workers: Vec<u32> = pool.workers().iter().map(|worker| worker.pid()).collect();
        (pool, workers)
    })
    .join()
    .unwrap();
    let serial: Vec<_> = (1..500).map(collatz).collect();
    assert_eq!(pool_map!(in &pool, collatz, 1..500).unwrap(), serial);
    assert!(pool_map!(in &pool, pid, 0..20).unwrap().iter().all(|pid| workers.contains(pid)));
}

#[poolmap::test]
fn one_task_a_worker_gives_all_distinct_processes() {
    let _guard = common::guard();
    for workers in [1, 2, 5] {
        let pool = Pool::builder().workers(workers).max_tasks_per_worker(1).build().unwrap();
        let pids = pool_map!(in &pool, pid, 0..20).unwrap();
        assert_eq!(pids.iter().collect::<BTreeSet<_>>().len(), 20, "{pids:?}");
    }
}

#[poolmap::test]
fn results_of_every_size_come_back_whole() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let sizes = [0, 1, 65_535, 65_536, 65_537, 16 << 20, 0];
    for chunk_size in [1, 7] {
        let results = pool_map!(in &pool, bytes, sizes; chunk_size = chunk_size).unwrap();
        for (result, length) in results.iter().zip(sizes) {
            assert_eq!(result.len(), length);
            assert!(result.iter().enumerate().all(|(place, &byte)| byte == place as u8 ^ (place >> 8) as u8));
        }
    }
}

/// Bytes that may turn out not to be encoded, at their end.
#[derive(Deserialize)]
#[serde(from = "(Vec<u8>, bool)")]
struct Load {
    bytes: Vec<u8>,
    is_refused: bool,
}

impl From<(Vec<u8>, bool)> for Load {
    fn from((bytes, is_refused): (Vec<u8>, bool)) -> Self {
        Self { bytes, is_refused }
    }
}

impl Serialize for Load {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&self.bytes)?;
        if self.is_refused {
            return Err(Error::custom("too heavy"));
        }
        tuple.serialize_element(&self.is_refused)?;
        tuple.end()
    }
}

#[worker]
fn unload(task: u64, load: Load) -> (u64, usize, bool) {
    (task, load.bytes.len(), !load.is_refused && load.bytes.iter().step_by(61).all(|&byte| byte == task as u8))
}

#[poolmap::test]
fn arguments_of_every_size_among_one_another_come_whole() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let length = |task: u64| match task {
        700 | 2400 => 5 << 20,
        1500 => 40 << 20,
        _ if task.is_multiple_of(97) => 70_000,
        _ if task.is_multiple_of(31) => (task * 13) as usize,
        _ => (task * task % 211) as usize,
    };
    let is_refused = |task: u64| task.is_multiple_of(89);
    let load = |task| Load { bytes: vec![task as u8; length(task)], is_refused: is_refused(task) };
    for chunk_size in [1, 50, 1000] {
        let outcomes = pool_try_map!(in &pool, unload, 0..3000, (0..3000).map(load); chunk_size = chunk_size).unwrap();
        for (task, outcome) in (0..).zip(&outcomes) {
            match outcome {
                Ok(unloaded) => assert!(!is_refused(task) && *unloaded == (task, length(task), true), "{unloaded:?}"),
                Err(error) => {
                    assert!(is_refused(task) && format!("{error:#}").contains("too heavy"), "task {task}: {error}");
                    assert!(matches!(error.kind(), TaskErrorKind::Encode(_)));
                }
            }
        }
        assert_eq!(outcomes.len(), 3000);
    }
}

#[poolmap::test]
#[ignore = "it touches 4 GiB of memory, which takes 5 s of processor time"]
fn a_result_of_one_gibibyte_comes_back_whole() {
    let guard = common::guard();
    guard.allow(Duration::from_secs(300));
    let pool = common::pool(1);
    let result = pool_map!(in &pool, gigabyte, [0]).unwrap().remove(0);
    assert_eq!(result.len(), 1 << 27);
    assert!(result.chunks(1 << 16).all(|part| part == &result[..1 << 16]) && result[7] == 0x0123_4567_89ab_cdef);
}
