//! A place where a number of threads of any processes meet.
//!
//! 1. A word tells the round, and whether it was broken. Each round has a word for each participant, in one of two sets that take
//!    turns; such a word has the round's tag, and the name of the process that has arrived, or no name.
//! 2. A process that arrives puts its name into a word with the round's tag and no name. So a process that read the round long ago
//!    takes no word of a later one.
//! 3. A process that finds all words of the round taken clears those of the next round, and then counts the round up: one succeeds with
//!    that, and is the leader. A word is cleared once a round, by compare-and-swap.
//! 4. A process that finds the name of a dead one among those of the round, or is out of time, breaks the round. That is a change of
//!    the same word: a round is complete or broken, never both.
//! 5. A waiting process checks whether one other process lives: the one whose name stands next behind its own, as in a ring. So
//!    some waiting process checks each dead one, or another dead one before it. A check is a system call that scans the locks of all
//!    processes: a thousand processes that checked all the others would do nothing else.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::handle_serde::travels;
use super::segment::{BODY, Check, HEAD, NAME_BITS, SyncKind, SyncSegment, WaitLimit};
use crate::error::{Error, Result, SyncErrorKind};

/// Lets a number of threads, in any processes, wait for each other: Python's `Barrier`.
///
/// Pass it as an argument of worker functions, by itself or inside of another value. Its clones, here and in the workers, are the same
/// barrier. It serves one round after another.
///
/// All participants must run at once. So the map needs as many workers as the barrier has participants, and `chunk_size = 1`.
///
/// # Limits
///
/// A barrier has at most 65,536 participants. It takes one descriptor here and in each worker that has received it, and at most 4,096
/// processes can share it. It does not travel in a task's result, through a channel or a mutex.
///
/// # Worker death
///
/// A process that ends while it waits breaks the barrier. Within 50 ms the other participants get an error with
/// [`is_owner_died`](Error::is_owner_died), and so does every later call. A broken barrier stays broken: make another. The barrier
/// cannot notice a process that ends before it arrives: wait with a time limit where that can happen.
///
/// # Examples
///
/// Two workers, which wait for each other:
///
/// ```
/// use poolmap::{Barrier, Pool, pool_map, worker};
///
/// #[worker]
/// fn meet(barrier: &Barrier) -> poolmap::Result<bool> {
///     Ok(barrier.wait()?.is_leader())
/// }
///
/// poolmap::init();
/// let pool = Pool::builder().workers(2).build()?;
/// let barrier = Barrier::new(2)?;
/// let leaders = pool_map!(in &pool, meet, [&barrier, &barrier]; chunk_size = 1)?;
/// assert_eq!(leaders.iter().filter(|&&is_leader| is_leader).count(), 1);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// No other participant arrives:
///
/// ```
/// # use std::time::Duration;
/// # use poolmap::Barrier;
/// let barrier = Barrier::new(2)?;
/// assert!(barrier.wait_timeout(Duration::from_millis(1)).unwrap_err().is_timed_out());
/// # Ok::<(), poolmap::Error>(())
/// ```
pub struct Barrier {
    pub(super) segment: Arc<SyncSegment>,
}

/// The last to arrive looks at all that have arrived: 65,536 take 50 µs.
const MEMBERS_MAX: usize = 1 << 16;

/// The round, and in its lowest two bits how it was broken, or 0.
const ROUND: usize = HEAD;
const BROKEN_BITS: u32 = 2;
const BROKEN: u64 = (1 << BROKEN_BITS) - 1;
const BY_DEATH: u64 = 1;
const BY_TIME: u64 = 2;
const BY_NONSENSE: u64 = 3;

travels!(Barrier, SyncKind::Barrier, |segment| Barrier { segment });

/// Reports whether this participant leads the round. [`Barrier::wait`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWait {
    is_leader: bool,
}

impl BarrierWait {
    /// Returns `true` to exactly one participant of a round, which may do the work that is to be done once.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}

impl Barrier {
    /// Creates a barrier for `members` participants, 1 to 65,536: threads of any processes.
    ///
    /// # Errors
    ///
    /// The number is 0 or above 65,536 ([`is_invalid_option`](Error::is_invalid_option)); the system has no memory to share, or no
    /// descriptor is left.
    pub fn new(members: usize) -> Result<Self> {
        if members == 0 || members > MEMBERS_MAX {
            let what = format!("a Barrier needs 1 to {MEMBERS_MAX} participants, got {members}");
            return Err(Error::invalid_option(what));
        }
        Ok(Self { segment: SyncSegment::new(SyncKind::Barrier, 16 * members, |_| ())? })
    }

