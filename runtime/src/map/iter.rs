//! The lazy maps as iterators.
//!
//! Results stay encoded until their turn has come, but for a few: decoding is cheapest in a loop, so outputs are decoded as many at
//! once as are [`BLOCK_TASKS`], or [`BLOCK_BYTES`].

use std::collections::VecDeque;
use std::iter::FusedIterator;
use std::task::Poll;

use super::columns::Columns;
use super::early::EarlyValues;
use super::engine::{Blocks, Engine, ErrorTiming, Input, PollNext, Running, TypedEngine, WaitMode};
use super::results::{Indexed, ResultDecoder};
use crate::error::{Error, TaskError};
use crate::functions::WorkerFn;

/// So many outputs are decoded at once, at most.
const BLOCK_TASKS: usize = 64;
/// Outputs are decoded before their turn while they take about this much together, at most.
const BLOCK_BYTES: usize = 16 << 10;

/// Gives out the outcomes of one batch after another.
struct BatchReader<F: WorkerFn> {
    batch: Option<ResultDecoder>,
    /// The index of the next outcome: of the batch, or the one behind it.
    next_index: usize,
    /// The outputs from there on that are decoded, and the bytes that they count for together.
    outputs: VecDeque<F::Output>,
    bytes: usize,
}

impl<F: WorkerFn> BatchReader<F> {
    fn new() -> Self {
        Self { batch: None, next_index: 0, outputs: VecDeque::new(), bytes: 0 }
    }

    /// Goes on with this batch. The one before has ended.
    fn begin(&mut self, batch: ResultDecoder) {
        self.next_index = batch.next_index();
        self.batch = Some(batch);
    }

    /// Takes the next output, if it is decoded and may be taken.
    #[inline]
    fn pop(&mut self, engine: &mut Engine, input: &mut dyn Input) -> Option<(usize, F::Output)> {
        if engine.may_take(input) { self.take(engine) } else { None }
    }

    #[inline]
    fn take(&mut self, engine: &mut Engine) -> Option<(usize, F::Output)> {
        let output = self.outputs.pop_front()?;
        let index = self.next_index;
        self.next_index += 1;
        engine.yielded(if self.outputs.is_empty() { std::mem::take(&mut self.bytes) } else { 0 });
        Some((index, output))
    }

    /// Takes the next outcome of the batch, and decodes those that come with it, where none is decoded; none if there is no batch, or
    /// no outcome left of it.
    #[inline(never)]
    fn next(&mut self, running: &mut Running<'_>) -> Option<Indexed<F::Output>> {
        let batch = self.batch.as_mut()?;
        if self.outputs.is_empty() {
            let most = batch.fitting(BLOCK_BYTES).min(BLOCK_TASKS);
            let outputs = &mut self.outputs;
            self.bytes = batch.outputs::<F>(most, |output| outputs.push_back(output));
        }
        if let Some((index, output)) = self.take(running.engine) {
            return Some((index, Ok(output)));
        }
        let next = self.batch.as_mut().and_then(ResultDecoder::next::<F>);
        // The buffer of the last is let go of now: its caller may take long over what was decoded out of it.
        if let Some(batch) = self.batch.take_if(|batch| batch.len() == 0) {
            running.engine.end_batch(batch);
        }
        let (indexed, bytes) = next?;
        self.next_index = indexed.0 + 1;
        running.engine.yielded(bytes);
        Some(indexed)
    }

    /// The next item of a map without an order, where it is not decoded yet.
    #[inline(never)]
    fn next_unordered(&mut self, running: &mut Running<'_>, wait: &mut dyn WaitMode) -> PollNext<Indexed<F::Output>> {
        if running.engine.executes_again() {
            return running.next_any::<F>(ErrorTiming::AfterResults, wait);
        }
        while running.engine.is_open()? {
            if let Some(next) = self.next(running) {
                return Poll::Ready(Ok(Some(next)));
            }
            let Poll::Ready(next) = running.next_batch(ErrorTiming::AfterResults, wait)? else {
                return Poll::Pending;
            };
            let Some(batch) = next else {
                return Poll::Ready(Ok(None));
            };
            self.begin(batch);
        }
        Poll::Ready(Ok(None))
    }
}

/// Hands out outcomes in their order, whatever the input is.
struct Turns<F: WorkerFn> {
    /// The batch whose turn it is, and those whose turn has not come, by their first index.
    reader: BatchReader<F>,
    waiting: EarlyValues<ResultDecoder>,
    /// Outcomes whose turn has not come, and which are in no batch any more.
    early: EarlyValues<Early<F::Output>>,
}

/// An outcome that waits for its turn, and its bytes.
type Early<T> = (Result<T, TaskError>, usize);

impl<F: WorkerFn> Turns<F> {
    fn new() -> Self {
        Self { reader: BatchReader::new(), waiting: EarlyValues::new(), early: EarlyValues::new() }
    }

