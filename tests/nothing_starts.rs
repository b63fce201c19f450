//! What has nothing to run starts no worker.

mod common;

use poolmap::{
    Error, Result, global_pool, pool_for_each, pool_iter, pool_iter_unordered, pool_map, pool_reduce, pool_try_map,
    worker,
};

#[worker]
fn seed() -> Option<u64> {
    poolmap::task_seed()
}

#[worker]
fn square(x: i64) -> i64 {
    x * x
}

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

/// Whose argument does not encode.
#[worker]
fn take(_value: Refuses) {}

#[derive(serde::Deserialize)]
struct Refuses;

impl serde::Serialize for Refuses {
    fn serialize<S: serde::Serializer>(&self, _serializer: S) -> std::result::Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no"))
    }
}

fn has_started() -> bool {
    let pool = global_pool().unwrap();
    !pool.workers().is_empty() || pool.stats().workers_started() > 0 || common::threads().contains("poolmap-pool")
}

#[track_caller]
fn starts_nothing(result: Result<()>) {
    result.unwrap();
    assert!(!has_started());
}

#[track_caller]
fn is_refused<T>(result: Result<T>, is_expected: impl Fn(&Error) -> bool) {
    let error = result.map(drop).unwrap_err();
    assert!(is_expected(&error), "{error}");
    assert!(!has_started());
}

#[poolmap::test]
fn an_empty_map_starts_nothing() {
    let _guard = common::guard();
    let none: [i64; 0] = [];
    starts_nothing(pool_map!(square, none).map(|list| assert!(list.is_empty())));
    starts_nothing(pool_map!(square, (0..10).filter(|_| false)).map(|list| assert!(list.is_empty())));
    starts_nothing(pool_map!(add, none, (0..10).filter(|_| false)).map(|list| assert!(list.is_empty())));
    starts_nothing(pool_map!(add, 0..10, none; shortest).map(|list| assert!(list.is_empty())));
    starts_nothing(pool_map!(add, std::iter::repeat(1), none).map(|list| assert!(list.is_empty())));
    starts_nothing(pool_map!(square, none; chunk_size = 10).map(|list| assert!(list.is_empty())));
    starts_nothing(pool_map!(square, none; timeout = common::SOON).map(|list| assert!(list.is_empty())));
    starts_nothing(pool_map!(square, none; deadline = common::SOON).map(|list| assert!(list.is_empty())));
    starts_nothing(pool_map!(square, none; retry_errors = 2).map(|list| assert!(list.is_empty())));
    starts_nothing(pool_try_map!(square, none).map(|list| assert!(list.is_empty())));
    starts_nothing(pool_for_each!(square, none));
    starts_nothing(pool_reduce!(square, none; with = add, identity = 7).map(|sum| assert_eq!(sum, 7)));
    starts_nothing(pool_reduce!(square, (0..10).filter(|_| false); with = add, identity = 7).map(drop));
    starts_nothing(pool_iter!(square, none).map(|iter| assert_eq!(iter.count(), 0)));
    starts_nothing(pool_iter_unordered!(square, none).map(|iter| assert_eq!(iter.count(), 0)));
}

#[poolmap::test]
fn a_map_that_is_refused_starts_nothing() {
    let _guard = common::guard();
    is_refused(pool_map!(add, 0..10, 0..9), Error::is_length_mismatch);
    is_refused(pool_map!(add, 0..10, (0..10).filter(|_| false)), Error::is_length_mismatch);
    is_refused(pool_map!(add, (0..0).filter(|_| true), 0..10), Error::is_length_mismatch);
    is_refused(pool_iter!(add, 0..10, 0..9).map(drop), Error::is_length_mismatch);
    is_refused(pool_map!(square, 0..10; chunk_size = 0), Error::is_invalid_option);
    is_refused(pool_map!(square, 0..10; window = 0), Error::is_invalid_option);
    is_refused(pool_for_each!(square, 0..10; attempts = 0), Error::is_invalid_option);
    is_refused(pool_iter!(square, 0..10; deadline = std::time::Duration::ZERO).map(drop), Error::is_invalid_option);
    is_refused(pool_map!(square, std::iter::repeat(1)), Error::is_endless);
    is_refused(poolmap::pool_map_captured!(square, 0..10), Error::is_invalid_option);
    is_refused(pool_map!(take, [Refuses]), |error| error.task().is_some());
}

#[poolmap::test]
fn a_call_that_does_not_encode_starts_nothing() {
    let _guard = common::guard();
    let does_not_encode = |error: &Error| error.task().is_some();
    is_refused(global_pool().unwrap().submit(take { _value: Refuses }), does_not_encode);
    is_refused(global_pool().unwrap().apply(take { _value: Refuses }), does_not_encode);
    is_refused(global_pool().unwrap().run_on_all(take { _value: Refuses }), does_not_encode);
    // The call that starts the workers is as any other: task 0.
    let first = global_pool().unwrap().apply(seed {}).unwrap();
    assert!(has_started() && first.is_some());
    assert_eq!(global_pool().unwrap().apply(seed {}).unwrap(), first);
    assert_eq!(global_pool().unwrap().apply(square { x: 3 }).unwrap(), 9);
    assert_eq!(global_pool().unwrap().apply(square { x: 4 }).unwrap(), 16);
}

#[poolmap::test]
fn a_lazy_map_starts_at_its_first_item() {
    let _guard = common::guard();
    let mut ordered = pool_iter!(square, 0..10).unwrap();
    let mut unordered = pool_iter_unordered!(square, 0..10).unwrap();
    assert!(!has_started());
    assert_eq!(ordered.next().unwrap().unwrap(), 0);
    assert!(has_started());
    assert!(unordered.next().unwrap().is_ok());
    assert_eq!(ordered.map(Result::unwrap).sum::<i64>(), 285);
    assert_eq!(unordered.filter(Result::is_ok).count(), 9);
}

#[poolmap::test]
fn a_lazy_map_whose_pool_was_ended_before_its_first_item_is_an_error() {
    let _guard = common::guard();
    let mut iter = pool_iter!(square, 0..10).unwrap();
    poolmap::shutdown_global();
    assert!(iter.next().unwrap().unwrap_err().is_closed());
    assert!(iter.next().is_none());
    assert_eq!(pool_map!(square, [3]).unwrap(), [9]);
}
