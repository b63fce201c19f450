//! What happens to workers, noted for the calls that record it. It decides nothing.

use std::sync::Arc;

use super::scheduler::{CallId, Slot};
use super::state::{PoolShared, PoolState};
use super::worker_slot::WorkerProcess;
use crate::child::Verdict;
use crate::error::kind_text;
use crate::recording::{CallEvents, WorkerEvent};
use crate::sys;
use crate::transport::Span;

impl PoolShared {
    /// Has what happens to workers noted for a call, from now on.
    pub(crate) fn observe_call(&self, call: CallId, events: &Arc<CallEvents>) {
        if self.is_here() {
            self.lock().scheduler.observe_call(call, Arc::clone(events));
        }
    }
}

impl PoolState {
    /// Notes that a worker has said hello.
    pub(super) fn note_ready_for_calls(&self, slot: Slot, pid: u32) {
        if let Some(worker) = &self.slots[slot].worker {
            self.note_for_calls(slot, pid, WorkerEvent::Ready(worker.started.elapsed()));
        }
    }

    fn note_for_calls(&self, slot: Slot, pid: u32, event: WorkerEvent) {
        for events in self.scheduler.observers() {
            events.happened(slot, pid, event.clone());
        }
    }

    /// Notes the end of a worker.
    pub(super) fn note_end_for_calls(&self, slot: Slot, pid: u32, verdict: &Verdict) {
        if self.scheduler.observers().next().is_none() {
            return;
        }
        let cause = verdict.error.as_ref().filter(|_| !verdict.is_in_order);
        let event = cause.map_or(WorkerEvent::Ended, |kind| WorkerEvent::Died(kind_text(kind).to_string()));
        self.note_for_calls(slot, pid, event);
    }
}

impl WorkerProcess {
    /// When the task began that it is at, as far as that is known, and that it ends now.
    pub(super) fn span(&self) -> Option<Span> {
        let begun_nanos = self.channel.begun_nanos();
        (begun_nanos > 0).then(|| Span { begun_nanos, ended_nanos: sys::monotonic_nanos() })
    }
}
