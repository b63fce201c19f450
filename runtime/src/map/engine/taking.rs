//! How outcomes are taken from the engine: one by one, decoded, or many at once, to be decoded by who takes them.

use std::task::Poll;

use super::input::Input;
use super::wait::{PollNext, WaitMode};
use super::{Engine, ErrorTiming, Indexed, ResultDecoder};
use crate::error::Result;
use crate::functions::WorkerFn;

impl Engine {
    /// The next task that has its outcome, in any order; none after the last. It counts against the window until
    /// [`yielded`](Self::yielded) is called with its bytes.
    pub(super) fn next<F: WorkerFn>(
        &mut self,
        input: &mut dyn Input,
        timing: ErrorTiming,
        wait: &mut dyn WaitMode,
    ) -> PollNext<(Indexed<F::Output>, usize)> {
        if !self.begin_taking()? {
            return Poll::Ready(Ok(None));
        }
        let next = loop {
            match self.poll_ready(input, timing, wait) {
                Poll::Ready(Ok(true)) => {
                    if let Some(next) = self.next_ready::<F>() {
                        break Poll::Ready(Ok(Some(next)));
                    }
                }
                ended => break ended.map_ok(|_| None),
            }
        };
        self.in_foreign_code = false;
        next
    }

    /// The next tasks that have their outcomes, in any order; none after the last. They count against the window until each is
    /// [`yielded`](Self::yielded) and the batch [ends](Self::end_batch), or until [`batch_yielded`](Self::batch_yielded) is called
    /// with their bytes.
    pub(super) fn next_batch(
        &mut self,
        input: &mut dyn Input,
        timing: ErrorTiming,
        wait: &mut dyn WaitMode,
    ) -> PollNext<ResultDecoder> {
        if !self.begin_taking()? {
            return Poll::Ready(Ok(None));
        }
        let is_ready = self.poll_ready(input, timing, wait);
        self.in_foreign_code = false;
        is_ready.map_ok(|_| {
            let batch = self.ready.pop_front()?;
            self.in_batch = batch.len();
            Some(batch)
        })
    }

    /// Returns whether outcomes may be taken. Until `in_foreign_code` is taken back, a panic of the program's code ends the map.
    fn begin_taking(&mut self) -> Result<bool> {
        self.check_process()?;
        // An iterator that panics leaves its task without an outcome: the map ends there.
        Ok(!std::mem::replace(&mut self.in_foreign_code, true))
    }

    /// Waits for outcomes if none are ready; returns whether some are, and `false` after the last.
    fn poll_ready(
        &mut self,
        input: &mut dyn Input,
        timing: ErrorTiming,
        wait: &mut dyn WaitMode,
    ) -> Poll<Result<bool>> {
        loop {
            if timing == ErrorTiming::Now
                && let Some(failure) = self.failure.take()
            {
                return Poll::Ready(Err(failure));
            }
            if !self.ready.is_empty() {
                return Poll::Ready(Ok(true));
            }
            if self.take_found() {
                self.look_after_workers(input);
                continue;
            }
            if self.is_over()? {
                return Poll::Ready(Ok(false));
            }
            if wait.wait(self, input).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// The next task of those that have their outcome, and its bytes.
    fn next_ready<F: WorkerFn>(&mut self) -> Option<(Indexed<F::Output>, usize)> {
        loop {
            let replies = self.ready.front_mut()?;
            match replies.next::<F>() {
                Some(((_, Err(error)), bytes)) if self.again.is_some() && self.try_again(&error, bytes) => continue,
                Some(((index, mut outcome), bytes)) => {
                    if self.again.is_some() {
                        outcome = outcome.map_err(|error| self.save_last(error));
                        self.has_outcome(outcome.is_err());
                        self.forget_key(index);
                    }
                    return Some(((index, outcome), bytes));
                }
                None => {}
            }
            let finished = self.ready.pop_front()?;
            self.end_batch(finished);
        }
    }

    /// A batch as it waits for its turn: what is larger than it needs is used again meanwhile.
    pub(in crate::map) fn waiting(&self, batch: ResultDecoder) -> ResultDecoder {
        let (batch, buffer) = batch.waiting();
        buffer.into_iter().for_each(|buffer| self.shared.arena().buffers().give(buffer));
        batch
    }

    /// All outcomes of a batch have been taken.
    pub(in crate::map) fn end_batch(&self, mut batch: ResultDecoder) {
        if let Some((worker, what)) = batch.fault() {
            self.shared.quarantine(worker, what);
        }
        if let Some(buffer) = batch.into_buffer() {
            self.shared.arena().buffers().give(buffer);
        }
    }
}
