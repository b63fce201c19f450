//! What is recorded of the tasks of a map, for its job log.
//!
//! 1. Outcomes are recorded as they arrive, before anything else is done with them: what was measured stands behind the results.
//! 2. A call that is recorded gets outputs as they are encoded, and each of its own: none goes straight into its memory, and none is
//!    folded where it is made.

use super::Engine;
use crate::functions::MEASURED;
use crate::transport::CompletedTasks;

impl Engine {
    /// What the number that travels for the function says of this.
    pub(super) fn measured(&self) -> u32 {
        if self.recorder.is_some() { MEASURED } else { 0 }
    }

    /// Records outcomes that have come from workers, or that are of no worker.
    pub(super) fn record(&mut self, done: &mut [CompletedTasks]) {
        if let Some(recorder) = &mut self.recorder {
            done.iter_mut().for_each(|done| recorder.record(done));
            recorder.flush();
        }
    }
}
