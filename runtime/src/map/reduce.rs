//! Maps that give back no list: one value that all outputs are folded into, or nothing at all.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::builder::{Map, target};
use super::columns::Columns;
use super::early::EarlyValues;
use super::engine::Running;
use crate::codec::{Decoder, Encoder};
use crate::error::{CodecError, Result};
use crate::functions::{Folded, Folding, Itself, MergeOf, Registration, TaskAbort, TaskCall, WorkerFn};
use crate::task::Output;

/// The function that merges two outputs, if it is that of the worker function `G`.
pub fn merger<G, T, C>(merge: C) -> Merger<C>
where
    G: Folding<Output = T>,
    C: FnMut(T, T) -> T,
{
    Merger { merge, function: G::registration() }
}

/// The worker function that [`pool_reduce!`](crate::pool_reduce) folds with.
pub struct Merger<C> {
    merge: C,
    function: &'static Registration,
}

impl<F: WorkerFn, A: Columns> Map<'_, F, A> {
    /// Runs the map, and folds the outputs in their order. [`pool_reduce!`](crate::pool_reduce) has the details.
    ///
    /// # Errors
    ///
    /// The error of the first task seen to fail, returned at once; and every error of the call as a whole.
    pub fn reduce<C>(mut self, with: Merger<C>, identity: F::Output) -> Result<F::Output>
    where
        C: FnMut(F::Output, F::Output) -> F::Output,
    {
        if !self.is_folded_by(with.function)? {
            return fold::<F, _>(&mut self.finite_engine()?.running(), with.merge, identity, Some);
        }
        self.options.merge = Some(with.function.index());
        let Self { pool, columns, options, on_error, .. } = self;
        let folded: Map<'_, Folded<F>, A> = Map { pool, columns, options, on_error, function: PhantomData };
        fold::<Folded<F>, _>(&mut folded.finite_engine()?.running(), with.merge, identity, std::convert::identity)
    }

    /// Whether the workers fold the outputs. A task that may run again must have an output of its own, as must one whose printed
    /// output is kept beside it; and without shared memory each has a message of its own.
    fn is_folded_by(&self, function: &Registration) -> Result<bool> {
        let is_of_outputs = function.merge().is_some_and(|merge| merge.is::<MergeOf<F>>());
        let runs_again =
            self.options.attempts.is_some_and(|attempts| attempts > 1) || self.options.retry.executions.is_some();
        let (shared, _) = target(self.pool)?;
        // The journal keeps the output of each, and each is recorded.
        let is_kept = self.options.journal_path()?.is_some() || self.options.recorded().is_some();
        let is_alone = shared.output() != Output::Inherited || shared.arena().memory().is_none();
        Ok(is_of_outputs && !runs_again && !is_alone && !is_kept)
    }

    /// Runs the map, and sends no output back. This is [`pool_for_each!`](crate::pool_for_each).
    ///
    /// # Errors
    ///
    /// The error of the first task seen to fail, returned at once; and every error of the call as a whole.
    pub fn for_each(self) -> Result<()> {
        let Self { pool, columns, options, on_error, .. } = self;
        let silent: Map<'_, Silent<F>, A> = Map { pool, columns, options, on_error, function: PhantomData };
        run_silently::<Silent<F>>(&mut silent.finite_engine()?.running())
    }
}

/// Runs a map whose outputs stay in the workers.
fn run_silently<F: WorkerFn<Output = ()>>(running: &mut Running<'_>) -> Result<()> {
    while !running.engine.executes_again()
        && let Some(mut batch) = running.wait_batch()?
    {
        let mut bytes_in_all = 0;
        loop {
            bytes_in_all += batch.outputs::<F>(usize::MAX, |()| ());
            let Some(((_, outcome), bytes)) = batch.next::<F>() else {
                break;
            };
            outcome?;
            bytes_in_all += bytes;
        }
        running.engine.batch_yielded(batch, bytes_in_all);
    }
    while let Some((_, outcome)) = running.wait_any::<F>()? {
        outcome?;
    }
    Ok(())
}

