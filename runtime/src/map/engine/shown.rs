//! What the engine tells the progress of its call.

use std::time::Instant;

use super::Engine;
use crate::progress::Tally;
use crate::transport::CompletedTasks;

impl Engine {
    /// Counts tasks that have their last outcome.
    pub(super) fn has_outcomes(&mut self, tasks: &CompletedTasks) {
        self.outcomes += tasks.count;
        if let Some(shown) = &mut self.shown {
            shown.add(Tally { done: tasks.count, failed: tasks.failed(), retried: 0 });
        }
    }

    /// Counts one task that has its last outcome.
    pub(super) fn has_outcome(&mut self, has_failed: bool) {
        self.outcomes += 1;
        if let Some(shown) = &mut self.shown {
            shown.add(Tally { done: 1, failed: has_failed.into(), retried: 0 });
        }
    }

    /// Counts executions of tasks that had one before.
    pub(super) fn executed_again(&mut self, times: usize) {
        if let Some(shown) = self.shown.as_mut().filter(|_| times > 0) {
            shown.add(Tally { retried: times, ..Tally::default() });
        }
    }

    /// Shows which task has run longest, if it is time to look.
    pub(super) fn show_running(&mut self) {
        if let Some(shown) = &mut self.shown {
            shown.look(Instant::now(), || self.shared.running_tasks(self.call));
        }
    }
}
