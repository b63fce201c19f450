//! Tasks without an output: what stands in the place of their results, and that each is counted. What becomes of such a result is that of
//! any other, in `task_run`.

use super::failure_texts::{TEXT_PART, cut};
use super::task_phase::{RunningCode, TaskAbort};
use super::task_run::TaskCall;
use crate::shared;
use crate::wire::{HEAD_BYTES, PanicNote, Status};

impl TaskCall<'_> {
    /// Counts the failure of the task that is running, and writes why where the task has not; returns the status of its result.
    #[cold]
    pub(super) fn stopped(&mut self, stop: TaskAbort) -> Status {
        shared::close_table();
        self.progress.times.add_failed();
        let (status, error) = match stop {
            TaskAbort::Failed => return Status::Failure,
            TaskAbort::Encode(error) => (Status::Encode, error),
            TaskAbort::Decode(error) => (Status::Decode, error),
        };
        self.replace(error.message().as_bytes());
        status
    }

    /// Ends the task that is running with its panic: of the function, or of what encodes and decodes for it.
    pub(crate) fn panicked(&mut self, note: &PanicNote) {
        shared::close_table();
        let (status, whose) = match std::mem::replace(&mut self.stage, RunningCode::Function) {
            RunningCode::Function => {
                self.progress.times.add_failed();
                self.replace(&note.encode(self.results.bytes_max()));
                return self.finish(Status::Panic);
            }
            // It stays here, as an output does that does not encode.
            RunningCode::Output if self.drops_output => return self.finish(Status::Output),
            RunningCode::Output => (Status::Encode, "the result: its Serialize"),
            RunningCode::Folded => (Status::Decode, "the result: its Deserialize"),
            RunningCode::Arguments => (Status::Decode, "the arguments: the Deserialize of one"),
        };
        self.progress.times.add_failed();
        let place = note.location.as_ref().map_or(String::new(), |location| format!(" at {location}"));
        let text = format!("{whose} panicked{place}: {}", note.message);
        self.replace(cut(&text, self.results.bytes_max() / TEXT_PART).as_bytes());
        self.finish(status);
    }

    /// Puts other bytes in the place of the result so far.
    pub(super) fn replace(&mut self, bytes: &[u8]) {
        let sink = self.results.sink();
        sink.truncate(self.record + HEAD_BYTES);
        sink.write(bytes);
    }

    /// Notes that tasks which were claimed are not begun.
    #[cold]
    pub(super) fn not_run(&mut self, count: u32) {
        if let Some(clock) = &mut self.clock {
            clock.not_run(count, self.progress.times);
        }
    }
}
