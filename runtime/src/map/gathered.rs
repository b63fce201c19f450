//! Results in order, of batches that come in any order.

use super::columns::Length;
use super::early::EarlyValues;
use super::engine::Running;
use super::on_error::OnError;
use crate::error::Result;
use crate::functions::WorkerFn;

/// Gathers what is made of each output and of each error, in order, until that fails.
pub(super) fn gather<F: WorkerFn, P: OnError<F::Output>>(
    running: &mut Running<'_>,
    length: Length,
    on_error: &P,
) -> Result<Vec<P::Item>> {
    let mut gathered = Gathered::new(length);
    let of_outcome = |outcome| match outcome {
        Ok(output) => Ok(on_error.output(output)),
        Err(error) => on_error.error(error),
    };
    if running.engine.executes_again() {
        // A task that is executed again leaves a gap in its batch.
        while let Some((index, outcome)) = running.wait_any::<F>()? {
            let item = of_outcome(outcome)?;
            gathered.place(index, 1).push(item);
            gathered.join();
        }
        return Ok(gathered.into_vec());
    }
    while let Some(mut batch) = running.wait_batch()? {
        let place = gathered.place(batch.next_index(), batch.len());
        let mut bytes_in_all = 0;
        loop {
            bytes_in_all += batch.outputs::<F>(usize::MAX, |output| place.push(on_error.output(output)));
            let Some(((_, outcome), bytes)) = batch.next::<F>() else {
                break;
            };
            place.push(of_outcome(outcome)?);
            bytes_in_all += bytes;
        }
        running.engine.batch_yielded(batch, bytes_in_all);
        gathered.join();
    }
    Ok(gathered.into_vec())
}

/// Results in order, of batches that come in any order.
pub(super) struct Gathered<T> {
    /// Those of the first tasks.
    first: Vec<T>,
    /// Those of later tasks, by the index that they begin with.
    later: EarlyValues<Vec<T>>,
}

/// A `size_hint` is a hint: room for no more than so many results is reserved on its word.
const RESERVE_MAX: usize = 1 << 20;

impl<T> Gathered<T> {
    pub(super) fn new(length: Length) -> Self {
        let reserve = match length {
            Length::Known(length) => length.min(RESERVE_MAX),
            _ => 0,
        };
        Self { first: Vec::with_capacity(reserve), later: EarlyValues::new() }
    }

    /// Where the results of `count` tasks from an index on belong.
    pub(super) fn place(&mut self, index: usize, count: usize) -> &mut Vec<T> {
        if index == self.first.len() {
            return &mut self.first;
        }
        assert!(index > self.first.len(), "task {index} has two outcomes");
        self.later.insert(index, Vec::with_capacity(count))
    }

    /// Moves what follows the first results behind them.
    pub(super) fn join(&mut self) {
        while let Some(mut next) = self.later.remove(self.first.len()) {
            self.first.append(&mut next);
        }
    }

    pub(super) fn into_vec(self) -> Vec<T> {
        let missing = self.first.len();
        assert!(self.later.first().is_none(), "task {missing} has no outcome");
        self.first
    }
}