/// Folds outputs in their order, those that are there.
fn fold<F: WorkerFn, T>(
    running: &mut Running<'_>,
    merge: impl FnMut(T, T) -> T,
    identity: T,
    of_output: impl Fn(F::Output) -> Option<T>,
) -> Result<T> {
    let mut ranges = Ranges { merge, ends: BTreeMap::new(), folded: EarlyValues::new() };
    while !running.engine.executes_again()
        && let Some(mut batch) = running.wait_batch()?
    {
        let (start, count) = (batch.next_index(), batch.len());
        let (mut folded, mut bytes_in_all) = (None, 0);
        loop {
            bytes_in_all += batch.outputs::<F>(usize::MAX, |output| ranges.push(&mut folded, of_output(output)));
            let Some(((_, outcome), bytes)) = batch.next::<F>() else {
                break;
            };
            ranges.push(&mut folded, of_output(outcome?));
            bytes_in_all += bytes;
        }
        running.engine.batch_yielded(batch, bytes_in_all);
        ranges.add(start, count, folded);
    }
    while let Some((index, outcome)) = running.wait_any::<F>()? {
        ranges.add(index, 1, of_output(outcome?));
    }
    Ok(ranges.into_one(identity))
}

/// Outputs of tasks that follow one another, folded; those before a gap wait for it to be closed.
struct Ranges<T, M> {
    merge: M,
    /// The index behind their last, by their first.
    ends: BTreeMap<usize, usize>,
    /// Their value, if there was anything, by their first.
    folded: EarlyValues<Option<T>>,
}

impl<T, M: FnMut(T, T) -> T> Ranges<T, M> {
    /// Folds one more value behind those of before.
    #[inline]
    fn push(&mut self, folded: &mut Option<T>, next: Option<T>) {
        if let Some(next) = next {
            *folded = Some(match folded.take() {
                Some(before) => (self.merge)(before, next),
                None => next,
            });
        }
    }

    /// Adds the outputs of `count` tasks, and joins them with those that stand beside them.
    fn add(&mut self, start: usize, count: usize, mut folded: Option<T>) {
        let (first, behind) = join(&mut self.ends, start, start + count);
        if let Some(mut joined) = first.and_then(|first| self.folded.remove(first)) {
            self.push(&mut joined, folded);
            folded = joined;
        }
        if let Some(next) = behind.and_then(|behind| self.folded.remove(behind)) {
            self.push(&mut folded, next);
        }
        self.folded.insert(first.unwrap_or(start), folded);
    }

    fn into_one(mut self, identity: T) -> T {
        let mut one = Some(identity);
        while let Some(folded) = self.folded.first().and_then(|first| self.folded.remove(first)) {
            self.push(&mut one, folded);
        }
        one.expect("it was a value before")
    }
}

/// Joins a range with those that stand beside it, by their ends; returns the first index of the one before it, and of the one behind.
fn join(ends: &mut BTreeMap<usize, usize>, start: usize, end: usize) -> (Option<usize>, Option<usize>) {
    let before = ends.range(..start).next_back().filter(|(_, before_end)| **before_end == start);
    let first = before.map(|(first, _)| *first);
    let behind_end = ends.remove(&end);
    ends.insert(first.unwrap_or(start), behind_end.unwrap_or(end));
    (first, behind_end.map(|_| end))
}

/// The worker function `F`, whose outputs stay in the worker.
struct Silent<F>(PhantomData<fn() -> F>);

impl<F: WorkerFn> Itself for Silent<F> {
    type Type = Self;

    fn itself(self) -> Self {
        self
    }
}

impl<F: WorkerFn> WorkerFn for Silent<F> {
    type Output = ();

    const __SENDS_OUTPUT: bool = false;

    fn __registration() -> &'static Registration {
        F::__registration()
    }

    fn __encode(&self, _encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        Ok(())
    }

    fn __run(call: &mut TaskCall<'_>) -> Result<(), TaskAbort> {
        F::__run(call)
    }

    fn __encode_output((): &(), _call: &mut TaskCall<'_>) -> Result<(), TaskAbort> {
        Ok(())
    }

    fn __decode_output(_decoder: &mut Decoder<'_>) -> Result<(), CodecError> {
        Ok(())
    }
}
