//! Blame needs evidence: a task is blamed for a death only if it was begun, or was tried alone.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use poolmap::{Counter, TaskErrorKind, pool_try_map, worker};

/// Counts the beginnings of its task, and ends its worker where it is told to.
#[worker]
fn work(index: usize, dies: bool, begun: &Counter) -> usize {
    begun.add(1);
    if dies {
        std::process::abort();
    }
    index
}

#[poolmap::test]
fn deaths_cost_none_but_the_tasks_that_die() {
    let _guard = common::guard();
    for workers in [1, 2, 3] {
        let pool = common::pool(workers);
        for chunk_size in [1, 7, 50] {
            let begun = Counter::new(0).unwrap();
            let dies = |index: usize| index % 9 == 4;
            let outcomes = pool_try_map!(in &pool, work, 0..180, (0..180).map(dies), poolmap::shared(&begun);
                chunk_size = chunk_size)
            .unwrap();
            for (index, outcome) in outcomes.iter().enumerate() {
                assert_eq!(outcome.is_err(), dies(index), "{workers} {chunk_size} {index}: {outcome:?}");
            }
            assert_eq!(begun.get(), 180, "each was begun once");
        }
    }
}

#[worker]
fn nap(index: u64, begun: &Counter) -> u64 {
    begun.add(1);
    std::thread::sleep(Duration::from_micros(index % 5 * 100));
    index
}

#[poolmap::test]
fn whoever_kills_workers_costs_no_task_that_was_not_begun() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut killed = 0;
            while killed < 60 && !is_over.load(Ordering::SeqCst) {
                for worker in pool.workers() {
                    common::kill(worker.pid(), "KILL");
                    killed += 1;
                }
                std::thread::sleep(Duration::from_millis(killed % 8));
            }
        });
        for chunk_size in [1, 20] {
            let begun = Counter::new(0).unwrap();
            let outcomes = pool_try_map!(in &pool, nap, 0..1500, poolmap::shared(&begun); chunk_size = chunk_size);
            let outcomes = outcomes.unwrap();
            let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count() as i64;
            for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
                assert!(matches!(error.kind(), TaskErrorKind::Crashed { signal: Some(9), .. }), "{error}");
            }
            // One that failed was begun as a rule: its counter may be a moment late, but never counts another.
            assert!(begun.get() + failed >= 1500 && begun.get() <= 1500, "{failed} {}", begun.get());
        }
        is_over.store(true, Ordering::SeqCst);
    });
}
