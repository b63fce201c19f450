//! Memory that any number of processes use together, and which of them live.
//!
//! 1. Each process that has the memory takes a slot of it: it locks the byte of that number (see `sys::liveness_lock`). The lock goes
//!    with the process, so whether a slot's owner lives is known exactly, and at any time. A task that closes its worker's
//!    descriptor of the memory keeps it from asking; then the number of the owner's process must do.
//! 2. A process that takes another's slot first clears what that one left in it, and then counts its incarnation up. The
//!    slot and the incarnation are a process's *name* in the memory: it stands for that process alone.
//! 3. A process holds a word with its name in it. A word whose owner is dead may be taken over by compare-and-swap; so
//!    whatever moment a process dies at, each word is somebody's or nobody's.
//! 4. A waiter counts itself as one, reads the bell, looks at what it waits for, and sleeps while the bell has not changed. A thread
//!    that changes something looks *after* that whether there is a waiter, and then changes the bell and wakes. So no wake-up is lost
//!    between processes that live; one that dies in between, or writes nonsense, costs a slice of sleep.
//! 5. No waiter sleeps longer than a slice without a look at which processes are dead.
//!
//! A fork has its parent's memory and none of its locks: the others do not see it. So an operation that waits or holds is an error
//! there, and a drop there leaves the parent's state as it is.
//!
//! Everything read here may be nonsense: it is copied, and then checked.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, SyncErrorKind};
use crate::shared::{Anchor, Segment};
use crate::sys::{self, CommonMemory, FileIdentity, ForkMark, LivenessLock};

/// So many processes have a segment at once, its maker among them: more than a machine runs workers, and a table of 128 KiB, of
/// which no more takes memory than is used.
pub(super) const SLOTS: usize = 4096;
/// A death is noticed after this long at most: a look is a system call.
pub(super) const LIVENESS_CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Before it sleeps, a process lets others run so often: what is held is mostly held for less than a sleep takes.
const YIELDS: u32 = 20;

// Words at the memory's beginning.
/// The kind of the segment: see [`SyncKind`].
const KIND: usize = 0;
const BELL: usize = 8;
const WAITING: usize = 16;
/// The slots from this one on were never used.
const SLOTS_USED: usize = 24;
/// Counts the ends that were opened: see `endpoints`.
pub(super) const OPENED: usize = 32;
/// Not 0 if a process died with an end of such a role, which is a word further for each: see `endpoints`.
pub(super) const DIED: usize = 40;
/// The words of the segment itself.
pub(super) const HEAD: usize = 64;
/// The table of slots: the incarnation, how many ends of each role, and the number of the process.
const TABLE: usize = 4096;
const SLOT_BYTES: usize = 32;
/// How many words a slot has for ends.
pub(super) const ROLES: usize = 2;
/// The memory that the segment needs beyond its words.
pub(super) const BODY: usize = TABLE + SLOTS * SLOT_BYTES;

const SLOT_BITS: u32 = 16;
/// A name takes so many bits of a word.
pub(super) const NAME_BITS: u32 = 48;
/// Nobody.
pub(super) const FREE: u64 = 0;

/// The kind of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncKind {
    Counter = 1,
    Event = 2,
    Mutex = 3,
    Semaphore = 4,
    Barrier = 5,
    Channel = 6,
}

impl SyncKind {
    /// As users know it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "a Counter",
            Self::Event => "an Event",
            Self::Mutex => "a Mutex",
            Self::Semaphore => "a Semaphore",
            Self::Barrier => "a Barrier",
            Self::Channel => "a channel",
        }
    }
}

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// At the words alone.
    Quick,
    /// And whether their owners live.
    Close,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum WaitLimit {
    None,
    Until(Instant),
    Endless,
}

impl WaitLimit {
    /// So long from now on. A time behind the end of the clock never comes.
    pub(super) fn of(timeout: Duration) -> Self {
        Instant::now().checked_add(timeout).map_or(Self::Endless, Self::Until)
    }

    /// How long to sleep now, a slice at most; none if the time is over.
    pub(super) fn slice(self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Endless => Some(LIVENESS_CHECK_INTERVAL),
            Self::Until(end) => {
                let left = end.saturating_duration_since(Instant::now());
                (!left.is_zero()).then(|| left.min(LIVENESS_CHECK_INTERVAL))
            }
        }
    }
}

