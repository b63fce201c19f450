//! What a pool gives to other machines, and takes from them: the ends at which an engine for clusters is attached. It knows no machine.

use std::sync::Arc;
use std::time::Duration;

use super::counters::nanos_of;
use super::scheduler::{CallFailure, CallId, Parcel, ParcelId, RemoteEnded};
use super::state::PoolShared;
use super::turn::Wakes;
use super::wakers::WakeRemote;
use crate::error::{StartFailure, TaskErrorKind};
use crate::sys;
use crate::transport::CompletedTasks;

impl PoolShared {
    /// Has this woken whenever there may be something for other machines to do, from now on.
    pub(crate) fn attach_remote(&self, waker: Arc<dyn WakeRemote>) {
        self.wakers().serve_remote(waker);
    }

    /// Whether other machines are served.
    pub(crate) fn has_remote(&self) -> bool {
        self.wakers().has_remote()
    }

    /// Sets how many parcels other machines take now, and how many workers they have.
    pub(crate) fn set_remote(&self, room: usize, workers: usize) {
        if !self.is_here() {
            return;
        }
        let mut state = self.lock();
        let is_more = room > 0 && !state.scheduler.has_remote_room();
        state.scheduler.set_remote(room, workers);
        if is_more {
            // A caller may read tasks for them.
            state.turn.concerns(Wakes::CALLERS);
        }
    }

    /// Takes tasks that wait, if other machines are to have some.
    pub(crate) fn take_parcel(&self) -> Option<Parcel> {
        if !self.is_here() {
            return None;
        }
        let mut state = self.lock();
        let parcel = state.scheduler.take_parcel()?;
        state.scheduler.parcel_leaves(parcel.id, sys::monotonic_nanos());
        state.turn.concerns(Wakes::CALLERS);
        Some(parcel)
    }

    /// Gives calls outcomes of tasks of a parcel; returns how many of its tasks have none yet. Nothing of it counts where the parcel
    /// has ended, or never had these tasks.
    pub(crate) fn remote_done(
        &self,
        parcel: ParcelId,
        done: CompletedTasks,
        per_task: Option<Duration>,
    ) -> Option<usize> {
        if !self.is_here() {
            return None;
        }
        let mut state = self.lock();
        let waited = state.scheduler.waited_here(parcel, done.first_index);
        let (count, failed) = (done.count, done.failed());
        // What no worker has begun is no execution.
        let is_begun = done.worker.is_some();
        let left = state.scheduler.remote_done(parcel, done, per_task)?;
        if is_begun {
            state.counters.ended_elsewhere((count, failed), waited, per_task.map_or(0, nanos_of));
        }
        state.turn.concerns(Wakes::CALLERS);
        Some(left)
    }

    /// Has what has no outcome of a parcel run elsewhere.
    pub(crate) fn remote_returned(&self, parcel: ParcelId) {
        if !self.is_here() {
            return;
        }
        let mut state = self.lock();
        state.scheduler.remote_returned(parcel);
        state.dispatch();
        state.turn.concerns(Wakes::CALLERS);
    }

    /// What has ended since this was asked, of which other machines have had tasks.
    pub(crate) fn take_remote_ended(&self) -> RemoteEnded {
        if self.is_here() { self.lock().scheduler.take_remote_ended() } else { RemoteEnded::default() }
    }

    /// Fails the calls that are open: nobody is there for their tasks.
    pub(crate) fn fail_calls(&self, message: String) {
        if !self.is_here() {
            return;
        }
        let mut state = self.lock();
        if state.scheduler.fail_calls(&CallFailure::Start(StartFailure { message })) {
            state.turn.concerns(Wakes::CALLERS);
        }
    }

    /// Ends a task of a call; a worker that runs it is killed and replaced. Returns whether it had no outcome.
    pub(crate) fn abort_task(&self, call: CallId, index: usize) -> bool {
        self.lock().abort(call, index, &TaskErrorKind::Cancelled).is_some()
    }

    /// Whether a call is open.
    pub(crate) fn is_open(&self, call: CallId) -> bool {
        self.is_here() && self.lock().scheduler.is_open(call)
    }

    /// Waits for outcomes of a call that nobody else takes, or until `is_enough`; whoever changes that wakes the callers.
    pub(crate) fn outcomes(
        &self,
        call: CallId,
        is_enough: impl Fn() -> bool,
    ) -> Result<(Vec<CompletedTasks>, Option<Duration>), CallFailure> {
        let step = self.step_until(call, (false, None), None, |_| is_enough())?;
        Ok((step.done, self.lock().scheduler.time_of(call, 1)))
    }

    /// Wakes the threads that wait for outcomes.
    pub(crate) fn wake_callers(&self) {
        self.lock().turn.concerns(Wakes::CALLERS);
    }

    /// Takes tasks one behind the other out of those of a call that wait, if all of them do; returns whether they did.
    pub(crate) fn withdraw_waiting(&self, call: CallId, first_index: usize, count: usize) -> bool {
        self.lock().scheduler.withdraw_waiting(call, first_index, count)
    }
}
