//! Which tasks of a call the workers of this machine run, for whoever shows it.

use super::scheduler::CallId;
use super::state::PoolShared;
use crate::progress::RunningTask;

impl PoolShared {
    /// What the workers are at, as they were last heard of.
    pub(crate) fn running_tasks(&self, call: CallId) -> Vec<RunningTask> {
        if !self.is_here() {
            return Vec::new();
        }
        let state = self.lock();
        let at = state.scheduler.tasks_at_workers(call).filter_map(|(slot, index)| {
            let channel = &state.slots[slot].worker.as_ref()?.channel;
            channel.has_begun().then(|| RunningTask { worker: slot, index, progress_stamp: channel.progress_stamp() })
        });
        at.collect()
    }
}
