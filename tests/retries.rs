//! Tasks that fail and are executed again, and what stands in the place of a task that failed.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use poolmap::{
    Collect, Pool, Replace, TaskError, TaskErrorKind, current_worker, pool_for_each, pool_iter, pool_iter_unordered,
    pool_map, pool_reduce, pool_try_map, worker,
};

const AT_ONCE: Duration = Duration::ZERO;

fn attempt() -> u32 {
    current_worker().map_or(0, |worker| worker.attempt())
}

/// Every third task fails at its first executions, every fifth panics, and so on.
#[worker]
fn fail_before(attempts: u32, index: usize) -> Result<usize, String> {
    match index {
        index if index % 3 == 1 && attempt() < attempts => Err(format!("execution {} of {index}", attempt())),
        index if index % 5 == 2 && attempt() < attempts => panic!("execution {} of {index}", attempt()),
        index => Ok(2 * index),
    }
}

#[worker]
fn fail(index: usize) -> Result<usize, String> {
    if index % 2 == 1 { Err(format!("{index} is odd, execution {}", attempt())) } else { Ok(index) }
}

/// Dies at the first execution, fails at the second, and dies at the third.
#[worker]
fn die_and_fail(_task: usize) -> Result<u32, String> {
    match attempt() {
        1 | 3 => std::process::exit(9),
        2 => Err("the second".into()),
        attempt => Ok(attempt),
    }
}

#[worker]
fn fail_always(_task: u32) -> Result<(), String> {
    Err("again".into())
}

#[worker]
fn add(x: usize, y: usize) -> usize {
    x + y
}

fn every_layout(mut test: impl FnMut(&Pool, usize)) {
    for workers in [1, 2, 5] {
        let pool = common::pool(workers);
        for chunk_size in [1, 7, 64] {
            test(&pool, chunk_size);
        }
    }
}

#[poolmap::test]
fn tasks_that_fail_are_executed_again_and_every_front_has_each_result_once() {
    let _guard = common::guard();
    let expected: Vec<usize> = (0..150).map(|index| 2 * index).collect();
    let three = || std::iter::repeat(3);
    every_layout(|pool, size| {
        let options = (2, AT_ONCE);
        let list = pool_map!(in pool, fail_before, three(), 0..150; chunk_size = size, retry_errors = options.0, retry_backoff = options.1);
        assert_eq!(list.unwrap(), expected);
        let tried = pool_try_map!(in pool, fail_before, three(), 0..150; chunk_size = size, retry_errors = 2, retry_backoff = AT_ONCE);
        assert_eq!(tried.unwrap().into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected);
        let lazy = pool_iter!(in pool, fail_before, three(), 0..150; chunk_size = size, window = 10, retry_errors = 2, retry_backoff = AT_ONCE);
        assert_eq!(lazy.unwrap().map(Result::unwrap).collect::<Vec<_>>(), expected);
        let unordered = pool_iter_unordered!(in pool, fail_before, three(), 0..150; chunk_size = size, retry_errors = 2, retry_backoff = AT_ONCE);
        let mut pairs: Vec<_> = unordered.unwrap().map(Result::unwrap).collect();
        pairs.sort_unstable();
        assert_eq!(pairs, expected.iter().copied().enumerate().collect::<Vec<_>>());
        let sum = pool_reduce!(in pool, fail_before, three(), 0..150; with = add, identity = 0, chunk_size = size, retry_errors = 2, retry_backoff = AT_ONCE);
        assert_eq!(sum.unwrap(), expected.iter().sum::<usize>());
        pool_for_each!(in pool, fail_before, three(), 0..150; chunk_size = size, retry_errors = 2, retry_backoff = AT_ONCE).unwrap();
    });
}

#[poolmap::test]
fn chunks_of_the_default_size_are_kept_for_those_that_fail() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let expected: Vec<usize> = (0..20_000).map(|index| 2 * index).collect();
    let list =
        pool_map!(in &pool, fail_before, std::iter::repeat(2), 0..20_000; retry_errors = 1, retry_backoff = AT_ONCE);
    assert_eq!(list.unwrap(), expected);
}

#[poolmap::test]
fn an_execution_too_few_is_an_error_with_all_causes() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let outcomes = pool_try_map!(in &pool, fail, 0..20; chunk_size = 7, retry_errors = 3, retry_backoff = Duration::from_millis(1));
    for (index, outcome) in outcomes.unwrap().into_iter().enumerate() {
        if index % 2 == 0 {
            assert_eq!(outcome.unwrap(), index);
            continue;
        }
        let error = outcome.unwrap_err();
        assert_eq!((error.index(), error.attempts()), (index, 4));
        let causes: Vec<String> = error
            .causes()
            .map(|cause| match cause {
                TaskErrorKind::Failed(failure) => failure.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected: Vec<String> = (1..=4).map(|attempt| format!("{index} is odd, execution {attempt}")).collect();
        assert_eq!(causes, expected);
    }
}

#[poolmap::test]
fn the_first_final_failure_stops_the_map() {
    let _guard = common::guard();
    let error = pool_map!(in &common::pool(2), fail, 0..; retry_errors = 1, retry_backoff = AT_ONCE);
    assert!(error.unwrap_err().task().is_none(), "an endless input has no list");
    let error = pool_map!(in &common::pool(2), fail, 0..20; retry_errors = 1, retry_backoff = AT_ONCE).unwrap_err();
    assert_eq!(error.task().map(TaskError::attempts), Some(2));
}

#[poolmap::test]
fn the_condition_decides_in_the_parent() {
    let _guard = common::guard();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let outcomes = pool_try_map!(in &common::pool(2), fail, 0..10; retry_errors = 5, retry_backoff = AT_ONCE,
    retry_if = move |error| {
        count.fetch_add(1, Ordering::Relaxed);
        error.index() == 3
    });
    let attempts: Vec<u32> =
        outcomes.unwrap().into_iter().filter_map(Result::err).map(|error| error.attempts()).collect();
    assert_eq!(attempts, [1, 6, 1, 1, 1]);
    // Four are asked about once, and one before each of its further executions.
    assert_eq!(asked.load(Ordering::Relaxed), 4 + 5);
}

#[poolmap::test]
fn a_condition_that_panics_reaches_the_caller_and_the_pool_stays_usable() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(
        || pool_map!(in &pool, fail, 0..10; retry_errors = 1, retry_if = |_| panic!("no answer")),
    ));
    assert!(panicked.is_err());
    assert_eq!(pool_map!(in &pool, add, [1], [2]).unwrap(), [3]);
}

