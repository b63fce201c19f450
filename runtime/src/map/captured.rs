//! Outcomes with what their tasks have printed.

use super::builder::Map;
use super::columns::Columns;
use super::gathered::Gathered;
use crate::error::{Error, Result};
use crate::functions::WorkerFn;
use crate::task::{Captured, Output};

/// Refuses a pool that captures nothing; `instead` names the macro to use.
pub(super) fn check(output: Output, instead: &str) -> Result<()> {
    if output == Output::Captured {
        return Ok(());
    }
    Err(Error::invalid_option(format!(
        "this pool captures nothing: build it with Pool::builder().output(Output::Captured), {instead}",
    )))
}

impl<F: WorkerFn, A: Columns> Map<'_, F, A> {
    /// Runs the map, and returns each task's outcome and printed output, in order. This is
    /// [`pool_map_captured!`](crate::pool_map_captured).
    ///
    /// # Errors
    ///
    /// The pool captures nothing; `retry_errors` is set; the errors of the call as a whole. A failed task is an `Err` in its place.
    pub fn collect_captured(self) -> Result<Vec<Captured<F::Output>>> {
        let mut engine = self.finite_engine()?;
        let length = engine.length();
        let running = &mut engine.running();
        check(running.engine.output(), "and name it, `pool_map_captured!(in &pool, f, xs)`")?;
        if running.engine.executes_again() {
            return Err(Error::invalid_option(
                "pool_map_captured! does not support `retry_errors`: use pool_try_map!, whose errors have the printed output",
            ));
        }
        let mut gathered = Gathered::new(length);
        while let Some(mut batch) = running.wait_batch()? {
            let place = gathered.place(batch.next_index(), batch.len());
            let mut bytes_in_all = 0;
            while let Some(((_, outcome), bytes)) = batch.next::<F>() {
                place.push(Captured::new(outcome, batch.take_printed()));
                bytes_in_all += bytes;
            }
            running.engine.batch_yielded(batch, bytes_in_all);
            gathered.join();
        }
        Ok(gathered.into_vec())
    }
}
