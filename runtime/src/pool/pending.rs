//! The submitted tasks of a pool, as its threads share them. The rules are in `submissions`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use super::locked::{Awaited, AwaitedLock, Guard};
use super::scheduler::CallId;
use super::submitted::{Callback, Outcome, Submitted};
use crate::locks::{Condition, Rank, Ranked};

/// While a map drives, submitted tasks are looked after this often.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The submitted tasks of a pool.
pub(super) struct Submissions {
    state: AwaitedLock<PendingState>,
    /// The threads that wait for a handle, and drive.
    pub(super) waiting: AtomicUsize,
    /// Changes with the call: who waits for one that is closed must look again.
    pub(super) version: AtomicU64,
    /// The thread drives.
    pub(super) is_driving: AtomicBool,
}

impl Ranked for PendingState {
    const RANK: Rank = Rank::Submissions;
}

impl Awaited for PendingState {
    type Wakers = ();
    type Whom = bool;

    fn take_whom(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    fn wake(has_changed: bool, (): &(), condition: &Condition) {
        if has_changed {
            condition.notify_all();
        }
    }
}

/// The state of the submitted tasks, under the lock.
pub(super) struct PendingState {
    /// The thread of `submissions` has something to do, or has done what others wait for.
    pub(super) has_changed: bool,
    pub(super) call: Option<CallId>,
    pub(super) pending: BTreeMap<usize, Arc<Submitted>>,
    pub(super) next_index: usize,
    pub(super) callbacks: VecDeque<(Callback, Outcome)>,
    pub(super) thread: Option<JoinHandle<()>>,
    pub(super) thread_id: Option<ThreadId>,
    /// A callback is running.
    pub(super) is_calling_back: bool,
    /// The pool is shut down: the thread ends once it has nothing to do.
    pub(super) is_ending: bool,
    pub(super) has_ended: bool,
}

impl Submissions {
    pub(super) fn new() -> Self {
        Self {
            state: AwaitedLock::new(
                PendingState {
                    has_changed: false,
                    call: None,
                    pending: BTreeMap::new(),
                    next_index: 0,
                    callbacks: VecDeque::new(),
                    thread: None,
                    thread_id: None,
                    is_calling_back: false,
                    is_ending: false,
                    has_ended: false,
                },
                (),
            ),
            waiting: AtomicUsize::new(0),
            version: AtomicU64::new(0),
            is_driving: AtomicBool::new(false),
        }
    }

    /// Whether the thread drives, and is to be woken by who would rather do it.
    pub(super) fn is_driving(&self) -> bool {
        self.is_driving.load(Ordering::SeqCst)
    }

    pub(super) fn lock(&self) -> Guard<'_, PendingState> {
        self.state.lock()
    }
}

impl PendingState {
    /// Adds a callback, for the thread to run.
    pub(super) fn add_callback(&mut self, callback: Callback, outcome: Outcome) {
        self.callbacks.push_back((callback, outcome));
        self.has_changed = true;
    }
}
