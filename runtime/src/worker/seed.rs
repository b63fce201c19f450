//! The seed of the task that is running. The number that it is made from is noted once for each run of tasks, so that a task that does
//! not ask for its seed does nothing for it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::current::{OwnTask, current_worker, own_task};
use crate::sys;
use crate::transport::TaskCounter;

/// The seed of the call whose tasks are run, the index of the first of them, and its number in this worker's life.
static CALL: AtomicU64 = AtomicU64::new(0);
static INDEX: AtomicU64 = AtomicU64::new(0);
static NUMBER: AtomicU32 = AtomicU32::new(0);
/// The word that says how far the tasks have come; there is none where they are run one by one.
static COUNTER: OnceLock<TaskCounter> = OnceLock::new();

/// The step of splitmix64: the golden ratio, as a fraction of 2^64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns the seed of the running task, for a generator of random numbers.
///
/// It is `None` outside of a task, and in a process that a task has forked.
///
/// The seed depends only on the seed of the call (the option [`seed`](crate::Map::seed), 0 by default) and the task's index. So it is
/// the same in each run of the program, whatever the number of workers, the chunks and the attempts, and different for each task of a
/// call. Pass a different `seed` to each call that should draw different numbers. All threads of a task have its seed (in process, only the thread that runs the task). A single call
/// ([`Pool::apply`](crate::Pool::apply)) has the seed of task 0. Submitted calls ([`Pool::submit`](crate::Pool::submit)) count from
/// task 1 on, in the order of submission.
///
/// It is the number at the task's index in splitmix64's sequence, which begins at a mix of the call's seed. It is good for seeding a
/// generator, and it is not a secret.
///
/// # Examples
///
/// ```
/// use poolmap::{pool_map, task_seed, worker};
///
/// #[worker]
/// fn seed(_task: usize) -> Option<u64> {
///     task_seed()
/// }
///
/// poolmap::init();
/// let seeds = pool_map!(seed, 0..100; seed = 42)?;
/// assert_eq!(seeds, pool_map!(seed, 0..100; seed = 42, chunk_size = 7)?);
/// assert_ne!(seeds[0], seeds[1]);
/// assert_ne!(seeds, pool_map!(seed, 0..100; seed = 43)?);
/// assert_eq!(task_seed(), None);
/// # Ok::<(), poolmap::Error>(())
/// ```
pub fn task_seed() -> Option<u64> {
    if let Some(OwnTask { index, call_seed, .. }) = own_task() {
        return Some(seed_of(call_seed, index));
    }
    Some(seed_of(CALL.load(Ordering::Relaxed), task_index()?))
}

/// The index of the task that this worker runs; none outside of a task, and in a fork.
pub(super) fn task_index() -> Option<u64> {
    // A fork has not got the memory that the counter is in.
    if current_worker()?.attempt() == 0 || sys::is_fork() {
        return None;
    }
    let number = NUMBER.load(Ordering::Relaxed);
    let behind = COUNTER.get().map_or(0, |counter| counter.number().wrapping_sub(number));
    Some(INDEX.load(Ordering::Relaxed).wrapping_add(u64::from(behind)))
}

/// Notes what the next tasks are: those of the call with this seed, from an index on, which is that of the task with this number.
pub(super) fn set_tasks(call_seed: u64, index: u64, number: u32) {
    CALL.store(call_seed, Ordering::Relaxed);
    INDEX.store(index, Ordering::Relaxed);
    NUMBER.store(number, Ordering::Relaxed);
}

/// Sets the word that says how far the tasks have come.
pub(super) fn set_counter(counter: TaskCounter) {
    // It is set once: a process becomes a worker once.
    let _ = COUNTER.set(counter);
}

/// The seed of a task. The call's seed is mixed first: two neighbouring ones would else share nearly all of their seeds.
fn seed_of(call_seed: u64, index: u64) -> u64 {
    mix(mix(call_seed.wrapping_add(STEP)).wrapping_add(index.wrapping_add(1).wrapping_mul(STEP)))
}

/// The mixing function of splitmix64 (Steele, Lea and Flood, 2014): one-to-one on 64 bits.
fn mix(state: u64) -> u64 {
    let state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ state >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_first_numbers_are_those_of_splitmix64() {
        // Those of the reference implementation from the state 0 on.
        let from_zero = |index: u64| mix(index.wrapping_add(1).wrapping_mul(STEP));
        assert_eq!([0, 1].map(from_zero), [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn tasks_and_calls_have_seeds_of_their_own() {
        let seeds: BTreeSet<u64> = (0..100).flat_map(|call| (0..100).map(move |index| seed_of(call, index))).collect();
        assert_eq!(seeds.len(), 100 * 100);
    }
}
