//! The state that a worker keeps from task to task for its functions: a value of each type, on the thread that runs the tasks.

use std::any::{Any, TypeId};
use std::cell::RefCell;

use crate::foreign;

/// A state and its type; none while a task has it.
type Kept = (TypeId, Option<Box<dyn Any>>);

thread_local! {
    /// There are few: looking at each takes less than a hash.
    static STATES: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
    /// Those of the pools in process whose tasks this thread has run, by the pool.
    static OF_POOLS: RefCell<Vec<PoolStates>> = const { RefCell::new(Vec::new()) };
}

/// The states that a thread keeps for the tasks of a pool in process.
struct PoolStates {
    pool: u64,
    states: Vec<Kept>,
}

impl Drop for PoolStates {
    fn drop(&mut self) {
        dispose(std::mem::take(&mut self.states));
    }
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
    dispose(exchange(Vec::new()));
}

fn dispose(states: Vec<Kept>) {
    states.into_iter().for_each(|(_, state)| foreign::dispose(state));
}

/// Sets the states of this thread, and returns those of before.
fn exchange(states: Vec<Kept>) -> Vec<Kept> {
    STATES.try_with(|current| current.replace(states)).unwrap_or_default()
}

/// Until what it returns is dropped, the states of this thread are those of a pool in process.
pub(crate) fn enter_states(pool: u64) -> impl Drop {
    let states = take_states(pool).map(|mut of_pool| std::mem::take(&mut of_pool.states));
    StatesScope { pool, before: exchange(states.unwrap_or_default()) }
}

/// Drops the states that this thread has of a pool in process.
pub(crate) fn forget_states_of(pool: u64) {
    drop(take_states(pool));
}

fn take_states(pool: u64) -> Option<PoolStates> {
    let take = |pools: &RefCell<Vec<PoolStates>>| {
        let mut pools = pools.borrow_mut();
        let place = pools.iter().position(|of_pool| of_pool.pool == pool)?;
        Some(pools.swap_remove(place))
    };
    OF_POOLS.try_with(take).ok().flatten()
}

struct StatesScope {
    pool: u64,
    before: Vec<Kept>,
}

impl Drop for StatesScope {
    fn drop(&mut self) {
        let states = exchange(std::mem::take(&mut self.before));
        // A task within the task has left those of a worker of its own.
        drop(take_states(self.pool));
        let mut of_pool = Some(PoolStates { pool: self.pool, states });
        let _ = OF_POOLS.try_with(|pools| pools.borrow_mut().extend(of_pool.take()));
    }
}