    /// The next item, where it is not decoded yet.
    #[inline(never)]
    fn next_item(
        &mut self,
        running: &mut Running<'_>,
        wait: &mut dyn WaitMode,
    ) -> PollNext<Result<F::Output, TaskError>> {
        let Self { reader, waiting, early } = self;
        // Results that came before a fork belong to the parent.
        while running.engine.is_open()? {
            if let Some((_, outcome)) = reader.next(running) {
                return Poll::Ready(Ok(Some(outcome)));
            }
            if let Some((outcome, bytes)) = early.remove(reader.next_index) {
                reader.next_index += 1;
                running.engine.yielded(bytes);
                return Poll::Ready(Ok(Some(outcome)));
            }
            if let Some(batch) = waiting.remove(reader.next_index) {
                reader.begin(batch);
                continue;
            }
            if running.engine.executes_again() {
                // Tasks that are executed again leave gaps in their batches.
                let Poll::Ready(next) = running.next::<F>(ErrorTiming::AfterResults, wait)? else {
                    return Poll::Pending;
                };
                let Some(((index, outcome), bytes)) = next else {
                    return Poll::Ready(Ok(None));
                };
                early.insert(index, (outcome, bytes));
                continue;
            }
            let Poll::Ready(next) = running.next_batch(ErrorTiming::AfterResults, wait)? else {
                return Poll::Pending;
            };
            let Some(mut batch) = next else {
                return Poll::Ready(Ok(None));
            };
            if batch.next_index() == reader.next_index {
                reader.begin(batch);
            } else if batch.len() > 1 {
                waiting.insert(batch.next_index(), running.engine.waiting(batch));
            } else if let Some(((index, outcome), bytes)) = batch.next::<F>() {
                // A single outcome is smaller than what decodes it.
                running.engine.end_batch(batch);
                early.insert(index, (outcome, bytes));
            }
        }
        Poll::Ready(Ok(None))
    }
}

/// Iterates over the results of a map, in order. [`pool_iter!`](crate::pool_iter) returns it.
///
/// A failed task is an `Err` whose [`task()`](Error::task) names it, and further items follow. A failure of the call as a
/// whole is one last `Err`. Dropping the iterator stops the work.
pub struct PoolIter<F: WorkerFn, A> {
    /// None once the last item was given.
    engine: Option<TypedEngine<F, A>>,
    turns: Turns<F>,
}

/// The next item of an iterator, if it is there yet.
pub(super) type PollItem<T> = Poll<Option<Result<T, Error>>>;

impl<F: WorkerFn, A: Columns> PoolIter<F, A> {
    pub(super) fn new(engine: TypedEngine<F, A>) -> Self {
        Self { engine: Some(engine), turns: Turns::new() }
    }

    /// The call that runs; none once the last item was given.
    #[cfg(feature = "stream")]
    pub(super) fn running(&mut self) -> Option<Running<'_>> {
        self.engine.as_mut().map(TypedEngine::running)
    }

    /// Whether the last item was given.
    #[cfg(feature = "stream")]
    pub(super) fn is_over(&self) -> bool {
        self.engine.is_none()
    }

    /// The next item.
    #[inline]
    pub(super) fn poll_item(&mut self, wait: &mut dyn WaitMode) -> PollItem<F::Output> {
        let Some(engine) = &mut self.engine else {
            return Poll::Ready(None);
        };
        let Running { engine, input } = engine.running();
        if let Some((_, output)) = self.turns.reader.pop(engine, input) {
            return Poll::Ready(Some(Ok(output)));
        }
        let Poll::Ready(next) = self.turns.next_item(&mut Running { engine, input }, wait) else {
            return Poll::Pending;
        };
        if !matches!(next, Ok(Some(_))) {
            self.engine = None;
        }
        Poll::Ready(next.transpose().map(|item| item?.map_err(Error::from)))
    }
}

impl<F: WorkerFn, A: Columns> Iterator for PoolIter<F, A> {
    type Item = Result<F::Output, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        Blocks::ready(self.poll_item(&mut Blocks))
    }
}

impl<F: WorkerFn, A: Columns> FusedIterator for PoolIter<F, A> {}

/// Iterates over the results of a map with their indices, as tasks finish.
///
/// [`pool_iter_unordered!`](crate::pool_iter_unordered) returns it.
///
/// A failed task is an `Err` whose [`task()`](Error::task) names it, and further items follow. A failure of the call as a
/// whole is one last `Err`. Dropping the iterator stops the work.
pub struct PoolIterUnordered<F: WorkerFn, A> {
    /// None once the last item was given.
    engine: Option<TypedEngine<F, A>>,
    reader: BatchReader<F>,
}

impl<F: WorkerFn, A: Columns> PoolIterUnordered<F, A> {
    pub(super) fn new(engine: TypedEngine<F, A>) -> Self {
        Self { engine: Some(engine), reader: BatchReader::new() }
    }

    /// The call that runs; none once the last item was given.
    #[cfg(feature = "stream")]
    pub(super) fn running(&mut self) -> Option<Running<'_>> {
        self.engine.as_mut().map(TypedEngine::running)
    }

    /// Whether the last item was given.
    #[cfg(feature = "stream")]
    pub(super) fn is_over(&self) -> bool {
        self.engine.is_none()
    }

    /// The next item.
    #[inline]
    pub(super) fn poll_item(&mut self, wait: &mut dyn WaitMode) -> PollItem<(usize, F::Output)> {
        let Some(engine) = &mut self.engine else {
            return Poll::Ready(None);
        };
        let Running { engine, input } = engine.running();
        if let Some(next) = self.reader.pop(engine, input) {
            return Poll::Ready(Some(Ok(next)));
        }
        let Poll::Ready(next) = self.reader.next_unordered(&mut Running { engine, input }, wait) else {
            return Poll::Pending;
        };
        if !matches!(next, Ok(Some(_))) {
            self.engine = None;
        }
        Poll::Ready(next.transpose().map(|item| {
            let (index, outcome) = item?;
            Ok((index, outcome?))
        }))
    }
}

impl<F: WorkerFn, A: Columns> Iterator for PoolIterUnordered<F, A> {
    type Item = Result<(usize, F::Output), Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        Blocks::ready(self.poll_item(&mut Blocks))
    }
}

impl<F: WorkerFn, A: Columns> FusedIterator for PoolIterUnordered<F, A> {}
