//! The end of a call whose time is over, or which has no workers.

use super::Engine;
use super::batch::never_begun;
use super::input::Input;
use crate::error::{Error, Result, TaskErrorKind};
use crate::pool::Consumer;

impl Engine {
    /// Ends the call, whose time is over or which has no workers: every task without a result ends with this error, and what was
    /// not read, where that is lazy, with this failure.
    pub(super) fn expire(&mut self, input: &mut dyn Input, error: &TaskErrorKind, failure: Error) {
        self.shared.expire(self.call, error, self.options.on_cancel());
        if let Ok(step) = self.shared.try_step(self.call, false, None) {
            self.all_arrived(step.done);
        }
        self.expire_waiting(error);
        // An input whose length is known need not have been asked once more.
        if self.rows.is_at_end() || self.rows.left() == Some(0) {
            return self.rows.end();
        }
        match self.consumer {
            // The call ends before the rows that were not read.
            Consumer::Pulled | Consumer::Polled => self.failure = Some(failure),
            // Each of them is a task that has timed out.
            Consumer::Waited => {
                let first_index = self.rows.pulled();
                match self.skip_rows(input) {
                    Ok(0) => {}
                    Ok(count) => {
                        self.outstanding += count;
                        self.arrived(never_begun(first_index, count, error.clone()).of_deadline(error));
                    }
                    Err(mismatch) => self.failure = Some(mismatch),
                }
            }
        }
        self.rows.end();
    }

    /// Pulls the rest without encoding it; returns how many rows it was. The rest of a known length is not pulled.
    fn skip_rows(&mut self, input: &mut dyn Input) -> Result<usize> {
        if let Some(left) = self.rows.left() {
            return Ok(left);
        }
        let before = self.rows.pulled();
        while input.skip_row(&mut self.rows)? {}
        Ok(self.rows.pulled() - before)
    }
}
