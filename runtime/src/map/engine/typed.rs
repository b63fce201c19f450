//! An engine with the types of its map, and its input.

use std::marker::PhantomData;
use std::sync::Arc;

use super::function::MapFunction;
use super::input::Input;
use super::wait::{Blocks, PollNext, WaitMode};
use super::{Engine, ErrorTiming, Indexed, ResultDecoder};
use crate::error::Result;
use crate::functions::WorkerFn;
use crate::map::columns::{Columns, Length};
use crate::map::options::Options;
use crate::pool::{Consumer, Pool, PoolShared};

/// A map of the worker function `F` that is running, with the columns `A`.
pub(in crate::map) struct TypedEngine<F, A> {
    /// It is dropped first: the call ends, then what its input is.
    engine: Engine,
    columns: A,
    function: PhantomData<fn() -> F>,
}

impl<F: WorkerFn, A: Columns> TypedEngine<F, A> {
    /// Checks the options and the lengths, and opens the call.
    pub(in crate::map) fn new(
        shared: Arc<PoolShared>,
        columns: A,
        options: Options,
        consumer: Consumer,
    ) -> Result<Self> {
        let function = MapFunction::of::<F>(shared.output());
        let engine = Engine::new(shared, function, &columns, options, consumer)?;
        Ok(Self { engine, columns, function: PhantomData })
    }

    /// Has this pool started before the first task is sent.
    pub(in crate::map) fn starting(mut self, unstarted: Option<&'static Pool>) -> Self {
        self.engine.unstarted = unstarted;
        self
    }

    /// How many tasks there will be, if that is known.
    pub(in crate::map) fn length(&self) -> Length {
        self.engine.length()
    }

    /// The map without the types of its columns: what is generic over the function alone is compiled once for all inputs.
    #[inline]
    pub(in crate::map) fn running(&mut self) -> Running<'_> {
        Running { engine: &mut self.engine, input: &mut self.columns }
    }
}

/// A map that is running, and its input, whatever its types are.
pub(in crate::map) struct Running<'e> {
    pub(in crate::map) engine: &'e mut Engine,
    pub(in crate::map) input: &'e mut dyn Input,
}

impl Running<'_> {
    /// The next task that has its outcome: see [`Engine::next`].
    pub(in crate::map) fn next<F: WorkerFn>(
        &mut self,
        timing: ErrorTiming,
        wait: &mut dyn WaitMode,
    ) -> PollNext<(Indexed<F::Output>, usize)> {
        self.engine.next::<F>(self.input, timing, wait)
    }

    /// The next task that has its outcome, which is yielded at once.
    pub(in crate::map) fn next_any<F: WorkerFn>(
        &mut self,
        timing: ErrorTiming,
        wait: &mut dyn WaitMode,
    ) -> PollNext<Indexed<F::Output>> {
        self.next::<F>(timing, wait).map_ok(|next| {
            next.map(|(indexed, bytes)| {
                self.engine.yielded(bytes);
                indexed
            })
        })
    }

    /// The next tasks that have their outcomes: see [`Engine::next_batch`].
    pub(in crate::map) fn next_batch(
        &mut self,
        timing: ErrorTiming,
        wait: &mut dyn WaitMode,
    ) -> PollNext<ResultDecoder> {
        self.engine.next_batch(self.input, timing, wait)
    }

    /// The next task that has its outcome, which is yielded at once, or a failure of the call: for a caller that waits for all.
    pub(in crate::map) fn wait_any<F: WorkerFn>(&mut self) -> Result<Option<Indexed<F::Output>>> {
        Blocks::ready(self.next_any::<F>(ErrorTiming::Now, &mut Blocks))
    }

    /// The same for many tasks: see [`next_batch`](Self::next_batch).
    pub(in crate::map) fn wait_batch(&mut self) -> Result<Option<ResultDecoder>> {
        Blocks::ready(self.next_batch(ErrorTiming::Now, &mut Blocks))
    }
}
