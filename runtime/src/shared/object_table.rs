//! The objects that a worker has received: the parent's memory and descriptors by their number, and the values that it has decoded
//! out of the memory, or made of a descriptor.
//!
//! Code of the program's looks nothing up by a number: a handle has a name, and the number is in the grant of that name.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::grant::Grant;
use super::own::{self, OWN};
use super::segment::{Memory, Segment, SegmentHead, SegmentKind};
use crate::foreign;
use crate::sys::{FromParent, Lease, Pages};

static RECEIVED: RwLock<BTreeMap<u64, Received>> = RwLock::new(BTreeMap::new());

/// An object that has come with a number.
enum Received {
    Memory(Arc<Memory>),
    Open {
        descriptor: Arc<OwnedFd>,
        /// The object that was made of it.
        made: Option<Arc<dyn Any + Send + Sync>>,
    },
}

/// The ranges of memory that are lent, and the descriptors that one task gets, for the chunk that is run and for those that wait.
static LEASES: Mutex<Vec<Leased>> = Mutex::new(Vec::new());

/// How many they are. The thread that adds some asks for it.
static LEASED: AtomicUsize = AtomicUsize::new(0);

struct Leased {
    segment: u64,
    /// How many messages about memory had come with it.
    message: u64,
    lent: Lent,
}

/// What comes anew with each chunk, and goes with it.
enum Lent {
    Range(Lease),
    /// It is closed with the chunk, if no task has it.
    Descriptor(OwnedFd),
}

impl Leased {
    /// Whether it holds what is granted.
    fn holds(&self, grant: &Grant) -> bool {
        let range = usize::try_from(grant.offset).ok().zip(usize::try_from(grant.bytes).ok());
        self.segment == grant.segment
            && match &self.lent {
                Lent::Range(lease) => range.is_some_and(|(offset, bytes)| lease.holds(offset, bytes)),
                Lent::Descriptor(_) => true,
            }
    }
}

thread_local! {
    /// Values need not be `Send`: they stay on the thread that runs the tasks. Once the thread has destroyed it, at its end,
    /// nothing is kept.
    static KEPT: RefCell<KeptValues> = const { RefCell::new(KeptValues(BTreeMap::new())) };
}

/// The values that a thread has decoded, by the number of their memory.
#[derive(Default)]
struct KeptValues(BTreeMap<u64, Rc<dyn Any>>);

impl Drop for KeptValues {
    fn drop(&mut self) {
        // A panic at the end of a thread would end the program.
        std::mem::take(&mut self.0).into_values().for_each(foreign::dispose);
    }
}

/// Adds what the parent has sent, by the message of this number.
pub(crate) fn add(head: &SegmentHead, descriptor: FromParent, message: u64) -> io::Result<()> {
    let bytes = usize::try_from(head.bytes).map_err(io::Error::other)?;
    let received = match head.kind {
        SegmentKind::Open => Received::Open { descriptor: Arc::new(descriptor.into_descriptor()), made: None },
        SegmentKind::Sealed => Received::Memory(Arc::new(Memory::received(&descriptor, bytes, false)?)),
        SegmentKind::Promised => Received::Memory(Arc::new(Memory::received(&descriptor, bytes, true)?)),
        SegmentKind::Parts => return lease(head, &descriptor, message),
        // The worker takes it before it comes here.
        SegmentKind::Log => return Err(io::ErrorKind::InvalidInput.into()),
        SegmentKind::Once => {
            lend(Leased { segment: head.id, message, lent: Lent::Descriptor(descriptor.into_descriptor()) });
            return Ok(());
        }
    };
    RECEIVED.write().unwrap_or_else(PoisonError::into_inner).insert(head.id, received);
    Ok(())
}

/// Reserves the ranges that are lent of some memory.
fn lease(head: &SegmentHead, memory: &FromParent, message: u64) -> io::Result<()> {
    for &(offset, bytes) in &head.runs {
        let range = usize::try_from(offset).ok().zip(usize::try_from(bytes).ok());
        let (offset, bytes) = range.ok_or(io::ErrorKind::OutOfMemory)?;
        let lease = Lease::new(memory, offset, bytes)?;
        lend(Leased { segment: head.id, message, lent: Lent::Range(lease) });
    }
    Ok(())
}

fn lend(leased: Leased) {
    let mut leases = LEASES.lock().unwrap_or_else(PoisonError::into_inner);
    leases.push(leased);
    LEASED.store(leases.len(), Ordering::Relaxed);
}

