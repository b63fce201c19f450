//! The rules of sleeping and waking in every interleaving, as far as the memory model lets it be reordered. Who ends asleep has
//! nothing to do, or a bell under way.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::sync::atomic::AtomicU64;
use loom::sync::{Condvar, Mutex};

use super::*;
use crate::transport::claims::{self, Ledger};

/// A word as the protocol uses it.
struct Fenced(Arc<AtomicU64>);

/// A word as it would be used without rule 3.
struct Unfenced(Arc<AtomicU64>);

/// The two, so that each side of a model can be either.
trait Side: ParkingWord + 'static {
    fn of(word: &Arc<AtomicU64>) -> Self;
}

macro_rules! side {
    ($side:ident, $fence:expr) => {
        impl ParkingWord for $side {
            fn set(&self, value: u64) {
                self.0.store(value, Ordering::Relaxed);
            }
        }

        impl Readable for $side {
            fn get(&self) -> u64 {
                self.0.load(Ordering::Relaxed)
            }

            fn fence() {
                $fence
            }
        }

        impl Side for $side {
            fn of(word: &Arc<AtomicU64>) -> Self {
                Self(Arc::clone(word))
            }
        }
    };
}

side!(Fenced, loom::sync::atomic::fence(Ordering::SeqCst));
side!(Unfenced, ());

/// What the two processes share.
struct Shared {
    claims: AtomicU64,
    finished: AtomicU64,
    worker_parked: Arc<AtomicU64>,
    parent_parked: Arc<AtomicU64>,
    to_worker: Bell,
    to_parent: Bell,
}

/// A message on the socket: it stays until it is taken.
struct Bell {
    messages: Mutex<u32>,
    came: Condvar,
}

impl Bell {
    fn new() -> Self {
        Self { messages: Mutex::new(0), came: Condvar::new() }
    }

    fn ring(&self) {
        *self.messages.lock().unwrap() += 1;
        self.came.notify_one();
    }

    fn is_under_way(&self) -> bool {
        *self.messages.lock().unwrap() > 0
    }

    fn wait(&self) {
        let mut messages = self.messages.lock().unwrap();
        while *messages == 0 {
            messages = self.came.wait(messages).unwrap();
        }
        *messages = 0;
    }
}

/// A handle on what is shared, for one thread.
#[derive(Clone)]
struct Handle(Arc<Shared>);

impl Deref for Handle {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Handle {
    fn new() -> Self {
        Self(Arc::new(Shared {
            claims: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            worker_parked: Arc::new(AtomicU64::new(0)),
            parent_parked: Arc::new(AtomicU64::new(0)),
            to_worker: Bell::new(),
            to_parent: Bell::new(),
        }))
    }

    fn give_task<S: Side>(&self, ledger: &mut Ledger) {
        ledger.add(&self.claims, 1);
        if must_wake_worker(&S::of(&self.worker_parked)) {
            self.to_worker.ring();
        }
    }

    fn give_result<S: Side>(&self, results: u64, rung: &mut u64) {
        self.finished.store(results, Ordering::Release);
        if must_wake_parent(&S::of(&self.parent_parked), rung) {
            self.to_parent.ring();
        }
    }

    /// Whether the worker would sleep now.
    fn worker_falls_asleep<S: Side>(&self) -> bool {
        park_worker(&S::of(&self.worker_parked));
        let sleeps = !claims::has_open(&self.claims);
        if !sleeps {
            unpark_worker(&S::of(&self.worker_parked));
        }
        sleeps
    }

    /// Whether the parent, which has seen so many results, would sleep now.
    fn parent_falls_asleep<S: Side>(&self, seen: u64) -> bool {
        park_parent(&S::of(&self.parent_parked));
        let sleeps = self.finished.load(Ordering::Acquire) == seen;
        if !sleeps {
            unpark_parent(&S::of(&self.parent_parked));
        }
        sleeps
    }

    /// The parent waits for so many results.
    fn await_results<S: Side>(&self, results: u64) {
        while self.finished.load(Ordering::Acquire) != results {
            if self.parent_falls_asleep::<S>(results - 1) {
                self.to_parent.wait();
                unpark_parent(&S::of(&self.parent_parked));
            }
        }
    }

