//! How many submitted calls may wait for a worker.
//!
//! A call waits while it has no outcome and no worker is at it: in the queue, behind another call in a worker, or for its next execution.

use super::builder::Builder;
use super::locked::Guard;
use super::pending::PendingState;
use super::rules::Admission;
use super::state::PoolShared;
use crate::error::{Error, Kind, Result};

impl Builder {
    /// Sets how many submitted calls may wait for a worker: 1 or more. Default: memory alone limits them.
    ///
    /// While that number waits, [`Pool::submit`](crate::Pool::submit) and [`SingleCall::submit`](crate::SingleCall::submit) return an
    /// error ([`Error::is_full`]), and nothing of the call is kept: a service can refuse a request at once. Calls that run do not count. A
    /// call that waits for another execution ([`retry_errors`](crate::SingleCall::retry_errors)) counts.
    ///
    /// [`Pool::apply`](crate::Pool::apply), [`SingleCall::apply`](crate::SingleCall::apply) and maps wait for a worker, and do not count:
    /// each occupies the thread that waits. Until the workers of a new pool are ready, every submitted call waits
    /// ([`Pool::ready`](crate::Pool::ready)).
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, worker};
    ///
    /// #[worker]
    /// fn hang() {
    ///     loop {
    ///         std::thread::park();
    ///     }
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(1).max_waiting(2).build()?;
    /// pool.ready()?;
    /// let accepted = [pool.submit(hang {})?, pool.submit(hang {})?, pool.submit(hang {})?];
    /// assert!(pool.submit(hang {}).unwrap_err().is_full());
    /// accepted.iter().for_each(|handle| assert!(handle.abort()));
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn max_waiting(mut self, calls: usize) -> Self {
        self.waiting_max = Some(calls);
        self
    }
}

impl PoolShared {
    /// Returns the state of the submitted calls where one more may be added.
    pub(super) fn admit(&self, admission: Admission) -> Result<Guard<'_, PendingState>> {
        let state = self.submissions.lock();
        let Some(most) = self.settings.waiting_max.filter(|_| admission == Admission::Bounded) else {
            return Ok(state);
        };
        if self.waiting(&state) < most {
            return Ok(state);
        }
        drop(state);
        // Results that no thread has taken hide that workers have begun the next calls, or are free.
        let mut pool = self.lock();
        if pool.take_results() {
            pool.dispatch();
            pool.interrupt();
        }
        drop(pool);
        self.look_after_submissions();
        let state = self.submissions.lock();
        if self.waiting(&state) < most {
            return Ok(state);
        }
        drop(state);
        self.check_open()?;
        Err(Error::new(Kind::Full(most)))
    }

    /// How many calls wait, of those that count.
    fn waiting(&self, state: &PendingState) -> usize {
        let Some(call) = state.call else {
            return 0;
        };
        let pool = self.lock();
        let running = pool.scheduler.indices_at_workers(call).filter(|index| state.is_bounded(*index)).count();
        state.bounded().saturating_sub(running)
    }
}