/// The descriptor that is granted, which its task has from now on.
pub(super) fn take_descriptor(grant: &Grant) -> Option<OwnedFd> {
    if let Some(segment) = own::segment(grant.segment) {
        return segment.memory.try_clone().ok();
    }
    let mut leases = LEASES.lock().unwrap_or_else(PoisonError::into_inner);
    // The oldest is that of the chunk that is run, as for parts.
    let is_it = |leased: &Leased| leased.holds(grant) && matches!(leased.lent, Lent::Descriptor(_));
    let place = leases.iter().position(is_it)?;
    let taken = leases.remove(place);
    LEASED.store(leases.len(), Ordering::Relaxed);
    match taken.lent {
        Lent::Descriptor(descriptor) => Some(descriptor),
        Lent::Range(_) => None,
    }
}

/// The part that is granted, where it begins in its pages, and the segment that it is of, if that is this process's own.
pub(super) fn take_part(grant: &Grant) -> io::Result<(Pages, usize, Option<Arc<Segment>>)> {
    if let Some(segment) = own::segment(grant.segment) {
        let (pages, start) = own::take_part(&segment, grant)?;
        return Ok((pages, start, Some(segment)));
    }
    let range = usize::try_from(grant.offset).ok().zip(usize::try_from(grant.bytes).ok());
    let (offset, bytes) = range.ok_or(io::ErrorKind::InvalidInput)?;
    let leases = LEASES.lock().unwrap_or_else(PoisonError::into_inner);
    // The oldest is that of the chunk that is run, as a rule.
    let mut holding = leases.iter().filter(|leased| leased.holds(grant));
    let mut taken = Err(io::ErrorKind::NotFound.into());
    while taken.is_err()
        && let Some(leased) = holding.next()
    {
        if let Lent::Range(lease) = &leased.lent {
            taken = lease.take(offset, bytes);
        }
    }
    taken.map(|(pages, start)| (pages, start, None))
}

/// Gives up the ranges that were lent by the messages up to this one: their chunk is done.
pub(crate) fn end_leases(message: u64) {
    end_leases_but(message, &[]);
}

/// Gives up the ranges that were lent by the messages up to this one, but for those that hold one of these grants: they are of
/// chunks that were taken back before they were begun.
pub(super) fn end_leases_but(message: u64, granted: &[Option<Grant>]) {
    // Each chunk asks, and most have none.
    if LEASED.load(Ordering::Relaxed) == 0 {
        return;
    }
    let mut leases = LEASES.lock().unwrap_or_else(PoisonError::into_inner);
    leases.retain(|leased| leased.message > message || granted.iter().flatten().any(|grant| leased.holds(grant)));
    LEASED.store(leases.len(), Ordering::Relaxed);
}

/// The memory with this number of the parent's.
pub(crate) fn find(id: u64) -> Option<Arc<Memory>> {
    if id & OWN != 0 {
        return own::memory(id);
    }
    match RECEIVED.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        Some(Received::Memory(memory)) => Some(Arc::clone(memory)),
        _ => None,
    }
}

/// The bytes that are granted to be read or decoded, the memory that they are in, and where.
pub(crate) fn find_granted(grant: &Grant) -> Option<(Arc<Memory>, usize, usize)> {
    let memory = find(grant.segment)?;
    let (offset, bytes) = usize::try_from(grant.offset).ok().zip(usize::try_from(grant.bytes).ok())?;
    memory.pages().numbers::<u8>(offset, bytes)?;
    Some((memory, offset, bytes))
}

/// The descriptor with this number of the parent's.
pub(crate) fn find_open(id: u64) -> Option<Arc<OwnedFd>> {
    if let Some(segment) = own::segment(id) {
        return (segment.kind == SegmentKind::Open).then(|| Arc::clone(&segment.memory));
    }
    match RECEIVED.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        Some(Received::Open { descriptor, .. }) => Some(Arc::clone(descriptor)),
        _ => None,
    }
}