/// This process's part of a segment.
pub(super) struct SyncSegment {
    memory: CommonMemory,
    /// Its descriptor, and what tells that it still is that.
    segment: Arc<Segment>,
    identity: FileIdentity,
    /// The lock that shows that this process lives; its byte is the slot.
    sign: LivenessLock,
    /// This process, in the memory.
    pub(super) name: u64,
    /// The same, as a fork of it does not see itself.
    owner: ForkMark,
}

impl SyncSegment {
    /// A new segment with a body of so many bytes, which `fill` writes before anyone else has it.
    pub(super) fn new(kind: SyncKind, body_bytes: usize, fill: impl FnOnce(&CommonMemory)) -> Result<Arc<Self>> {
        let failed = |error| {
            Error::sync(SyncErrorKind::Unfit, format!("could not create {}: no memory to share: {error}", kind.name()))
        };
        let bytes = BODY.checked_add(body_bytes).ok_or_else(|| failed(std::io::ErrorKind::OutOfMemory.into()))?;
        let descriptor = sys::common_memory(bytes).map_err(failed)?;
        let memory = CommonMemory::new(&descriptor, bytes).map_err(failed)?;
        memory.word(KIND).store(kind as u64, Ordering::SeqCst);
        fill(&memory);
        Self::of(memory, Arc::new(descriptor)).map(|new| new.noted(kind))
    }

    /// A segment that another process has made.
    pub(super) fn join(kind: SyncKind, descriptor: Arc<OwnedFd>) -> Result<Arc<Self>> {
        let failed = |error| Error::sync(SyncErrorKind::Unfit, format!("could not map {}: {error}", kind.name()));
        let bytes = sys::memory_bytes(&descriptor).map_err(failed)?;
        let memory = CommonMemory::new(&descriptor, bytes).map_err(failed)?;
        if bytes < BODY || memory.word(KIND).load(Ordering::SeqCst) != kind as u64 {
            return Err(Error::sync(SyncErrorKind::Unfit, format!("the received descriptor is not {}", kind.name())));
        }
        Self::of(memory, descriptor).map(|new| new.noted(kind))
    }

    /// Lets tasks that run in this process find it. Of a channel they find the ends.
    fn noted(self, kind: SyncKind) -> Arc<Self> {
        let new = Arc::new(self);
        if kind != SyncKind::Channel {
            let noted: Arc<Anchor> = Arc::<Self>::clone(&new);
            new.segment.note_made(Arc::downgrade(&noted));
        }
        new
    }

    fn of(memory: CommonMemory, descriptor: Arc<OwnedFd>) -> Result<Self> {
        let unfit = |what: String| Error::sync(SyncErrorKind::Unfit, what);
        let locked = |error| unfit(format!("could not take the liveness lock: {error}"));
        let identity = sys::identity(&descriptor).map_err(locked)?;
        let sign = LivenessLock::take(&descriptor, SLOTS).map_err(locked)?;
        let sign = sign.ok_or_else(|| unfit(format!("at most {SLOTS} processes can share it")))?;
        let slot = sign.byte();
        // Rule 2.
        for role in 0..ROLES {
            if memory.word(end_word(slot, role)).swap(0, Ordering::SeqCst) != 0 {
                memory.word(DIED + 8 * role).store(1, Ordering::SeqCst);
            }
        }
        let incarnation = (memory.word(slot_word(slot)).load(Ordering::SeqCst) as u32).wrapping_add(1);
        memory.word(slot_word(slot)).store(u64::from(incarnation), Ordering::SeqCst);
        memory.word(pid_word(slot)).store(std::process::id().into(), Ordering::SeqCst);
        memory.word(SLOTS_USED).fetch_max(slot as u64 + 1, Ordering::SeqCst);
        let name = u64::from(incarnation) << SLOT_BITS | (slot as u64 + 1);
        let segment = Segment::open(descriptor, None);
        Ok(Self { memory, segment, identity, sign, name, owner: ForkMark::here() })
    }

    /// Whether this process has the slot, and not one that it was forked from.
    pub(super) fn is_here(&self) -> bool {
        self.owner.is_here()
    }

    /// The same, as an error; `what` is as in [`SyncKind::name`].
    pub(super) fn check_process(&self, kind: SyncKind) -> Result<()> {
        if self.is_here() { Ok(()) } else { Err(Error::forked(kind.name())) }
    }

