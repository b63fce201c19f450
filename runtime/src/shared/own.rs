//! Memory and descriptors of this process that its own tasks get: those of pools in process.
//!
//! 1. A grant of such a task has [`OWN`] in the number of its segment. So it is never taken for the parent's, whose numbers a worker
//!    has in `object_table`, and which begin anew in each process.
//! 2. A segment is here while a task that names it runs, and for as long as a value is kept that was decoded out of it
//!    (`own_scope`). A thread lets go of such a value at the end of its call, or before its next task.
//! 3. A part of an array that is written holds its segment, so the owner of the array waits for it (rule 3 of `loan`).

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::grant::Grant;
use super::segment::{Memory, Segment};
use crate::locks::{Lock, Rank, Ranked};
use crate::sys::{self, FromParent, Lease, Pages, PerProcess};

/// In the number of a segment: it is of this process.
pub(super) const OWN: u64 = 1 << 63;

/// The segments that tasks of this process have, by their number without [`OWN`].
#[derive(Default)]
struct LentSegments(BTreeMap<u64, LentSegment>);

struct LentSegment {
    segment: Arc<Segment>,
    users: usize,
    /// The memory, once a task has looked at it.
    memory: Option<Arc<Memory>>,
}

impl Ranked for LentSegments {
    const RANK: Rank = Rank::OwnMemory;
}

/// A fork has none of its parent's.
static LENT: PerProcess<Lock<LentSegments>> = PerProcess::new();

/// Lends a segment to a task of this process, until it is [`released`](release) as often.
pub(super) fn lend(segment: &Arc<Segment>) {
    let mut lent = LENT.get().lock();
    let new = || LentSegment { segment: Arc::clone(segment), users: 0, memory: None };
    lent.0.entry(segment.id).or_insert_with(new).users += 1;
}

/// Takes a segment of this number back; returns whether no task has it any more.
pub(super) fn release(id: u64) -> bool {
    let mut lent = LENT.get().lock();
    let Some(of_id) = lent.0.get_mut(&id) else {
        return false;
    };
    of_id.users -= 1;
    let released = if of_id.users == 0 { lent.0.remove(&id) } else { None };
    drop(lent);
    // It may close descriptors.
    released.is_some()
}

/// The segment of a number, if it is one of this process that was lent.
pub(super) fn segment(id: u64) -> Option<Arc<Segment>> {
    if id & OWN == 0 {
        return None;
    }
    LENT.get().lock().0.get(&(id & !OWN)).map(|lent| Arc::clone(&lent.segment))
}

/// Whether a task, or the call of a value that is kept, has the segment of a number of this process's own.
pub(super) fn is_lent(id: u64) -> bool {
    LENT.get().lock().0.contains_key(&(id & !OWN))
}

/// The memory of a segment that was lent, to be read.
pub(super) fn memory(id: u64) -> Option<Arc<Memory>> {
    let mut lent = LENT.get().lock();
    let of_id = lent.0.get_mut(&(id & !OWN))?;
    if of_id.memory.is_none() {
        of_id.memory = Memory::of_own(&of_id.segment).ok().map(Arc::new);
    }
    of_id.memory.clone()
}

/// The part of a segment that is granted, and where it begins in its pages.
pub(super) fn take_part(segment: &Segment, grant: &Grant) -> io::Result<(Pages, usize)> {
    let range = usize::try_from(grant.offset).ok().zip(usize::try_from(grant.bytes).ok());
    let (offset, bytes) = range.ok_or(io::ErrorKind::InvalidInput)?;
    let page = sys::page_bytes();
    let start = offset / page * page;
    let end = offset.checked_add(bytes).ok_or(io::ErrorKind::InvalidInput)?.next_multiple_of(page);
    let memory = FromParent::in_process(segment.memory.try_clone()?);
    Lease::new(&memory, start, end - start)?.take(offset, bytes)
}