    /// Waits until all participants have arrived.
    ///
    /// # Errors
    ///
    /// The barrier is broken, now or since before: a process ended while it waited ([`is_owner_died`](Error::is_owner_died)), or a
    /// participant timed out ([`is_timed_out`](Error::is_timed_out)). This process is a fork of the process that had the barrier
    /// ([`is_forked`](Error::is_forked)).
    pub fn wait(&self) -> Result<BarrierWait> {
        self.wait_for(WaitLimit::Endless)
    }

    /// Waits up to `timeout` until all participants have arrived.
    ///
    /// If the time is over first, the barrier breaks for all, as Python's does, because the other participants would wait in vain.
    ///
    /// # Errors
    ///
    /// The errors of [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierWait> {
        self.wait_for(WaitLimit::of(timeout))
    }

    fn wait_for(&self, patience: WaitLimit) -> Result<BarrierWait> {
        self.segment.check_process(SyncKind::Barrier)?;
        loop {
            let round = self.round()?;
            let own = self.come(round);
            let came = own.is_some();
            if came && self.is_full(round) && self.complete(round) {
                return Ok(BarrierWait { is_leader: true });
            }
            let ended = self.segment.wait(patience, |look| self.check_round(round, own, look));
            match ended {
                Some(Ok(())) if came => return Ok(BarrierWait { is_leader: false }),
                // More than the barrier was made for have come: this one belongs to the next round.
                Some(Ok(())) if patience.slice().is_some() => {}
                Some(Err(broken)) => return Err(self.broken(broken)),
                Some(Ok(())) | None => {
                    self.break_round(round, BY_TIME);
                    return match self.check_round(round, own, Check::Quick) {
                        Some(Ok(())) if came => Ok(BarrierWait { is_leader: false }),
                        Some(Err(broken)) => Err(self.broken(broken)),
                        _ => Err(self.broken(BY_TIME)),
                    };
                }
            }
        }
    }

    /// The current round; an error if it is broken.
    fn round(&self) -> Result<u64> {
        match self.segment.word(ROUND).load(Ordering::SeqCst) {
            word if word & BROKEN == 0 => Ok(word >> BROKEN_BITS),
            word => Err(self.broken(word & BROKEN)),
        }
    }

