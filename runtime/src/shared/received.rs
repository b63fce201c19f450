//! What a worker has got: the parent's memory and descriptors by their number, and the values that it has decoded out of the
//! memory, or made of a descriptor.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};

use super::segment::Memory;
use crate::foreign;

static RECEIVED: RwLock<BTreeMap<u64, Received>> = RwLock::new(BTreeMap::new());

/// What has come with a number.
enum Received {
    Memory(Arc<Memory>),
    Open {
        descriptor: Arc<OwnedFd>,
        /// What was made of it.
        made: Option<Arc<dyn Any + Send + Sync>>,
    },
}

thread_local! {
    /// Values need not be `Send`: they stay on the thread that runs the tasks. Once the thread has destroyed it, at its end,
    /// nothing is kept.
    static KEPT: RefCell<BTreeMap<u64, Rc<dyn Any>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Adds memory that the parent has sent, under the parent's number; a descriptor to be kept open, if it has no bytes.
pub(crate) fn add(id: u64, memory: OwnedFd, bytes: usize) -> io::Result<()> {
    let received = match bytes {
        0 => Received::Open { descriptor: Arc::new(memory), made: None },
        bytes => Received::Memory(Arc::new(Memory::filled(memory, bytes)?)),
    };
    RECEIVED.write().unwrap_or_else(PoisonError::into_inner).insert(id, received);
    Ok(())
}

/// The memory with this number of the parent's.
pub(crate) fn find(id: u64) -> Option<Arc<Memory>> {
    match RECEIVED.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        Some(Received::Memory(memory)) => Some(Arc::clone(memory)),
        _ => None,
    }
}

/// The descriptor with this number of the parent's.
pub(crate) fn find_open(id: u64) -> Option<Arc<OwnedFd>> {
    match RECEIVED.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        Some(Received::Open { descriptor, .. }) => Some(Arc::clone(descriptor)),
        _ => None,
    }
}

/// What `make` makes of the descriptor with this number, once: it stays until the descriptor is let go of. None where there is no
/// such descriptor, or something else was made of it.
pub(crate) fn find_made<T: Any + Send + Sync, E>(
    id: u64,
    make: impl FnOnce(Arc<OwnedFd>) -> Result<Arc<T>, E>,
) -> Option<Result<Arc<T>, E>> {
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
    let value = KEPT.try_with(|kept| kept.borrow_mut().remove(&id));
    // A value's Drop is the program's: its panic is no task's, and must not end the thread.
    foreign::dispose(value);
    drop(received);
}

/// The value that this thread has kept of the memory with this number.
pub(crate) fn kept<T: 'static>(id: u64) -> Option<Rc<T>> {
    KEPT.try_with(|kept| kept.borrow().get(&id).cloned()).ok()??.downcast().ok()
}

/// Keeps a value until its memory is let go of.
pub(crate) fn keep<T: 'static>(id: u64, value: T) -> Rc<T> {
    let value = Rc::new(value);
    let before = KEPT.try_with(|kept| kept.borrow_mut().insert(id, Rc::clone(&value) as Rc<dyn Any>));
    drop(before);
    value
}
