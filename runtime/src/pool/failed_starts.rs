//! Carries out what `starts` decides about a start that failed.

use std::time::Instant;

use super::scheduler::{CallFailure, Slot};
use super::starts::KILLED_INITIALIZER;
use super::state::PoolState;
use super::turn::Wakes;
use super::worker_slot::Life;
use crate::child::Moment;
use crate::error::StartFailure;

impl PoolState {
    /// Records that a process could not be started, or ended by itself before it was ready.
    pub(super) fn start_failed(&mut self, slot: Slot, message: String) {
        // A driver sleeps for calls that may have failed with it, and no worker is left that would wake it.
        self.turn.concerns(Wakes::CALLERS);
        let setback = self.starts.failed(message);
        self.slots[slot].not_before = Instant::now() + setback.wait;
        if let Some(failure) = setback.failure {
            self.fail_starts(failure);
        }
    }

    /// Records that a process was ended from outside before it was ready, which counts for so many.
    pub(super) fn start_killed(&mut self, slot: Slot, message: &str, weight: u32) {
        let worker_slot = &mut self.slots[slot];
        let setback = self.starts.killed(message, weight, worker_slot.killed);
        worker_slot.not_before = Instant::now() + setback.wait;
        worker_slot.killed += 1;
        if let Some(failure) = setback.failure {
            self.fail_starts(failure);
        }
    }

    /// Records that the fork server failed by itself before it could make a worker: another would too, so the calls that wait fail at
    /// once.
    pub(super) fn preload_failed(&mut self, message: String) {
        self.turn.concerns(Wakes::CALLERS);
        let setback = self.starts.failed(message.clone());
        self.fail_starts(setback.failure.unwrap_or(StartFailure { message }));
    }

    /// Records that the fork server died by itself.
    pub(super) fn server_died(&mut self, message: String) {
        self.turn.concerns(Wakes::CALLERS);
        if let Some(failure) = self.starts.failed(message).failure {
            self.fail_starts(failure);
        }
    }

    /// Records that the fork server was killed from outside. In its preload that counts as in an initializer.
    pub(super) fn server_killed(&mut self, message: &str, moment: Moment) {
        self.turn.concerns(Wakes::CALLERS);
        let weight = match moment {
            Moment::InPreload => KILLED_INITIALIZER,
            Moment::Otherwise => 1,
        };
        if let Some(failure) = self.starts.killed(message, weight, 0).failure {
            self.fail_starts(failure);
        }
    }

    /// Fails the calls that wait for workers, where there is nothing to wait for (rule 3 of `starts`).
    fn fail_starts(&mut self, failure: StartFailure) {
        if self.processes().any(|(slot, worker)| matches!(worker.life, Life::Ready) && !self.scheduler.is_hooked(slot))
        {
            self.scheduler.fail_placed(&CallFailure::Start(failure));
            return;
        }
        // Its results are taken when it is reaped.
        let may_have_results = |state: &Life| matches!(state, Life::Doomed { .. });
        if self.starts.may_wait_for_results()
            && self.processes().any(|(_, worker)| worker.result_clock.any && may_have_results(&worker.life))
        {
            return;
        }
        self.starts.halt();
        if !self.scheduler.fail_calls(&CallFailure::Start(failure.clone())) {
            self.starts.report_later(failure);
        }
    }
}
