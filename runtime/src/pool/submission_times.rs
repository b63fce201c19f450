//! The times of submitted calls: deadlines, and waits before a failed one is executed again.
//!
//! 1. A task that failed and is executed again stays pending, with what is sent for it. While it waits it is at no worker.
//! 2. A deadline holds for all executions and waits of its task. Where it is over, the task's worker is ended as for an abort.
//! 3. A task that a worker has claimed, and that stands behind another there, cannot be ended without that one. The supervisor tries it
//!    again, until it can be or has its result.

use std::time::{Duration, Instant};

use super::locked::Guard;
use super::pending::PendingState;
use super::retry_policy::RetryRules;
use super::state::PoolShared;
use super::turn::Wakes;
use crate::error::{TaskError, TaskErrorKind};
use crate::functions;
use crate::transport::{Chunk, CompletedTasks, Outcomes};

/// A task that could not be ended at its deadline is tried again after this.
const END_AGAIN: Duration = Duration::from_millis(10);

impl PoolShared {
    /// Does what the submitted calls' times ask for by now; returns when to come again. The supervisor calls it.
    pub(super) fn attend_times(&self, now: Instant) -> Option<Instant> {
        // The supervisor is woken for each new time.
        let mut state = self.submissions.lock();
        let call = state.call?;
        let (again, late) = (state.take_due_retries(now), state.late(now));
        if again.is_empty() && late.is_empty() {
            return state.next_time();
        }
        let mut pool = self.lock();
        again.into_iter().for_each(|chunk| pool.scheduler.push(call, chunk));
        let mut come_again = None;
        for (index, limit) in late {
            let error = TaskErrorKind::TimedOut { limit };
            let ended = match state.take_waiting(index) {
                Some(chunk) => Some(chunk.not_begun(error.clone())),
                None => pool.abort(call, index, &error),
            };
            match ended {
                Some(ended) => pool.scheduler.ended(call, ended.of_deadline(&error)),
                None if pool.scheduler.holder_of(call, index).is_some() => {
                    come_again = Some(now + END_AGAIN);
                    continue;
                }
                None => {}
            }
            state.forget_deadline(index);
        }
        pool.dispatch();
        pool.interrupt();
        drop(pool);
        come_again.or_else(|| state.next_time())
    }

    /// Lets a task that has failed wait for its next execution, if there is to be one; gives its outcome back if not.
    pub(super) fn try_again(
        &self,
        state: &mut Guard<'_, PendingState>,
        done: CompletedTasks,
    ) -> Option<CompletedTasks> {
        let index = done.first_index;
        let again = state.get(index).and_then(|task| {
            let (rules, chunk) = task.retry.as_ref()?;
            let (wait, chunk) = self.next_execution(rules, chunk, &done)?;
            Some((Instant::now().checked_add(wait)?, chunk))
        });
        let Some((at, chunk)) = again else {
            return Some(done);
        };
        state.execute_again_at(index, at, chunk);
        self.lock().turn.concerns(Wakes::SUPERVISOR);
        None
    }

    /// How long to wait before a task is executed again, and as what; none if that was its last execution.
    pub(super) fn next_execution(
        &self,
        rules: &RetryRules,
        chunk: &Chunk,
        done: &CompletedTasks,
    ) -> Option<(Duration, Chunk)> {
        let error = TaskError::new(0, "", done.attempts, None, self.failure_of(done)?).after(done.earlier.clone());
        let wait = rules.wait_after(&error)?;
        Some((wait, chunk.alone_again(0, done.attempts, error.causes().cloned().collect())))
    }

    /// Why a task has no output, where the function itself ended it.
    fn failure_of(&self, done: &CompletedTasks) -> Option<TaskErrorKind> {
        match &done.outcomes {
            Outcomes::Records(records) => functions::failure(records.copy_of_failure()?, self.output()),
            Outcomes::Error(kind) => Some(kind.clone()),
        }
    }
}
