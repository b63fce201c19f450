//! The rules of the claims in every interleaving of two threads, as far as the memory model lets them be reordered.

use std::sync::atomic::{AtomicU64, Ordering};

use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use proptest::prelude::*;

use super::*;

impl ClaimsWord for loom::sync::atomic::AtomicU64 {
    fn load(&self) -> u64 {
        self.load(Ordering::SeqCst)
    }

    fn fetch_add(&self, value: u64) {
        self.fetch_add(value, Ordering::SeqCst);
    }

    fn compare_exchange(&self, current: u64, new: u64) -> Result<u64, u64> {
        self.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
    }
}

/// The word, and what the parent tells of each task. The model gives an old value to who reads it too soon.
struct Shared {
    word: loom::sync::atomic::AtomicU64,
    told: [AtomicU32; 3],
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self { word: loom::sync::atomic::AtomicU64::new(0), told: [(); 3].map(|()| AtomicU32::new(0)) })
    }

    fn tell(&self, task: u32, what: u32) {
        self.told[task as usize].store(what, Ordering::Relaxed);
    }

    fn told(&self, task: u32) -> u32 {
        self.told[task as usize].load(Ordering::Relaxed)
    }

    /// Claims and reads, so many times.
    fn work(&self, times: usize, most: u32) -> Vec<(u32, u32)> {
        let claimed = (0..times).filter_map(|_| claim(&self.word, most));
        claimed.flat_map(|(first, count)| first..first + count).map(|task| (task, self.told(task))).collect()
    }
}

fn take_back_while_the_worker_claims(most: u32, back: u32) {
    loom::model(move || {
        let shared = Shared::new();
        let mut ledger = Ledger::default();
        (0..3).for_each(|task| shared.tell(task, task));
        ledger.add(&shared.word, 3);
        let worker = {
            let shared = Arc::clone(&shared);
            loom::thread::spawn(move || shared.work(2, most))
        };
        let taken_back = ledger.take_back(&shared.word, back).unwrap();
        let from = ledger.limit();
        assert_eq!(from + taken_back, 3);
        // Other tasks get the same numbers (rule 3).
        (from..3).for_each(|task| shared.tell(task, 10 + task));
        ledger.add(&shared.word, taken_back);
        let mut run = worker.join().unwrap();
        assert_eq!(ledger.claimed(&shared.word).unwrap() as usize, run.len());
        run.extend(shared.work(3, 1));
        let expected: Vec<_> = (0..3).map(|task| (task, if task < from { task } else { 10 + task })).collect();
        assert_eq!(run, expected, "each task once, and none both claimed and taken back");
    });
}

#[test]
#[cfg_attr(miri, ignore = "loom is an interpreter of its own")]
fn no_task_is_both_claimed_and_taken_back() {
    for most in 1..=2 {
        for back in [1, 3] {
            take_back_while_the_worker_claims(most, back);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "loom is an interpreter of its own")]
fn a_task_is_told_of_before_it_can_be_claimed() {
    loom::model(|| {
        let shared = Shared::new();
        let worker = {
            let shared = Arc::clone(&shared);
            loom::thread::spawn(move || shared.work(2, 2))
        };
        let mut ledger = Ledger::default();
        for task in 0..2 {
            shared.tell(task, 10 + task);
            ledger.add(&shared.word, 1);
        }
        let mut run = worker.join().unwrap();
        run.extend(shared.work(2, 1));
        assert_eq!(run, [(0, 10), (1, 11)]);
    });
}

/// A word whose claim takes two steps, as a careless one would.
struct TwoSteps(loom::sync::atomic::AtomicU64);

impl ClaimsWord for TwoSteps {
    fn load(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn fetch_add(&self, value: u64) {
        self.0.fetch_add(value, Ordering::SeqCst);
    }

    fn compare_exchange(&self, current: u64, new: u64) -> Result<u64, u64> {
        let now = self.0.load(Ordering::SeqCst);
        if now != current {
            return Err(now);
        }
        self.0.store(new, Ordering::SeqCst);
        Ok(now)
    }
}

#[test]
#[cfg_attr(miri, ignore = "loom is an interpreter of its own")]
#[should_panic(expected = "each task is somebody's")]
fn the_model_finds_a_claim_in_two_steps() {
    loom::model(|| {
        let word = Arc::new(TwoSteps(loom::sync::atomic::AtomicU64::new(0)));
        let mut ledger = Ledger::default();
        ledger.add(&*word, 1);
        let worker = {
            let word = Arc::clone(&word);
            loom::thread::spawn(move || claim(&*word, 1).is_some())
        };
        let taken_back = ledger.take_back(&*word, 1) == Ok(1);
        assert!(worker.join().unwrap() != taken_back, "each task is somebody's");
    });
}

proptest! {
    #[test]
    fn numbers_wrap_around(start in prop_oneof![Just(u32::MAX), Just(u32::MAX - 2), any::<u32>()], steps in proptest::collection::vec((0..3u8, 0..5u32), 1..50)) {
        let word = AtomicU64::new(Claims { claimed: start, limit: start }.pack());
        let mut ledger = Ledger { limit: start, claimed: start };
        let mut open = 0;
        let mut claimed = start;
        for (step, count) in steps {
            match step {
                0 => {
                    ledger.add(&word, count);
                    open += count;
                }
                1 => {
                    let expected = (open.min(count) > 0).then_some((claimed, open.min(count)));
                    prop_assert_eq!(claim(&word, count), expected);
                    claimed = claimed.wrapping_add(open.min(count));
                    open -= open.min(count);
                }
                _ => {
                    prop_assert_eq!(ledger.take_back(&word, count), Ok(open.min(count)));
                    open -= open.min(count);
                }
            }
            prop_assert_eq!(ledger.limit(), claimed.wrapping_add(open));
            prop_assert_eq!(ledger.claimed(&word), Ok(claimed));
            prop_assert_eq!(has_open(&word), open > 0);
        }
    }

    #[test]
    fn a_word_that_the_worker_must_not_write_is_refused_and_never_counts_more_than_there_are(
        tasks in 0..10u32,
        garbage in prop_oneof![any::<u64>(), (0..12u32, 0..12u32).prop_map(|(claimed, limit)| Claims { claimed, limit }.pack())],
        most in any::<u32>(),
    ) {
        let word = AtomicU64::new(0);
        let mut ledger = Ledger::default();
        ledger.add(&word, tasks);
        word.store(garbage, Ordering::SeqCst);
        let seen = Claims::unpack(garbage);
        let is_fine = seen.limit == tasks && seen.claimed <= tasks;
        prop_assert_eq!(ledger.claimed(&word).is_ok(), is_fine);
        match ledger.take_back(&word, most) {
            Ok(count) => prop_assert!(is_fine && count <= tasks - seen.claimed),
            Err(_) => prop_assert!(!is_fine),
        }
    }
}
