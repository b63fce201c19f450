//! How the two sides sleep and wake each other: how a side that waits in a system call is notified that there is something to do, and a
//! side that is awake is not notified.
//!
//! 1. A side that is about to sleep says so in a word (`PARKED`), then looks once more at all that it waits for, and sleeps only if
//!    there is nothing.
//! 2. A side that has changed something looks at the word after the change, and rings the bell if it says so.
//! 3. Between a write and the read after it stands a sequentially consistent fence, on both sides. So of the two reads at least
//!    one sees the other side's write: either the sleeper finds the change, or the changer finds the word. No wake-up is lost.
//! 4. The bell is a message on the socket. It is kept there until it is taken, so it wakes also who has not slept yet; one
//!    that comes too late wakes for nothing, and that is all it does.
//! 5. A worker's word is 1 or 0; the parent sets it to 0 when it rings, so that it rings once. The parent's word is a number,
//!    odd while it sleeps: workers cannot write it, so each remembers the number for which it has rung.
//! 6. A worker rings when it has nothing more to do, when it waits for room for a result, when it has claimed as far as the
//!    parent asked to be notified, and when results were not announced for [`TELL_AFTER`]. While tasks are short it looks at the
//!    clock, and at the word, only now and then, and so may be in a long task with results behind it that it did not tell of:
//!    therefore the parent sleeps no longer than [`LOOK_AFTER`] while a worker has more than one task.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use crate::sys::ReadWord;

/// A worker tells the parent of results, if it sleeps, after this long: a result leaves its worker within 10 ms, and the
/// parent is not woken for each.
pub(super) const TELL_AFTER: Duration = Duration::from_millis(4);
/// A sleeping parent looks after workers that have several tasks this often.
pub(crate) const LOOK_AFTER: Duration = Duration::from_millis(5);

/// The operations that the rules need of a word; a model of it in tests.
pub(super) trait ParkingWord: Readable {
    fn set(&self, value: u64);
}

/// A word that this side reads.
pub(super) trait Readable {
    fn get(&self) -> u64;
    fn fence();
}

impl ParkingWord for AtomicU64 {
    #[inline]
    fn set(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }
}

impl Readable for AtomicU64 {
    #[inline]
    fn get(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    #[inline]
    fn fence() {
        fence(Ordering::SeqCst);
    }
}

impl Readable for ReadWord<'_> {
    #[inline]
    fn get(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    #[inline]
    fn fence() {
        fence(Ordering::SeqCst);
    }
}

const AWAKE: u64 = 0;
const ASLEEP: u64 = 1;

/// A worker says that it is about to sleep; then it must look once more (rule 1).
pub(super) fn park_worker<W: ParkingWord>(word: &W) {
    word.set(ASLEEP);
    W::fence();
}

/// A worker is awake.
pub(super) fn unpark_worker<W: ParkingWord>(word: &W) {
    word.set(AWAKE);
}

/// The parent has changed something: whether the bell must be rung for the worker.
pub(super) fn must_wake_worker<W: ParkingWord>(word: &W) -> bool {
    W::fence();
    if word.get() == AWAKE {
        return false;
    }
    word.set(AWAKE);
    true
}

/// The parent says that it is about to sleep; then it must look once more (rule 1).
pub(super) fn park_parent<W: ParkingWord>(word: &W) {
    word.set(word.get() | 1);
    W::fence();
}

/// The parent is awake. The next sleep has another number.
pub(super) fn unpark_parent<W: ParkingWord>(word: &W) {
    let number = word.get();
    word.set(number.wrapping_add(number & 1));
}

/// A worker has changed something: whether it must ring. `rung` is the number for which it did last.
pub(super) fn must_wake_parent<W: Readable>(word: &W, rung: &mut u64) -> bool {
    W::fence();
    let number = word.get();
    let must = number & 1 == 1 && number != *rung;
    if must {
        *rung = number;
    }
    must
}

#[cfg(test)]
mod tests;
