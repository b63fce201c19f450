//! One call: the smallest map.

use super::columns::{Columns, ColumnsRead, Length};
use super::engine::TypedEngine;
use super::handle::encode;
use super::options::Options;
use crate::codec::Encoder;
use crate::error::{CodecError, Error, Kind, Result};
use crate::functions::WorkerFn;
use crate::pool::{Consumer, Pool};

impl Pool {
    /// Runs one call in a worker, and returns its output. The task's index is 0.
    ///
    /// The call has no time limit, and runs at most once. [`Pool::call`] sets a limit, or further attempts.
    ///
    /// # Errors
    ///
    /// The task failed ([`Error::task`]); the pool was shut down; no worker could be started.
    ///
    /// # Worker death
    ///
    /// If the worker dies in the call, the error is [`Crashed`](crate::TaskErrorKind::Crashed), and the pool replaces the worker.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, worker};
    ///
    /// #[worker]
    /// fn repeat(text: &str, times: usize) -> String {
    ///     text.repeat(times)
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(1).build()?;
    /// assert_eq!(pool.apply(repeat { times: 2, text: "ab".into() })?, "abab");
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn apply<F: WorkerFn>(&self, call: F) -> Result<F::Output> {
        if !self.is_started() {
            // A call that cannot be encoded starts no worker.
            encode(&*self.unstarted_shared()?, &call)?;
        }
        let mut engine =
            TypedEngine::<F, _>::new(self.shared()?, OneCall { call, left: 1 }, Options::default(), Consumer::Waited)?;
        match engine.running().wait_any::<F>()? {
            Some((_, outcome)) => outcome.map_err(Error::from),
            // The one row has one outcome, unless the pool is shut down.
            None => Err(Error::new(Kind::Closed)),
        }
    }
}

/// The one row of a call whose arguments are given by name.
struct OneCall<F> {
    call: F,
    left: usize,
}

impl<F: WorkerFn> Columns for OneCall<F> {
    const COUNT: u32 = 1;
    const SHARED: u16 = 0;
    type Row = ();

    fn lengths(&self, visit: &mut dyn FnMut(Length)) {
        visit(Length::Known(self.left));
    }

    fn pull(&mut self, _shortest: bool) -> std::result::Result<(), ColumnsRead> {
        match std::mem::take(&mut self.left) {
            0 => Err(ColumnsRead::default().and(false)),
            _ => Ok(()),
        }
    }

    fn encode(&mut self, (): (), encoder: &mut Encoder<'_>) -> std::result::Result<(), CodecError> {
        self.call.__encode(encoder)
    }
}