    /// The segment by which workers get it.
    pub(super) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// The slot of this process.
    pub(super) fn slot(&self) -> usize {
        self.sign.byte()
    }

    /// Whether the process that has a slot, which is another's, lives.
    fn is_owned(&self, slot: usize) -> bool {
        sys::is_locked_by_another(&*self.segment.memory, self.identity, slot)
            .unwrap_or_else(|| sys::process_exists(self.word(pid_word(slot)).load(Ordering::SeqCst)))
    }

    /// The bytes of the body.
    pub(super) fn body_bytes(&self) -> usize {
        self.memory.len() - BODY
    }

    pub(super) fn memory(&self) -> &CommonMemory {
        &self.memory
    }

    /// A word of the memory.
    #[inline]
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        self.memory.word(offset)
    }

    /// How many ends of a role this process has.
    pub(super) fn ends(&self, role: usize) -> &AtomicU64 {
        self.memory.word(end_word(self.slot(), role))
    }

    /// Whether another process that has an end of a role was found, and whether one that died with some was.
    pub(super) fn find_ends(&self, role: usize, look: Check) -> (bool, bool) {
        let used = usize::try_from(self.word(SLOTS_USED).load(Ordering::SeqCst)).map_or(SLOTS, |used| used.min(SLOTS));
        let mut died = self.word(DIED + 8 * role).load(Ordering::SeqCst) != 0;
        for slot in 0..used {
            if self.word(end_word(slot, role)).load(Ordering::SeqCst) == 0 {
                continue;
            }
            if look == Check::Quick || slot == self.slot() || self.is_owned(slot) {
                return (true, died);
            }
            died = true;
        }
        (false, died)
    }

    /// Whether the process of this name lives.
    pub(super) fn is_alive(&self, name: u64) -> bool {
        if name == self.name {
            return true;
        }
        let slot = usize::try_from(name & ((1 << SLOT_BITS) - 1)).ok().and_then(|slot| slot.checked_sub(1));
        let Some(slot) = slot.filter(|&slot| slot < SLOTS && name >> NAME_BITS == 0) else {
            return false;
        };
        self.word(slot_word(slot)).load(Ordering::SeqCst) == name >> SLOT_BITS && self.is_owned(slot)
    }

    /// Tries until it works or patience ends (rules 4 and 5).
    pub(super) fn wait<R>(&self, patience: WaitLimit, mut attempt: impl FnMut(Check) -> Option<R>) -> Option<R> {
        let first = attempt(Check::Quick);
        if first.is_some() {
            return first;
        }
        if !matches!(patience, WaitLimit::None) {
            for _ in 0..YIELDS {
                std::thread::yield_now();
                let found = attempt(Check::Quick);
                if found.is_some() {
                    return found;
                }
            }
        }
        let (mut looked, mut round) = (None::<Instant>, 0);
        loop {
            let slice = patience.slice();
            let close = slice.is_none() || looked.is_none_or(|looked| looked.elapsed() >= LIVENESS_CHECK_INTERVAL);
            if close {
                looked = Some(Instant::now());
            }
            self.word(WAITING).fetch_add(1, Ordering::SeqCst);
            let seen = self.word(BELL).load(Ordering::SeqCst);
            let found = attempt(if close { Check::Close } else { Check::Quick });
            if found.is_none()
                && let Some(slice) = slice
            {
                self.memory.sleep(BELL, seen, slice, round);
            }
            self.word(WAITING).fetch_sub(1, Ordering::SeqCst);
            if found.is_some() || slice.is_none() {
                return found;
            }
            round += 1;
        }
    }

    /// Wakes one that waits; whoever can use what has changed.
    pub(super) fn wake_one(&self) {
        self.wake(1);
    }

    /// Wakes all that wait.
    pub(super) fn wake_all(&self) {
        self.wake(i32::MAX);
    }

    fn wake(&self, count: i32) {
        if self.word(WAITING).load(Ordering::SeqCst) != 0 {
            self.word(BELL).fetch_add(1, Ordering::SeqCst);
            self.memory.wake(BELL, count);
        }
    }
}

fn slot_word(slot: usize) -> usize {
    TABLE + slot * SLOT_BYTES
}

fn pid_word(slot: usize) -> usize {
    slot_word(slot) + 24
}

fn end_word(slot: usize, role: usize) -> usize {
    slot_word(slot) + 8 + 8 * role
}
