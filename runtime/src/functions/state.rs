//! The state that a worker keeps from task to task for its functions: a value of each type, on the thread that runs the tasks.

use std::any::{Any, TypeId};
use std::cell::RefCell;

use crate::foreign;

/// A state and its type; none while a task has it.
type Kept = (TypeId, Option<Box<dyn Any>>);

thread_local! {
    /// There are few: looking at each takes less than a hash.
    static STATES: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// Runs something with the state of this type, which is made first if there is none. One that a panic goes through is dropped.
#[inline]
pub fn with_state<T: 'static, R>(init: impl FnOnce() -> T, run: impl FnOnce(&mut T) -> R) -> R {
    let id = TypeId::of::<T>();
    let kept = STATES
        .try_with(|states| states.borrow_mut().iter_mut().find(|(of, _)| *of == id).and_then(|(_, kept)| kept.take()));
    // The thread may have destroyed them, at its end: then the state is made for this one call.
    let mut state = kept.ok().flatten().and_then(|state| state.downcast().ok()).unwrap_or_else(|| Box::new(init()));
    let result = run(&mut state);
    let before = STATES.try_with(|states| {
        let mut states = states.borrow_mut();
        match states.iter_mut().find(|(of, _)| *of == id) {
            Some((_, kept)) => kept.replace(state),
            None => {
                states.push((id, Some(state)));
                None
            }
        }
    });
    // A task within this one has made another. Its Drop is the program's code, which may ask for a state too.
    drop(before);
    result
}

/// Drops every state of this thread, at the end of a worker: a panic in a Drop then ends nothing, where that of a thread-local
/// would abort.
pub(crate) fn forget_states() {
    let states = STATES.try_with(|states| std::mem::take(&mut *states.borrow_mut())).unwrap_or_default();
    states.into_iter().for_each(|(_, state)| foreign::dispose(state));
}