#[poolmap::test]
fn deaths_and_failures_are_counted_each_by_themselves() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let run = |attempts, executions| pool_map!(in &pool, die_and_fail, 0..3; attempts = attempts, retry_errors = executions, retry_backoff = AT_ONCE);
    assert_eq!(run(3, 1).unwrap(), [4; 3]);
    let error = run(2, 1).unwrap_err();
    let task = error.task().unwrap();
    assert_eq!((task.attempts(), task.causes().count()), (3, 3));
    assert!(matches!(task.kind(), TaskErrorKind::Crashed { .. }));
}

#[poolmap::test]
fn what_waits_has_timed_out_at_the_deadline() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let long = Duration::from_secs(3600);
    let outcomes = pool_try_map!(in &pool, fail_always, [0]; retry_errors = 1, retry_backoff = long,
        deadline = Duration::from_secs(1));
    let error = outcomes.unwrap().pop().unwrap().unwrap_err();
    assert_eq!(error.attempts(), 1);
    let kinds: Vec<_> = error.causes().collect();
    assert!(matches!(kinds[..], [TaskErrorKind::Failed(_), TaskErrorKind::TimedOut { .. }]), "{error:?}");
}

#[poolmap::test]
fn an_iterator_that_is_dropped_waits_for_nobody() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let mut lazy =
        pool_iter!(in &pool, fail, 0..; retry_errors = 1, retry_backoff = Duration::from_secs(3600)).unwrap();
    assert_eq!(lazy.next().unwrap().unwrap(), 0);
    drop(lazy);
    assert_eq!(pool_map!(in &pool, add, [1], [2]).unwrap(), [3]);
}

#[poolmap::test]
fn options_that_say_nothing_are_errors() {
    let _guard = common::guard();
    let pool = common::pool(1);
    for error in [
        pool_map!(in &pool, fail, 0..1; retry_errors = 0).unwrap_err(),
        pool_map!(in &pool, fail, 0..1; retry_backoff = AT_ONCE).unwrap_err(),
        pool_map!(in &pool, fail, 0..1; retry_if = |_| true).unwrap_err(),
    ] {
        assert!(error.to_string().contains("retry_"), "{error}");
    }
}

#[poolmap::test]
fn a_failed_task_is_replaced_collected_or_stops() {
    let _guard = common::guard();
    every_layout(|pool, size| {
        let replaced = pool_map!(in pool, fail, 0..30; chunk_size = size, on_error = Replace(99)).unwrap();
        let expected: Vec<usize> = (0..30).map(|index| if index % 2 == 0 { index } else { 99 }).collect();
        assert_eq!(replaced, expected);
        let offset = 100;
        let computed =
            pool_map!(in pool, fail, 0..30; chunk_size = size, on_error = |error: &TaskError| offset + error.index());
        let expected: Vec<usize> = (0..30).map(|index| if index % 2 == 0 { index } else { 100 + index }).collect();
        assert_eq!(computed.unwrap(), expected);
        let collected = pool_map!(in pool, fail, 0..30; chunk_size = size, on_error = Collect).unwrap();
        assert_eq!(collected.iter().filter(|outcome| outcome.is_err()).count(), 15);
        assert!(
            pool_map!(in pool, fail, 0..30; chunk_size = size, on_error = poolmap::Stop).unwrap_err().task().is_some()
        );
        let retried = pool_map!(in pool, fail, 0..30; chunk_size = size, on_error = |error: &TaskError| error.attempts() as usize,
            retry_errors = 2, retry_backoff = AT_ONCE);
        assert_eq!(retried.unwrap()[1], 3);
    });
}

struct Odd(usize);

impl serde::Serialize for Odd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 4 == 2 {
            return Err(serde::ser::Error::custom("it does not encode"));
        }
        serializer.serialize_u64(self.0 as u64)
    }
}

impl<'de> serde::Deserialize<'de> for Odd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::Deserialize::deserialize(deserializer).map(Self)
    }
}

#[worker]
fn fail_odd(index: Odd) -> Result<usize, String> {
    Err(format!("{} fails", index.0))
}

#[poolmap::test]
fn what_does_not_encode_costs_no_other_task_its_retries() {
    let _guard = common::guard();
    for workers in [1, 2] {
        for chunk_size in [1, 3, 100] {
            let pool = common::pool(workers);
            let outcomes = pool_try_map!(
                in &pool, fail_odd, (0..40).map(Odd);
                retry_errors = 1, retry_backoff = Duration::ZERO, chunk_size = chunk_size
            );
            for (index, outcome) in outcomes.unwrap().into_iter().enumerate() {
                let executions = if index % 4 == 2 { 0 } else { 2 };
                assert_eq!(outcome.unwrap_err().attempts(), executions, "task {index}");
            }
        }
    }
}
