//! What a worker has got: the parent's memory by its number, and the values that it has decoded out of it.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};

use super::segment::Memory;

static RECEIVED: RwLock<BTreeMap<u64, Arc<Memory>>> = RwLock::new(BTreeMap::new());

thread_local! {
    /// Values need not be `Send`: they stay on the thread that runs the tasks.
    static KEPT: RefCell<BTreeMap<u64, Rc<dyn Any>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Adds memory that the parent has sent, under the parent's number.
pub(crate) fn add(id: u64, memory: OwnedFd, bytes: usize) -> io::Result<()> {
    let memory = Arc::new(Memory::filled(memory, bytes)?);
    RECEIVED.write().unwrap_or_else(PoisonError::into_inner).insert(id, memory);
    Ok(())
}

/// The memory with this number of the parent's.
pub(crate) fn find(id: u64) -> Option<Arc<Memory>> {
    RECEIVED.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
}

/// Lets go of memory, and of the value out of it.
pub(crate) fn remove(id: u64) {
    let memory = RECEIVED.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    let value = KEPT.with_borrow_mut(|kept| kept.remove(&id));
    // A value's Drop is the program's: its panic is no task's, and must not end the thread.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
    drop(memory);
}

/// The value that this thread has kept of the memory with this number.
pub(crate) fn kept<T: 'static>(id: u64) -> Option<Rc<T>> {
    KEPT.with_borrow(|kept| kept.get(&id).cloned())?.downcast().ok()
}

/// Keeps a value until its memory is let go of.
pub(crate) fn keep<T: 'static>(id: u64, value: T) -> Rc<T> {
    let value = Rc::new(value);
    let before = KEPT.with_borrow_mut(|kept| kept.insert(id, Rc::clone(&value) as Rc<dyn Any>));
    drop(before);
    value
}
