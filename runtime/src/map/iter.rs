//! The lazy maps as iterators.

use std::collections::VecDeque;
use std::iter::FusedIterator;

use super::columns::Columns;
use super::engine::{Engine, ErrorTiming};
use super::results::Indexed;
use crate::error::{Error, TaskError};
use crate::functions::WorkerFn;

/// Iterates over the results of a map, in order. [`pool_iter!`](crate::pool_iter) returns it.
///
/// A failed task is an `Err` whose [`task()`](Error::task) names it, and further items follow. A failure of the call as a
/// whole is one last `Err`. Dropping the iterator stops the work.
pub struct PoolIter<F: WorkerFn, A> {
    /// None once the last item was given.
    engine: Option<Engine<F, A>>,
    /// The results from the next index on; none where a task is not done yet.
    early: VecDeque<Option<Early<F::Output>>>,
    next_index: usize,
}

/// An outcome that waits for its turn, and its bytes.
type Early<T> = (Result<T, TaskError>, usize);

impl<F: WorkerFn, A> PoolIter<F, A> {
    pub(super) fn new(engine: Engine<F, A>) -> Self {
        Self { engine: Some(engine), early: VecDeque::new(), next_index: 0 }
    }

    fn keep(&mut self, (index, outcome): Indexed<F::Output>, bytes: usize) {
        let place = index - self.next_index;
        if self.early.len() <= place {
            self.early.resize_with(place + 1, || None);
        }
        self.early[place] = Some((outcome, bytes));
    }
}

impl<F: WorkerFn, A: Columns> Iterator for PoolIter<F, A> {
    type Item = Result<F::Output, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let engine = self.engine.as_mut()?;
            if !engine.is_here() {
                // Results that came before the fork belong to the parent.
                self.early.clear();
            }
            if let Some(Some(_)) = self.early.front() {
                let (outcome, bytes) = self.early.pop_front().flatten()?;
                engine.yielded(bytes);
                self.next_index += 1;
                return Some(outcome.map_err(Error::from));
            }
            match engine.next(ErrorTiming::AfterResults) {
                Ok(Some((indexed, bytes))) => self.keep(indexed, bytes),
                Ok(None) => self.engine = None,
                Err(error) => {
                    self.engine = None;
                    return Some(Err(error));
                }
            }
        }
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
    engine: Option<Engine<F, A>>,
}

impl<F: WorkerFn, A> PoolIterUnordered<F, A> {
    pub(super) fn new(engine: Engine<F, A>) -> Self {
        Self { engine: Some(engine) }
    }
}

impl<F: WorkerFn, A: Columns> Iterator for PoolIterUnordered<F, A> {
    type Item = Result<(usize, F::Output), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.engine.as_mut()?.next_any(ErrorTiming::AfterResults) {
            Ok(Some((index, outcome))) => Some(outcome.map(|output| (index, output)).map_err(Error::from)),
            Ok(None) => {
                self.engine = None;
                None
            }
            Err(error) => {
                self.engine = None;
                Some(Err(error))
            }
        }
    }
}

impl<F: WorkerFn, A: Columns> FusedIterator for PoolIterUnordered<F, A> {}
