//! Starts that fail, and what they mean for the pool. Where the cause of a death lies is decided in `death`.
//!
//! 1. A process that ends by itself before it is ready, or cannot be started, is a mistake of the set-up: a few in a row fail the
//!    calls that wait for workers.
//! 2. One that is ended from outside is started again, and is no mistake. Kills without end are bounded all the same: many in a
//!    row without a worker that gets ready fail the calls, and the error says so.
//! 3. Calls fail only where no worker is in service, and none that may have finished tasks is still to be reaped.

use std::time::{Duration, Instant};

use super::core::Core;
use super::queue::{CallFailure, Slot};
use super::seat::State;
use crate::error::StartFailure;

/// So many processes in a row that end by themselves before they are ready fail the calls that wait for them.
pub(super) const FAILED_STARTS_MAX: u32 = 5;
/// After a failed start the next waits so long, and twice as long each time, up to the second.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// So many processes in a row that are killed from outside before they are ready fail the calls: on a machine where something
/// kills every process that is started, nothing else ends them.
pub(super) const KILLED_STARTS_MAX: u32 = 100;
/// A worker that is killed in its initializer counts for so many: that may take long, and may be what draws the out-of-memory
/// killer.
pub(super) const KILLED_INITIALIZER: u32 = 5;
/// After a kill the next start of the same worker waits so long, and twice as long each time. It is short: the kill was no
/// fault of the worker.
const KILLED_BACKOFF_MIN: Duration = Duration::from_millis(1);
const KILLED_DOUBLINGS_MAX: u32 = 6;

impl Core {
    /// Counts a process that could not be started, or ended by itself before it was ready.
    pub(super) fn start_failed(&mut self, slot: Slot, message: String) {
        let backoff = BACKOFF_MIN * 2u32.saturating_pow(self.failed_starts.min(10));
        self.failed_starts += 1;
        self.seats[slot].not_before = Instant::now() + backoff.min(BACKOFF_MAX);
        let failure = StartFailure { message };
        self.last_failure = Some(failure.clone());
        if self.failed_starts >= FAILED_STARTS_MAX {
            self.fail_starts(failure);
        }
    }

    /// Counts a process that was ended from outside before it was ready, for so many (rule 2).
    pub(super) fn start_killed(&mut self, slot: Slot, message: String, weight: u32) {
        let seat = &mut self.seats[slot];
        seat.not_before = Instant::now() + KILLED_BACKOFF_MIN * 2u32.pow(seat.killed.min(KILLED_DOUBLINGS_MAX));
        seat.killed += 1;
        self.killed_starts += weight;
        if self.killed_starts >= KILLED_STARTS_MAX {
            let message = format!("{message}; that was the last of many workers in a row, and none got ready");
            let failure = StartFailure { message };
            self.last_failure = Some(failure.clone());
            self.fail_starts(failure);
        }
    }

    /// A worker is in service: its start is no failure, and shows that nothing kills all of them.
    pub(super) fn start_succeeded(&mut self) {
        self.killed_starts = 0;
    }

    /// Fails the calls that wait for workers, where there is nothing to wait for (rule 3).
    fn fail_starts(&mut self, failure: StartFailure) {
        if self.lives().any(|(slot, live)| matches!(live.state, State::Ready) && !self.queue.is_hooked(slot)) {
            self.queue.fail_placed(&CallFailure::Start(failure));
            return;
        }
        // What it had finished is taken when it is reaped. One that cannot end is not waited for without end.
        let may_have_results = |state: &State| matches!(state, State::Doomed { .. });
        let may_wait = self.failed_starts < 2 * FAILED_STARTS_MAX && self.killed_starts < 2 * KILLED_STARTS_MAX;
        if may_wait && self.lives().any(|(_, live)| live.answers.any && may_have_results(&live.state)) {
            return;
        }
        self.halted = true;
        if !self.queue.fail_calls(&CallFailure::Start(failure.clone())) {
            self.start_failure = Some(failure);
        }
    }
}
