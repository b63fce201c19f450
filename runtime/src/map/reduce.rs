//! Maps that give back no list: one value that all outputs are folded into, or nothing at all.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::builder::Map;
use super::columns::Columns;
use super::engine::Late;
use crate::codec::{Decoder, Encoder};
use crate::error::{CodecError, Result};
use crate::registry::{Registration, Stop, TaskCall, WorkerFn};

/// The function that merges two outputs, if it is that of the worker function `G`.
pub fn merger<G, T, C>(merge: C) -> C
where
    G: WorkerFn<Output = T>,
    C: FnMut(T, T) -> T,
{
    merge
}

impl<F: WorkerFn, A: Columns> Map<'_, F, A> {
    /// Runs it, and folds the outputs in their order: `merge(merge(identity, first), second)`, and so on. This is
    /// [`pool_reduce!`](crate::pool_reduce), which see.
    ///
    /// `merge` is called in this process, on the thread that waits for the results; its panic reaches the caller.
    ///
    /// # Errors
    ///
    /// That of the first task seen to fail, at once; and every error of the call as a whole.
    pub fn reduce(
        self,
        mut merge: impl FnMut(F::Output, F::Output) -> F::Output,
        identity: F::Output,
    ) -> Result<F::Output> {
        let mut engine = self.finite_engine()?;
        let mut merged = identity;
        let mut next_index = 0;
        // What waits for its turn counts against the window, so it is bounded.
        let mut early = BTreeMap::new();
        while let Some(((index, outcome), bytes)) = engine.next(Late::Now)? {
            let output = outcome?;
            if index != next_index {
                early.insert(index, (output, bytes));
                continue;
            }
            let mut next = Some((output, bytes));
            while let Some((output, bytes)) = next {
                merged = merge(merged, output);
                engine.yielded(bytes);
                next_index += 1;
                next = early.remove(&next_index);
            }
        }
        Ok(merged)
    }

    /// Runs it for what the tasks do, and not for what they give: no output is sent back. This is
    /// [`pool_for_each!`](crate::pool_for_each).
    ///
    /// # Errors
    ///
    /// That of the first task seen to fail, at once; and every error of the call as a whole.
    pub fn for_each(self) -> Result<()> {
        let Self { pool, columns, options, on_error, .. } = self;
        let silent: Map<'_, Silent<F>, A> = Map { pool, columns, options, on_error, function: PhantomData };
        let mut engine = silent.finite_engine()?;
        while !engine.executes_again()
            && let Some(mut batch) = engine.next_batch()?
        {
            let mut bytes_in_all = 0;
            loop {
                bytes_in_all += batch.outputs::<Silent<F>>(|()| ());
                let Some(((_, outcome), bytes)) = batch.next::<Silent<F>>() else {
                    break;
                };
                outcome?;
                bytes_in_all += bytes;
            }
            engine.batch_yielded(batch, bytes_in_all);
        }
        while let Some((_, outcome)) = engine.next_any(Late::Now)? {
            outcome?;
        }
        Ok(())
    }
}

/// The worker function `F`, whose outputs stay in the worker.
struct Silent<F>(PhantomData<fn() -> F>);

impl<F: WorkerFn> WorkerFn for Silent<F> {
    type Output = ();

    const __SENDS_OUTPUT: bool = false;

    fn __registration() -> &'static Registration {
        F::__registration()
    }

    fn __encode(&self, _encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        Ok(())
    }

    fn __run(call: &mut TaskCall<'_>) -> Result<(), Stop> {
        F::__run(call)
    }

    fn __decode_output(_decoder: &mut Decoder<'_>) -> Result<(), CodecError> {
        Ok(())
    }
}
