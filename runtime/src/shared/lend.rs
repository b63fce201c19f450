//! Memory that is lent to workers in parts, and when nobody but its owner writes there.
//!
//! 1. A chunk of tasks that name a part notes the memory, as it does for memory that is only read. The pool lets go of it when
//!    the tasks have their results or, where one was ended, when its worker was reaped.
//! 2. A worker maps the pages of a part when it decodes the name, and unmaps them when the part is dropped. It counts the parts
//!    that there are, and no task is finished while there is one (rule 3 of `registry::call`).
//! 3. So where the owner alone holds the memory, nobody else writes there, and nobody will before a part is lent anew, which
//!    takes the owner's `&mut`. The owner looks for that each time it is borrowed, as no lifetime can tell: a forgotten
//!    iterator's tasks go on, and so do those of a call that has just ended.
//! 4. A worker may lend a part on, to workers of its own. The part is dropped only when they are done with it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::segment::{Memory, Segment};
use super::waiting::wait_until;
use crate::sys::Pages;

/// The owner waits so long for workers: one that was killed is gone in a millisecond as a rule.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);

/// The parts of other processes' memory that this process has.
static PARTS: AtomicUsize = AtomicUsize::new(0);

/// Whether this process has a part of another's memory that it may write.
#[inline(always)]
pub(crate) fn has_parts() -> bool {
    PARTS.load(Ordering::Acquire) > 0
}

/// Memory that its owner may lend.
pub(super) struct Lend {
    /// What the workers of this process get of it: of another process's memory, once there is one that does.
    segment: OnceLock<Arc<Segment>>,
    /// Whose part it is; none of memory of this process.
    of: Option<Arc<Memory>>,
    /// Where what the owner has mapped begins in the memory.
    base: usize,
}

impl Lend {
    /// Memory of this process.
    pub(super) fn own(segment: Arc<Segment>) -> Self {
        Self { segment: OnceLock::from(segment), of: None, base: 0 }
    }

    /// Maps a part of another process's memory; gives where it begins in the pages, too.
    pub(super) fn part(memory: Arc<Memory>, offset: usize, bytes: usize) -> io::Result<(Pages, usize, Self)> {
        let segment = memory.segment().ok_or(io::ErrorKind::NotFound)?;
        let (pages, start) = Pages::lent(&segment.memory, offset, bytes)?;
        PARTS.fetch_add(1, Ordering::Relaxed);
        Ok((pages, start, Self { segment: OnceLock::new(), of: Some(memory), base: offset - start }))
    }

    /// Where what the owner has mapped begins in the memory.
    pub(super) fn base(&self) -> usize {
        self.base
    }

    /// Whether it is of this process.
    pub(super) fn is_own(&self) -> bool {
        self.of.is_none()
    }

    /// What a worker gets of it.
    pub(super) fn segment(&self) -> io::Result<&Arc<Segment>> {
        if let Some(segment) = self.segment.get() {
            return Ok(segment);
        }
        let theirs = self.of.as_deref().and_then(Memory::segment).ok_or(io::ErrorKind::NotFound)?;
        let segment = Segment::new(theirs.memory.try_clone()?, theirs.bytes);
        Ok(self.segment.get_or_init(|| segment))
    }

    /// Whether nobody else can write to it.
    #[inline]
    pub(super) fn is_free(&self) -> bool {
        let is_free = self.segment.get().is_none_or(|segment| Arc::strong_count(segment) == 1);
        // What was written before the others let go of it is seen by who comes behind this.
        fence(Ordering::Acquire);
        is_free
    }

    /// Waits until nobody else can write to it; tells whether it is so.
    #[inline]
    pub(super) fn wait(&self, limit: Duration) -> bool {
        self.is_free() || wait_until(limit, || self.is_free())
    }
}

impl Drop for Lend {
    fn drop(&mut self) {
        // One that is not free stays counted, and this process ends with its task.
        if self.of.is_some() && self.wait(WAIT_MAX) {
            PARTS.fetch_sub(1, Ordering::Release);
        }
    }
}
