//! Memory that is lent to workers in parts, and when nobody but its owner writes there.
//!
//! 1. A chunk of tasks that name a part notes the memory, as it does for memory that is only read. The pool lets go of it when
//!    the tasks have their results or, where one was ended, when its worker was reaped.
//! 2. A worker reserves the pages of a chunk's parts, and closes the memory's descriptor, before it runs anything of the chunk
//!    (`object_table`). A part's pages are made accessible when its name is decoded, and unmapped when it is dropped. The worker
//!    counts the parts that there are, and no task is finished while there is one (rule 3 of `functions::task_run`).
//! 3. So where the owner alone holds the memory, nobody else writes there, and nobody will before a part is lent anew, which
//!    takes the owner's `&mut`. The owner looks for that each time it is borrowed, as no lifetime can tell: a forgotten
//!    iterator's tasks go on, and so do those of a call that has just ended.
//! 4. A part that a task of this process has holds the memory. So the owner waits for it too, and rule 2 needs no count of it.
//! 5. A worker that divides its part, for workers of its own, does so with a copy in memory of its own, as it has no descriptor
//!    of the parent's. The copy is written back when the part is dropped, which it is only once those workers are done.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::time::Duration;

use super::element::Element;
use super::quiesce::wait_until;
use super::segment::Segment;
use crate::sys::{self, Pages};

/// The owner waits this long for workers: one that was killed is gone in a millisecond as a rule.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);

/// The parts of other processes' memory that this process has.
static PARTS: AtomicUsize = AtomicUsize::new(0);

/// Whether this process has a part of another's memory that it may write.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn has_parts() -> bool {
    PARTS.load(Ordering::Acquire) > 0
}

/// Where the numbers of an array stand.
pub(super) enum ArrayPlace {
    /// In memory of this process.
    Own(OwnRoom),
    /// In a part of another's.
    Part(PartRoom),
}

/// Memory of this process that it can lend.
pub(super) struct OwnRoom {
    pub(super) pages: Pages,
    pub(super) segment: Arc<Segment>,
}

/// A part of another process's memory, or of this one's where its own tasks get it.
pub(super) struct PartRoom {
    pages: Pages,
    /// The memory, where it is this process's own: its owner waits until nobody else holds it. It is dropped behind the pages.
    own: Option<Arc<Segment>>,
    /// Where the part begins in the pages.
    start: usize,
    bytes: usize,
    /// Where its numbers stand from the first time on that it was divided.
    copy: Option<OwnRoom>,
}

impl OwnRoom {
    fn new(bytes: usize) -> io::Result<Self> {
        let (pages, memory) = Pages::shared(bytes)?;
        Ok(Self { pages, segment: Segment::lent(memory, bytes) })
    }

    /// Whether nobody else can write to it.
    #[inline]
    fn is_free(&self) -> bool {
        let is_free = Arc::strong_count(&self.segment) == 1;
        // A thread that has passed this sees all writes that the others made before they let go.
        fence(Ordering::Acquire);
        is_free
    }
}

impl ArrayPlace {
    /// New memory, all zeros.
    pub(super) fn new(bytes: usize) -> io::Result<Self> {
        OwnRoom::new(bytes).map(Self::Own)
    }

    /// A part of another process's memory, or of this one's `own`: `bytes` of some pages, from `start` on.
    pub(super) fn part((pages, start): (Pages, usize), bytes: usize, own: Option<Arc<Segment>>) -> Self {
        if own.is_none() {
            PARTS.fetch_add(1, Ordering::Relaxed);
        }
        Self::Part(PartRoom { pages, own, start, bytes, copy: None })
    }

    /// So many numbers; none if there are not so many, or not aligned.
    #[inline]
    pub(super) fn numbers<T: Element>(&self, length: usize) -> Option<&[T]> {
        match self {
            Self::Own(own) => own.pages.numbers(0, length),
            Self::Part(PartRoom { copy: Some(copy), .. }) => copy.pages.numbers(0, length),
            Self::Part(part) => part.pages.numbers(part.start, length),
        }
    }

    /// The same, to be written.
    #[inline]
    pub(super) fn numbers_mut<T: Element>(&mut self, length: usize) -> Option<&mut [T]> {
        match self {
            Self::Own(own) => own.pages.numbers_mut(0, length),
            Self::Part(PartRoom { copy: Some(copy), .. }) => copy.pages.numbers_mut(0, length),
            Self::Part(part) => part.pages.numbers_mut(part.start, length),
        }
    }

    /// The pages, where the numbers begin there, and what workers of this process get of them: none where there is no memory that
    /// they can share.
    pub(super) fn divisible(&mut self) -> (&mut Pages, usize, Option<&Arc<Segment>>) {
        if let Self::Part(part) = self {
            part.make_copy();
        }
        match self {
            Self::Own(own) | Self::Part(PartRoom { copy: Some(own), .. }) => (&mut own.pages, 0, Some(&own.segment)),
            Self::Part(part) => (&mut part.pages, part.start, None),
        }
    }

    /// Whether nobody else can write to it.
    #[inline]
    pub(super) fn is_free(&self) -> bool {
        match self {
            Self::Own(own) => own.is_free(),
            Self::Part(part) => part.copy.as_ref().is_none_or(OwnRoom::is_free),
        }
    }

    /// Waits until nobody else can write to it; returns whether it is so.
    #[inline]
    pub(super) fn wait(&self, limit: Duration) -> bool {
        self.is_free() || wait_until(limit, || self.is_free())
    }
}

impl PartRoom {
    /// Moves the numbers into memory of this process; without such memory they stay where they are.
    fn make_copy(&mut self) {
        if self.copy.is_some() {
            return;
        }
        let (Ok(mut copy), Some(from)) = (OwnRoom::new(self.bytes), self.pages.numbers::<u8>(self.start, self.bytes))
        else {
            return;
        };
        if let Some(to) = copy.pages.numbers_mut::<u8>(0, self.bytes) {
            to.copy_from_slice(from);
            self.copy = Some(copy);
        }
    }

    /// Writes the copy back; false if somebody can still write to that.
    fn write_back(&mut self) -> bool {
        let Some(copy) = &self.copy else {
            return true;
        };
        if !copy.is_free() && !wait_until(WAIT_MAX, || copy.is_free()) {
            return false;
        }
        let from = copy.pages.numbers::<u8>(0, self.bytes);
        if let (Some(from), Some(to)) = (from, self.pages.numbers_mut::<u8>(self.start, self.bytes)) {
            to.copy_from_slice(from);
        }
        true
    }
}

impl Drop for PartRoom {
    fn drop(&mut self) {
        // A fork of this process has not got the pages. A part that cannot be written back stays counted, and the process ends
        // with its task.
        if !sys::is_fork() && self.write_back() && self.own.is_none() {
            PARTS.fetch_sub(1, Ordering::Release);
        }
    }
}
