//! Carries out what `starts` decides about a start that failed.

use std::time::Instant;

use super::core::Core;
use super::queue::{CallFailure, Slot};
use super::seat::Life;
use super::turn::Wakes;
use crate::error::StartFailure;

impl Core {
    /// Takes in that a process could not be started, or ended by itself before it was ready.
    pub(super) fn start_failed(&mut self, slot: Slot, message: String) {
        // A driver sleeps for calls that may have failed with it, and no worker is left that would wake it.
        self.turn.concerns(Wakes::CALLERS);
        let setback = self.starts.failed(message);
        self.seats[slot].not_before = Instant::now() + setback.wait;
        if let Some(failure) = setback.failure {
            self.fail_starts(failure);
        }
    }

    /// Takes in that a process was ended from outside before it was ready, which counts for so many.
    pub(super) fn start_killed(&mut self, slot: Slot, message: &str, weight: u32) {
        let seat = &mut self.seats[slot];
        let setback = self.starts.killed(message, weight, seat.killed);
        seat.not_before = Instant::now() + setback.wait;
        seat.killed += 1;
        if let Some(failure) = setback.failure {
            self.fail_starts(failure);
        }
    }

    /// Fails the calls that wait for workers, where there is nothing to wait for (rule 3 of `starts`).
    fn fail_starts(&mut self, failure: StartFailure) {
        if self.lives().any(|(slot, live)| matches!(live.state, Life::Ready) && !self.queue.is_hooked(slot)) {
            self.queue.fail_placed(&CallFailure::Start(failure));
            return;
        }
        // Its results are taken when it is reaped.
        let may_have_results = |state: &Life| matches!(state, Life::Doomed { .. });
        if self.starts.may_wait_for_results()
            && self.lives().any(|(_, live)| live.answers.any && may_have_results(&live.state))
        {
            return;
        }
        self.starts.halt();
        if !self.queue.fail_calls(&CallFailure::Start(failure.clone())) {
            self.starts.report_later(failure);
        }
    }
}