    /// The worker waits for a task, and claims it.
    fn await_task<S: Side>(&self) {
        while claims::claim(&self.claims, 1).is_none() {
            if self.worker_falls_asleep::<S>() {
                self.to_worker.wait();
                unpark_worker(&S::of(&self.worker_parked));
            }
        }
    }
}

fn check(bound: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(bound);
    model.check(run);
}

fn worker_parks_while_the_parent_publishes<P, W>()
where
    P: Side,
    W: Side,
{
    loom::model(|| {
        let parent = Handle::new();
        let worker = parent.clone();
        let worker = loom::thread::spawn(move || worker.worker_falls_asleep::<W>());
        parent.give_task::<P>(&mut Ledger::default());
        let asleep = worker.join().unwrap();
        assert!(!asleep || parent.to_worker.is_under_way(), "a wake-up is lost");
    });
}

fn parent_parks_while_the_worker_publishes<P, W>()
where
    P: Side,
    W: Side,
{
    loom::model(|| {
        let parent = Handle::new();
        let worker = parent.clone();
        let worker = loom::thread::spawn(move || worker.give_result::<W>(1, &mut 0));
        let asleep = parent.parent_falls_asleep::<P>(0);
        worker.join().unwrap();
        assert!(!asleep || parent.to_parent.is_under_way(), "a wake-up is lost");
    });
}

#[test]
fn a_worker_that_parks_is_woken_for_what_the_parent_publishes() {
    worker_parks_while_the_parent_publishes::<Fenced, Fenced>();
}

#[test]
#[should_panic(expected = "a wake-up is lost")]
fn a_wakeup_is_lost_if_the_worker_has_no_fence() {
    worker_parks_while_the_parent_publishes::<Fenced, Unfenced>();
}

#[test]
#[should_panic(expected = "a wake-up is lost")]
fn a_wakeup_is_lost_if_the_parent_that_publishes_has_no_fence() {
    worker_parks_while_the_parent_publishes::<Unfenced, Fenced>();
}

#[test]
fn a_parent_that_parks_is_woken_for_what_the_worker_publishes() {
    parent_parks_while_the_worker_publishes::<Fenced, Fenced>();
}

#[test]
#[should_panic(expected = "a wake-up is lost")]
fn a_wakeup_is_lost_if_the_parent_that_parks_has_no_fence() {
    parent_parks_while_the_worker_publishes::<Unfenced, Fenced>();
}

#[test]
#[should_panic(expected = "a wake-up is lost")]
fn a_wakeup_is_lost_if_the_worker_that_publishes_has_no_fence() {
    parent_parks_while_the_worker_publishes::<Fenced, Unfenced>();
}

#[test]
fn both_may_publish_and_park_at_once() {
    check(3, || {
        let parent = Handle::new();
        let worker = parent.clone();
        let worker = loom::thread::spawn(move || {
            worker.give_result::<Fenced>(1, &mut 0);
            worker.worker_falls_asleep::<Fenced>()
        });
        parent.give_task::<Fenced>(&mut Ledger::default());
        let parent_asleep = parent.parent_falls_asleep::<Fenced>(0);
        let worker_asleep = worker.join().unwrap();
        assert!(!worker_asleep || parent.to_worker.is_under_way(), "the worker's wake-up is lost");
        assert!(!parent_asleep || parent.to_parent.is_under_way(), "the parent's wake-up is lost");
    });
}

#[test]
fn tasks_and_results_go_to_and_fro_and_nobody_sleeps_for_ever() {
    check(2, || {
        let parent = Handle::new();
        let worker = parent.clone();
        let worker = loom::thread::spawn(move || {
            let mut rung = 0;
            for results in 1..=2 {
                worker.await_task::<Fenced>();
                worker.give_result::<Fenced>(results, &mut rung);
            }
        });
        let mut ledger = Ledger::default();
        for results in 1..=2 {
            parent.give_task::<Fenced>(&mut ledger);
            parent.await_results::<Fenced>(results);
        }
        worker.join().unwrap();
    });
}

#[test]
fn a_worker_that_gets_one_task_after_another_runs_all() {
    check(2, || {
        let parent = Handle::new();
        let worker = parent.clone();
        let worker = loom::thread::spawn(move || (0..3).for_each(|_| worker.await_task::<Fenced>()));
        let mut ledger = Ledger::default();
        (0..3).for_each(|_| parent.give_task::<Fenced>(&mut ledger));
        worker.join().unwrap();
    });
}

#[test]
fn a_parent_sleeps_once_for_each_of_two_workers_and_hears_both() {
    check(2, || {
        // Both have the parent's word and its bell; each has a word of its own for its results.
        let parent = Handle::new();
        let other_finished = Arc::new(AtomicU64::new(0));
        let workers = [None, Some(Arc::clone(&other_finished))].map(|finished| {
            let shared = parent.clone();
            loom::thread::spawn(move || {
                finished.as_deref().unwrap_or(&shared.finished).store(1, Ordering::Release);
                if must_wake_parent(&Fenced::of(&shared.parent_parked), &mut 0) {
                    shared.to_parent.ring();
                }
            })
        });
        let results = || parent.finished.load(Ordering::Acquire) + other_finished.load(Ordering::Acquire);
        let mut seen = 0;
        while seen < 2 {
            park_parent(&Fenced::of(&parent.parent_parked));
            if results() == seen {
                parent.to_parent.wait();
            }
            unpark_parent(&Fenced::of(&parent.parent_parked));
            seen = results();
        }
        for worker in workers {
            worker.join().unwrap();
        }
    });
}
