//! Rows that come as tuples, and the seed of each task.

mod common;

use std::collections::BTreeSet;

use poolmap::{current_worker, pool_iter, pool_map, pool_try_map, task_seed, worker};

#[worker]
fn divide(x: i64, y: i64) -> Result<i64, String> {
    x.checked_div(y).ok_or_else(|| format!("{x} / {y}"))
}

#[worker]
fn describe(name: &str, numbers: &[u8], last: Option<char>) -> String {
    format!("{name} {numbers:?} {last:?}")
}

#[worker]
fn double(x: u32) -> u32 {
    2 * x
}

#[worker]
#[allow(clippy::too_many_arguments)]
fn twelve(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8) -> Vec<u8> {
    vec![a, b, c, d, e, f, g, h, i, j, k, l]
}

#[worker]
fn seed(_task: usize) -> Option<u64> {
    task_seed()
}

/// The first execution dies, and panics before it where it is to.
#[worker]
fn seed_at_last(index: usize) -> Option<u64> {
    if current_worker().is_some_and(|worker| worker.attempt() == 1) {
        match index % 10 {
            3 => std::process::exit(3),
            4 => panic!("the first execution"),
            _ => {}
        }
    }
    std::thread::scope(|scope| scope.spawn(task_seed).join().unwrap())
}

#[worker]
fn large_seed(_task: usize) -> (Option<u64>, Vec<u8>) {
    (task_seed(), vec![0; 3 << 20])
}

#[poolmap::test]
fn a_tuple_is_a_row() {
    let _guard = common::guard();
    for workers in [1, 2, 5] {
        let pool = common::pool(workers);
        let pairs: Vec<(i64, i64)> = (1..200).map(|x| (x * x, x)).collect();
        let expected: Vec<i64> = (1..200).collect();
        assert_eq!(pool_map!(in &pool, divide, *pairs.clone()).unwrap(), expected);
        for size in [1, 7] {
            assert_eq!(pool_map!(in &pool, divide, *&pairs; chunk_size = size).unwrap(), expected);
            let lazy = pool_iter!(in &pool, divide, *pairs.iter(); chunk_size = size, window = 5).unwrap();
            assert_eq!(lazy.map(Result::unwrap).collect::<Vec<_>>(), expected);
        }
    }
}

#[poolmap::test]
fn elements_are_what_items_may_be() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let numbers = vec![1, 2];
    let rows = [("a", &numbers[..], None), ("b", &[][..], Some('ä'))];
    let expected = ["a [1, 2] None", "b [] Some('ä')"];
    assert_eq!(pool_map!(in &pool, describe, *rows).unwrap(), expected);
    assert_eq!(pool_map!(in &pool, describe, *[(String::from("a"), numbers, None)]).unwrap(), expected[..1]);
    assert_eq!(pool_map!(in &pool, double, *(0..3).map(|x| (x,))).unwrap(), [0, 2, 4]);
    let row: Vec<u8> = (0..12).collect();
    assert_eq!(pool_map!(in &pool, twelve, *[(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)]).unwrap(), [row]);
    let zipped = pool_try_map!(in &pool, divide, *(0..).zip([1, 0]); shortest).unwrap();
    assert!(zipped[0].is_ok() && zipped[1].is_err());
}

#[poolmap::test]
fn a_seed_is_the_tasks_whatever_the_workers_and_chunks() {
    let _guard = common::guard();
    let expected = pool_map!(in &common::pool(1), seed, 0..3000; seed = 42, chunk_size = 1).unwrap();
    assert!(expected.iter().all(Option::is_some));
    assert_eq!(expected.iter().collect::<BTreeSet<_>>().len(), 3000);
    for workers in [1, 2, 5] {
        let pool = common::pool(workers);
        assert_eq!(pool_map!(in &pool, seed, 0..3000; seed = 42).unwrap(), expected);
        assert_eq!(pool_map!(in &pool, seed, 0..3000; seed = 42, chunk_size = 7).unwrap(), expected);
        let of_zero = pool_map!(in &pool, seed, 0..100).unwrap();
        assert_eq!(of_zero, pool_map!(in &pool, seed, 0..100; seed = 0).unwrap());
        assert!(of_zero.iter().all(|seed| !expected.contains(seed)));
        assert_eq!(pool.apply(seed { _task: 0 }).unwrap(), of_zero[0]);
        let large = pool_map!(in &pool, large_seed, 0..10; seed = 42, chunk_size = 5).unwrap();
        assert_eq!(large.into_iter().map(|(seed, _)| seed).collect::<Vec<_>>(), expected[..10]);
    }
    assert_eq!(task_seed(), None);
}

#[poolmap::test]
fn a_seed_is_the_tasks_whatever_the_attempts() {
    let _guard = common::guard();
    let expected = pool_map!(in &common::pool(1), seed, 0..30; seed = 7).unwrap();
    for size in [1, 7] {
        let again = pool_map!(in &common::pool(2), seed_at_last, 0..30; seed = 7, chunk_size = size, attempts = 2, retry_errors = 1,
            retry_backoff = std::time::Duration::ZERO);
        assert_eq!(again.unwrap(), expected);
    }
}
