//! The recorder of one submitted call, which the call's handle and the pool's threads share.

use std::fmt;
use std::sync::Arc;

use super::recorder::Recorder;
use crate::locks::{Lock, Rank, Ranked};
use crate::transport::CompletedTasks;

/// Records one submitted call. Its files are whole once the last copy is dropped.
#[derive(Clone)]
pub(crate) struct CallRecorder(Arc<Lock<Box<Recorder>>>);

impl Ranked for Box<Recorder> {
    const RANK: Rank = Rank::CallRecorder;
}

impl CallRecorder {
    pub(crate) fn new(recorder: Box<Recorder>) -> Self {
        Self(Arc::new(Lock::new(recorder)))
    }

    /// Records an execution, and takes what was measured of it away from behind its result.
    pub(crate) fn record(&self, done: &mut CompletedTasks) {
        // To show an argument is to run code of the program's, which runs under no lock.
        let arguments = done.arguments.take();
        let mut recorder = self.0.lock();
        // The call is the only one, whatever its number among the submitted ones.
        let number = std::mem::take(&mut done.first_index);
        recorder.record(done);
        (done.first_index, done.arguments) = (number, arguments);
        recorder.flush();
    }
}

impl fmt::Debug for CallRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallRecorder").finish_non_exhaustive()
    }
}