/// The object that `make` makes of the descriptor with this number, once: it stays until the descriptor is let go of. None where there
/// is no such descriptor, or something else was made of it.
pub(crate) fn find_made<T: Any + Send + Sync, E>(
    id: u64,
    make: impl FnOnce(Arc<OwnedFd>) -> Result<Arc<T>, E>,
) -> Option<Result<Arc<T>, E>> {
    if let Some(segment) = own::segment(id).filter(|segment| segment.kind == SegmentKind::Open) {
        // It is this process's own, which has no second of it.
        let made = segment.made().map(|made| made.downcast().ok().map(Ok));
        return made.unwrap_or_else(|| Some(make(Arc::clone(&segment.memory))));
    }
    let mut received = RECEIVED.write().unwrap_or_else(PoisonError::into_inner);
    let Some(Received::Open { descriptor, made }) = received.get_mut(&id) else {
        return None;
    };
    if let Some(made) = made {
        return Arc::clone(made).downcast().ok().map(Ok);
    }
    let new = match make(Arc::clone(descriptor)) {
        Ok(new) => new,
        Err(error) => return Some(Err(error)),
    };
    *made = Some(Arc::clone(&new) as Arc<dyn Any + Send + Sync>);
    Some(Ok(new))
}

/// Lets go of memory, and of the value out of it.
pub(crate) fn remove(id: u64) {
    let received = RECEIVED.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    forget_value(id);
    drop(received);
}

/// Lets go of the value that was decoded out of this memory, on this thread.
pub(super) fn forget_value(id: u64) {
    let value = KEPT.try_with(|kept| kept.borrow_mut().0.remove(&id));
    // A value's Drop is the program's: its panic is no task's, and must not end the thread.
    foreign::dispose(value);
}

/// Lets go of the values that this thread has kept of this process's own memory that no task has any more.
pub(super) fn forget_released() {
    let own = KEPT.try_with(|kept| kept.borrow().0.range(OWN..).map(|(&id, _)| id).collect::<Vec<_>>());
    for id in own.unwrap_or_default() {
        if !own::is_lent(id) {
            forget_value(id);
        }
    }
}

/// The value that this thread has kept of the memory with this number.
pub(crate) fn kept<T: 'static>(id: u64) -> Option<Rc<T>> {
    KEPT.try_with(|kept| kept.borrow().0.get(&id).cloned()).ok()??.downcast().ok()
}

/// Keeps a value until its memory is let go of.
pub(crate) fn keep<T: 'static>(id: u64, value: T) -> Rc<T> {
    let value = Rc::new(value);
    let before = KEPT.try_with(|kept| kept.borrow_mut().0.insert(id, Rc::clone(&value) as Rc<dyn Any>));
    drop(before);
    value
}

/// Lets go of every value that this thread has kept, at the end of a worker.
pub(crate) fn forget_kept() {
    drop(KEPT.try_with(RefCell::take));
}

#[cfg(all(test, poolmap_linux))]
mod tests {
    use super::super::grant::Right;
    use super::*;

    #[test]
    fn what_was_lent_for_a_chunk_that_was_taken_back_is_given_up_by_the_next() {
        const SEGMENT: u64 = u64::MAX;
        let (_ours, memory) = Pages::shared(1 << 20).unwrap();
        let lend = |offset: u64, message| {
            let memory = FromParent::in_test(memory.try_clone().unwrap());
            let head =
                SegmentHead { id: SEGMENT, bytes: 1 << 20, kind: SegmentKind::Parts, runs: vec![(offset, 8192)] };
            add(&head, memory, message).unwrap();
        };
        let grant = |offset| Grant { name: 1, right: Right::Write, kind: 0, segment: SEGMENT, offset, bytes: 8192 };
        let begin = |offset, message| end_leases_but(message, &[Some(grant(offset))]);
        let lent = || {
            let leases = LEASES.lock().unwrap();
            leases.iter().filter(|leased| leased.segment == SEGMENT).map(|leased| leased.message).collect::<Vec<_>>()
        };
        // Other tests in this process end the leases of the first messages.
        let [first, second, third, fourth] = [4, 3, 2, 1].map(|behind| u64::MAX - behind);
        lend(0, first);
        lend(8192, second);
        lend(16384, third);
        assert_eq!(lent(), [first, second, third]);
        // The first chunk was taken back; the third waits.
        begin(8192, second);
        assert_eq!(lent(), [second, third]);
        assert!(take_part(&grant(8192)).is_ok());
        end_leases(second);
        assert_eq!(lent(), [third]);
        // So was the third, and what comes now is granted other memory.
        begin(1 << 30, fourth);
        assert_eq!(lent(), [0; 0]);
    }
}
