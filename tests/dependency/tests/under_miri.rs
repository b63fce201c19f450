//! Maps of a program that never calls `init()`, as Miri runs them, which knows no processes.

use std::collections::BTreeMap;
use std::time::Duration;

use renamed::{
    Pool, TaskErrorKind, current_worker, pool_iter_unordered, pool_map, pool_reduce, pool_try_map, shared, worker,
};

#[worker(crate = renamed)]
fn words(text: &str, stops: &[String]) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for word in text.split(' ').filter(|word| stops.iter().all(|stop| stop != word)) {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

#[worker(crate = renamed)]
fn root(x: f64) -> Result<f64, String> {
    assert!(x.is_finite(), "{x} is no number");
    if x < 0.0 { Err(format!("{x} has no root")) } else { Ok(x.sqrt()) }
}

#[worker(crate = renamed)]
fn third_time(task: u32) -> Result<u32, &'static str> {
    if current_worker().is_some_and(|worker| worker.attempt() < 3) { Err("not yet") } else { Ok(task) }
}

#[worker(crate = renamed)]
fn nested(count: i64) -> renamed::Result<i64> {
    Ok(pool_map!(poolmap_suite_dependency::double, 0..count)?.iter().sum())
}

#[worker(crate = renamed)]
fn count(#[state] tasks: &mut Vec<usize>, task: usize) -> usize {
    tasks.push(task);
    tasks.len()
}

#[test]
fn a_map_runs_and_its_failures_are_errors() {
    let pool = Pool::builder().in_process().build().unwrap();
    let stops = ["the".to_owned()];
    let counts = pool_map!(in &pool, words, ["the cat", "the cat and the dog and cat"], shared(&stops)).unwrap();
    assert_eq!((counts[0]["cat"], counts[1]["cat"], counts[1].get("the")), (1, 2, None));
    let roots = pool_try_map!(in &pool, root, [4.0, -1.0, f64::NAN]).unwrap();
    assert_eq!(roots[0].as_ref().ok(), Some(&2.0));
    assert!(matches!(roots[1].as_ref().unwrap_err().kind(), TaskErrorKind::Failed(_)));
    let panic = roots[2].as_ref().unwrap_err().to_string();
    assert!(panic.contains("under_miri.rs:21:5") && panic.contains("NaN is no number"), "{panic}");
    let retried = pool_map!(in &pool, third_time, 0..2; retry_errors = 2, retry_backoff = Duration::from_millis(1));
    assert_eq!(retried.unwrap(), [0, 1]);
    assert_eq!(pool_map!(in &pool, nested, 0..4).unwrap(), [0, 0, 2, 6]);
    let sum = pool_reduce!(in &pool, poolmap_suite_dependency::double, 0..10;
        with = poolmap_suite_dependency::add, identity = 0);
    assert_eq!(sum.unwrap(), 90);
}

#[test]
fn threads_calls_and_the_end_of_a_pool() {
    let pool = Pool::builder().in_process().build().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            // Each thread has a state of its own.
            scope.spawn(|| assert_eq!(pool_map!(in &pool, count, 0..3).unwrap(), [1, 2, 3]));
        }
    });
    let handle = pool.submit(root { x: 9.0 }).unwrap();
    let lazy = pool_iter_unordered!(in &pool, root, (0..).map(f64::from); window = 2).unwrap();
    assert_eq!(lazy.take(3).map(|next| next.unwrap().0).collect::<Vec<_>>(), [0, 1, 2]);
    pool.join().unwrap();
    assert_eq!(handle.join().unwrap(), 3.0);
    assert!(pool.apply(root { x: 1.0 }).unwrap_err().is_closed());
}

/// Whoever runs this sets the variable.
#[test]
fn the_global_pool_is_in_process_where_the_variable_says_so() {
    if std::env::var("POOLMAP_IN_PROCESS").is_ok_and(|value| value == "1") {
        assert_eq!(pool_map!(root, [1.0, 4.0]).unwrap(), [1.0, 2.0]);
        renamed::shutdown_global();
    }
}
