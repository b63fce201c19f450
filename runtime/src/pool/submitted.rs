//! A submitted task, as its handle and the pool share it.
//!
//! Wakers and callbacks are the program's code, and so are their clone and drop: each is taken out of what is locked, and runs by
//! `foreign` once nothing is. A waker may own another handle, whose drop takes the lock of the pool's submitted tasks, and behind
//! that a task's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use super::scheduler::CallFailure;
use crate::foreign;
use crate::locks::{Lock, Locked, Rank, Ranked};
use crate::transport::CompletedTasks;

/// The outcome of a submitted task.
pub(crate) type Outcome = std::result::Result<CompletedTasks, CallFailure>;
/// A function that the pool's callback thread calls with the outcome.
pub(crate) type Callback = Box<dyn FnOnce(Outcome) + Send>;

/// A task that was submitted.
pub(crate) struct Submitted {
    index: usize,
    /// Looked at where the state must not be locked.
    is_finished: AtomicBool,
    progress: Lock<SubmittedState>,
}

impl Ranked for SubmittedState {
    const RANK: Rank = Rank::Submitted;
}

enum SubmittedState {
    Pending,
    /// The wakers of those that poll its handle, or wait for one of several.
    Polled(Vec<Waker>),
    /// Nobody waits for it: this is done with its outcome.
    Callback(Callback),
    Finished(Outcome),
    /// The outcome was given to its handle.
    Taken,
}

impl SubmittedState {
    /// Drops it, one waker after another: two panics at once would abort.
    fn dispose(self) {
        match self {
            Self::Polled(wakers) => wakers.into_iter().for_each(foreign::dispose),
            Self::Callback(callback) => foreign::dispose(callback),
            Self::Pending | Self::Finished(_) | Self::Taken => {}
        }
    }
}

/// The next step once a task is finished.
pub(super) enum AfterFinish {
    Nothing,
    Wake(Vec<Waker>),
    CallBack(Callback, Box<Outcome>),
}

impl Submitted {
    pub(super) fn new(index: usize) -> Self {
        Self { index, is_finished: AtomicBool::new(false), progress: Lock::new(SubmittedState::Pending) }
    }

    /// Its place among the submitted tasks.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.is_finished.load(Ordering::Acquire)
    }

    /// Its outcome, once.
    pub(crate) fn take(&self) -> Option<Outcome> {
        let mut progress = self.lock();
        match std::mem::replace(&mut *progress, SubmittedState::Taken) {
            SubmittedState::Finished(outcome) => Some(outcome),
            other => {
                *progress = other;
                None
            }
        }
    }

    /// Wakes whoever waits once it is finished; false if it is already.
    pub(crate) fn wake_when_finished(&self, waker: &Waker) -> bool {
        if self.knows(waker) {
            return true;
        }
        // It is cloned before the lock is taken, and dropped after it is released, if nothing came of it.
        let mut new = Some(waker.clone());
        let mut progress = self.lock();
        let is_kept = match &mut *progress {
            // Another thread may have polled with the same meanwhile: it is woken twice, which is allowed.
            SubmittedState::Polled(known) => {
                known.extend(new.take());
                true
            }
            pending @ SubmittedState::Pending => {
                *pending = SubmittedState::Polled(new.take().into_iter().collect());
                true
            }
            _ => false,
        };
        drop(progress);
        foreign::dispose(new);
        is_kept
    }

    /// Returns whether the outcome was taken.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(&*self.lock(), SubmittedState::Taken)
    }

    /// Sets what is done with its outcome. It is given back with the outcome, if that is there.
    pub(super) fn call_back(&self, callback: Callback) -> Option<(Callback, Outcome)> {
        let mut progress = self.lock();
        if matches!(&*progress, SubmittedState::Pending | SubmittedState::Polled(_)) {
            let before = std::mem::replace(&mut *progress, SubmittedState::Callback(callback));
            drop(progress);
            before.dispose();
            return None;
        }
        let before = std::mem::replace(&mut *progress, SubmittedState::Taken);
        drop(progress);
        match before {
            SubmittedState::Finished(outcome) => Some((callback, outcome)),
            other => {
                other.dispose();
                foreign::dispose(callback);
                None
            }
        }
    }

    /// Whether this waker is woken already.
    fn knows(&self, waker: &Waker) -> bool {
        // It compares two addresses, and runs none of the program's code.
        matches!(&*self.lock(), SubmittedState::Polled(known) if known.iter().any(|known| known.will_wake(waker)))
    }

    /// Wakes this waker no more.
    pub(crate) fn forget_waker(&self, waker: &Waker) {
        let mut progress = self.lock();
        let forgotten: Vec<Waker> = match &mut *progress {
            SubmittedState::Polled(known) => known.extract_if(.., |known| known.will_wake(waker)).collect(),
            _ => Vec::new(),
        };
        drop(progress);
        forgotten.into_iter().for_each(foreign::dispose);
    }

    /// Finishes it, and tells what is to be done then, without a lock.
    pub(super) fn finish(&self, outcome: Outcome) -> AfterFinish {
        let mut progress = self.lock();
        let then = match std::mem::replace(&mut *progress, SubmittedState::Taken) {
            SubmittedState::Callback(callback) => AfterFinish::CallBack(callback, Box::new(outcome)),
            SubmittedState::Taken => AfterFinish::Nothing,
            before => {
                *progress = SubmittedState::Finished(outcome);
                if let SubmittedState::Polled(wakers) = before {
                    AfterFinish::Wake(wakers)
                } else {
                    AfterFinish::Nothing
                }
            }
        };
        self.is_finished.store(true, Ordering::Release);
        then
    }

    fn lock(&self) -> Locked<'_, SubmittedState> {
        self.progress.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn a_waker_is_kept_once_and_until_it_is_forgotten() {
        let submitted = Submitted::new(1);
        let [ours, others] = [(); 2].map(|()| Arc::new(Nobody));
        let [waker, other] = [&ours, &others].map(|arc| Waker::from(Arc::clone(arc)));
        for _ in 0..3 {
            assert!(submitted.wake_when_finished(&waker) && submitted.wake_when_finished(&other));
        }
        assert_eq!((Arc::strong_count(&ours), Arc::strong_count(&others)), (3, 3));
        submitted.forget_waker(&waker);
        assert_eq!((Arc::strong_count(&ours), Arc::strong_count(&others)), (2, 3));
        assert!(submitted.call_back(Box::new(|_| ())).is_none());
        assert_eq!(Arc::strong_count(&others), 2);
        assert!(!submitted.wake_when_finished(&waker) && Arc::strong_count(&ours) == 2);
    }
}
