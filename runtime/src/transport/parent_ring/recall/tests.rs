//! The rules of a recall in every interleaving, as far as the memory model lets it be reordered. A fence that one process sets for both
//! is modelled as one on each side.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::sync::atomic::{AtomicU32, AtomicU64, fence};

/// What the worker has claimed.
const TASKS: u64 = 2;

#[derive(Default)]
struct Shared {
    begun: AtomicU64,
    revoked: AtomicU64,
    /// How often each task was run, by the worker or by another.
    runs: [AtomicU32; TASKS as usize],
}

impl Shared {
    fn run(&self, task: u64) {
        self.runs[task as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Rule 1; gives how many tasks were run.
    fn work(&self, fence: impl Fn()) -> u64 {
        for task in 0..TASKS {
            self.begun.store(task + 1, Ordering::Release);
            fence();
            if self.revoked.load(Ordering::Relaxed) == 1 {
                return task;
            }
            self.run(task);
        }
        TASKS
    }

    /// Rule 2; gives how many tasks are left to the worker.
    fn recall(&self, fence: impl Fn()) -> u64 {
        self.revoked.store(1, Ordering::Relaxed);
        fence();
        let kept = self.begun.load(Ordering::Acquire);
        (kept..TASKS).for_each(|task| self.run(task));
        kept
    }
}

/// A worker works on, and is recalled from; what it has not run of what was left to it is run by another (rule 3).
fn recall_while_the_worker_works(worker_fence: fn(), parent_fence: fn()) {
    loom::model(move || {
        let shared = Arc::new(Shared::default());
        let of_worker = Arc::clone(&shared);
        let worker = loom::thread::spawn(move || of_worker.work(worker_fence));
        let kept = shared.recall(parent_fence);
        let ran = worker.join().unwrap();
        (ran..kept).for_each(|task| shared.run(task));
        let runs = shared.runs.each_ref().map(|runs| runs.load(Ordering::Relaxed));
        assert_eq!(runs, [1; TASKS as usize], "a task was run so often");
    });
}

fn both() {
    fence(Ordering::SeqCst);
}

fn none() {}

#[test]
fn each_task_is_run_once_whenever_the_worker_is_recalled_from() {
    recall_while_the_worker_works(both, both);
}

#[test]
#[should_panic(expected = "a task was run so often")]
fn a_task_is_run_twice_if_the_worker_has_no_fence() {
    recall_while_the_worker_works(none, both);
}

#[test]
#[should_panic(expected = "a task was run so often")]
fn a_task_is_run_twice_if_the_parent_has_no_fence() {
    recall_while_the_worker_works(both, none);
}