    /// Takes a place in a round (rule 2), if there is one, and returns it.
    fn come(&self, round: u64) -> Option<usize> {
        self.places(round).find(|&place| {
            let (free, taken) = (tag(round), tag(round) | self.segment.name);
            self.segment.word(place).compare_exchange(free, taken, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        })
    }

    fn is_full(&self, round: u64) -> bool {
        self.places(round).all(|place| {
            let word = self.segment.word(place).load(Ordering::SeqCst);
            is_of(round, word) && name(word) != 0
        })
    }

    /// Rule 3: whether this one is the leader.
    fn complete(&self, round: u64) -> bool {
        let next = round + 1;
        for place in self.places(next) {
            let word = self.segment.word(place).load(Ordering::SeqCst);
            if !is_of(next, word) {
                // If it fails, another has cleared it.
                let _ = self.segment.word(place).compare_exchange(word, tag(next), Ordering::SeqCst, Ordering::SeqCst);
            }
        }
        let (before, after) = (round << BROKEN_BITS, next << BROKEN_BITS);
        let is_leader =
            self.segment.word(ROUND).compare_exchange(before, after, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if is_leader {
            self.segment.wake_all();
        }
        is_leader
    }

    /// How a round has ended, as seen by a process with a place in it, or without one; `None` if it has not ended.
    fn check_round(&self, round: u64, own: Option<usize>, look: Check) -> Option<Result<(), u64>> {
        let ended = |word: u64| {
            let is_next = word >> BROKEN_BITS != round;
            if is_next { Some(Ok(())) } else { (word & BROKEN != 0).then_some(Err(word & BROKEN)) }
        };
        let now = ended(self.segment.word(ROUND).load(Ordering::SeqCst));
        if now.is_some() || look == Check::Quick {
            return now;
        }
        // The names of other processes: the first of all, and the first behind the own place (rule 5).
        let (mut first, mut behind) = (None, None);
        for place in self.places(round) {
            let word = self.segment.word(place).load(Ordering::SeqCst);
            if !is_of(round, word) {
                // The round may have ended in between, and then this changes nothing.
                self.break_round(round, BY_NONSENSE);
            } else if name(word) != 0 && name(word) != self.segment.name {
                first = first.or(Some(name(word)));
                behind = behind.or(Some(name(word)).filter(|_| own.is_none_or(|own| place > own)));
            }
        }
        if behind.or(first).is_some_and(|next| !self.segment.is_alive(next)) {
            self.break_round(round, BY_DEATH);
        }
        ended(self.segment.word(ROUND).load(Ordering::SeqCst))
    }

    fn break_round(&self, round: u64, how: u64) {
        let before = round << BROKEN_BITS;
        let broken =
            self.segment.word(ROUND).compare_exchange(before, before | how, Ordering::SeqCst, Ordering::SeqCst);
        if broken.is_ok() {
            self.segment.wake_all();
        }
    }

    fn broken(&self, how: u64) -> Error {
        let members = self.members();
        let (cause, what) = match how {
            BY_DEATH => (SyncErrorKind::OwnerDied, "a process that waited at it died"),
            BY_TIME => (SyncErrorKind::TimedOut, "a participant timed out"),
            _ => (SyncErrorKind::Unfit, "it is corrupted (a task wrote to its memory)"),
        };
        Error::sync(cause, format!("the Barrier for {members} is broken, as {what}: make another"))
    }

    /// The places of a round.
    fn places(&self, round: u64) -> impl Iterator<Item = usize> + use<> {
        let members = self.members();
        let first = if round.is_multiple_of(2) { 0 } else { members };
        (first..first + members).map(|place| BODY + 8 * place)
    }

    fn members(&self) -> usize {
        self.segment.body_bytes() / 16
    }
}

/// The tag of a round, in the bits that a name leaves. It comes again after 65,536 rounds, in which one would have to stand still.
fn tag(round: u64) -> u64 {
    round << NAME_BITS
}

fn is_of(round: u64, word: u64) -> bool {
    word >> NAME_BITS == tag(round) >> NAME_BITS
}

fn name(word: u64) -> u64 {
    word & ((1 << NAME_BITS) - 1)
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("members", &self.members()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn each_round_has_one_leader_and_all_come() {
        let barrier = Barrier::new(3).unwrap();
        let leaders: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| (0..500).filter(|_| barrier.wait().unwrap().is_leader()).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(leaders, 500);
        assert!(Barrier::new(1).unwrap().wait().unwrap().is_leader());
    }

    #[test]
    fn more_than_it_was_made_for_belong_to_the_next_round() {
        let barrier = &Barrier::new(2).unwrap();
        let waits = &AtomicU32::new(0);
        std::thread::scope(|scope| {
            // The next wait is for any thread that is there: a thread that had waits of its own left could be left alone with them.
            for _ in 0..4 {
                scope.spawn(move || {
                    while waits.fetch_add(1, Ordering::SeqCst) < 400 {
                        assert!(barrier.wait().is_ok());
                    }
                });
            }
        });
        assert_eq!(barrier.round().unwrap(), 200);
    }

    #[test]
    fn spoilt_words_break_it() {
        for nonsense in [7 << NAME_BITS, u64::MAX] {
            let barrier = Barrier::new(3).unwrap();
            barrier.segment.word(BODY + 16).store(nonsense, Ordering::SeqCst);
            assert!(barrier.wait().unwrap_err().to_string().contains("corrupted"));
        }
        let barrier = Barrier::new(3).unwrap();
        barrier.segment.word(BODY + 16).store(99, Ordering::SeqCst);
        assert!(barrier.wait().unwrap_err().is_owner_died());
        assert!(barrier.wait().unwrap_err().is_owner_died());
    }

    #[test]
    fn one_that_is_out_of_time_breaks_it_for_all() {
        let barrier = Barrier::new(3).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| barrier.wait().unwrap_err());
            assert!(barrier.wait_timeout(Duration::from_millis(5)).unwrap_err().is_timed_out());
            assert!(waiting.join().unwrap().is_timed_out());
        });
        for members in [0, MEMBERS_MAX + 1] {
            assert!(Barrier::new(members).unwrap_err().is_invalid_option());
        }
    }
}
