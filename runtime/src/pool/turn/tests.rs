//! The turn in every interleaving of its threads: callers that wait for a result each, and what gives the results. The lock is one of
//! the model's; the guard is modelled as `locked` does it: it takes out whom the changes concern, unlocks, and wakes them.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex, MutexGuard};

use super::*;

/// What is left out, to see that the model finds it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Nothing,
    /// Rule 2: the driver wakes nobody at the end of its turn.
    WakeOfWaiters,
    /// The driver is not woken for a worker that was given something.
    WakeOfDriver,
}

#[derive(Default)]
struct State {
    turn: Turn,
    /// The workers that have been given a task, by bits, and those whose result was taken.
    given: u32,
    taken: u32,
}

struct Pool {
    state: Mutex<State>,
    condition: Condvar,
    /// The bytes in the driver's waker and in the workers' sockets, by bits, and who polls them.
    sockets: Mutex<u32>,
    arrived: Condvar,
    missing: Missing,
}

/// The bit of the driver's waker.
const WAKER: u32 = 1 << 31;

impl Pool {
    fn new(missing: Missing) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::default()),
            condition: Condvar::new(),
            sockets: Mutex::new(0),
            arrived: Condvar::new(),
            missing,
        })
    }

    fn send(&self, bit: u32) {
        *self.sockets.lock().unwrap() |= bit;
        self.arrived.notify_all();
    }

    fn wake(&self, whom: Wakes) {
        if whom.contains(Wakes::DRIVER) && self.missing != Missing::WakeOfDriver {
            self.send(WAKER);
        }
        if whom.contains(Wakes::WAITERS) {
            self.condition.notify_all();
        }
    }

    /// As the guard's drop does it.
    fn unlock(&self, mut state: MutexGuard<'_, State>) {
        let whom = state.turn.take_whom();
        drop(state);
        self.wake(whom);
    }

    /// As `Shared::push` does it: a worker is given a task, whose result comes by itself.
    fn push(self: &Arc<Self>, worker: u32) -> loom::thread::JoinHandle<()> {
        let mut state = self.state.lock().unwrap();
        state.given |= worker;
        state.turn.concerns(Wakes::DRIVER);
        self.unlock(state);
        let pool = Arc::clone(self);
        loom::thread::spawn(move || pool.send(worker))
    }

    /// As `Shared::step_until` does it, until the result of a worker is taken.
    fn wait_for(&self, worker: u32) {
        let mut state = self.state.lock().unwrap();
        loop {
            if state.taken & worker != 0 {
                return self.unlock(state);
            }
            state = if state.turn.is_taken() {
                let whom = state.turn.take_whom();
                self.wake(whom);
                state.turn.count_waiting(1);
                let mut state = self.condition.wait(state).unwrap();
                state.turn.count_waiting(-1);
                state
            } else {
                self.poll(state)
            };
        }
    }

    fn poll<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.turn.begin();
        let watched = state.given & !state.taken | WAKER;
        self.unlock(state);
        let ready = {
            let mut sockets = self.sockets.lock().unwrap();
            while *sockets & watched == 0 {
                sockets = self.arrived.wait(sockets).unwrap();
            }
            let ready = *sockets & watched;
            *sockets &= !ready;
            ready
        };
        let mut state = self.state.lock().unwrap();
        state.turn.end();
        if self.missing == Missing::WakeOfWaiters {
            state.turn.is_known_to(Wakes::WAITERS);
        }
        state.taken |= ready & !WAKER;
        state
    }
}

fn check(missing: Missing, run: impl Fn(Arc<Pool>) + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || run(Pool::new(missing)));
}

/// Two maps, each on a thread of its own.
fn two_callers(missing: Missing) {
    check(missing, |pool| {
        let other = Arc::clone(&pool);
        let caller = loom::thread::spawn(move || {
            let result = other.push(1);
            other.wait_for(1);
            result.join().unwrap();
        });
        let result = pool.push(2);
        pool.wait_for(2);
        result.join().unwrap();
        caller.join().unwrap();
    });
}

/// One thread waits for what another submits.
fn a_waiter_and_a_submitter(missing: Missing) {
    check(missing, |pool| {
        let other = Arc::clone(&pool);
        let waiter = loom::thread::spawn(move || other.wait_for(1));
        pool.push(1).join().unwrap();
        waiter.join().unwrap();
    });
}

#[test]
fn two_callers_get_their_results_whoever_drives() {
    two_callers(Missing::Nothing);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_caller_sleeps_for_ever_if_the_driver_wakes_nobody() {
    two_callers(Missing::WakeOfWaiters);
}

#[test]
fn a_driver_that_sleeps_sees_what_another_thread_submits() {
    a_waiter_and_a_submitter(Missing::Nothing);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_driver_sleeps_for_ever_if_it_is_not_woken_for_a_worker() {
    a_waiter_and_a_submitter(Missing::WakeOfDriver);
}
