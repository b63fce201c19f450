//! More workers or fewer while the pool runs.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::builder::check_workers;
use super::counters::RetiredFor;
use super::handle::Pool;
use super::scheduler::Slot;
use super::state::PoolState;
use super::turn::Wakes;
use super::worker_slot::{Life, WorkerSlot};
use crate::child::Cause;
use crate::error::Result;

impl Pool {
    /// Changes the number of workers, to 1 to 4,096, while the pool runs.
    ///
    /// It does not wait. New workers start at once, and surplus workers end after the task that they run. No task is lost.
    ///
    /// # Errors
    ///
    /// The number is out of range; the pool was closed; a variable of [`env_for_each`](crate::Builder::env_for_each) cannot be set.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, pool_map, worker};
    ///
    /// #[worker]
    /// fn negate(x: i32) -> i32 {
    ///     -x
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(1).build()?;
    /// pool.resize(3)?;
    /// assert_eq!(pool_map!(in &pool, negate, [1, 2, 3])?, [-1, -2, -3]);
    /// assert_eq!(pool.stats().workers(), 3);
    /// assert!(pool.resize(0).unwrap_err().is_invalid_option());
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn resize(&self, workers: usize) -> Result<()> {
        check_workers(workers)?;
        let shared = self.shared()?;
        shared.check_open()?;
        if shared.is_in_process() {
            return Ok(());
        }
        shared.ask_for_environments(workers)?;
        let mut state = shared.lock();
        state.resize(workers);
        shared.workers.store(workers, Ordering::Relaxed);
        Ok(())
    }
}

impl PoolState {
    fn resize(&mut self, workers: usize) {
        self.size = workers;
        self.turn.concerns(Wakes::SUPERVISOR);
        self.turn.concerns(Wakes::CALLERS);
        self.scheduler.resize(workers);
        while self.slots.len() < workers {
            self.slots.push(WorkerSlot::vacant(Instant::now()));
        }
        for slot in workers..self.slots.len() {
            self.withdraw(slot);
        }
        self.dispatch();
    }

    /// Has a worker end, once it has finished the task that it runs.
    fn withdraw(&mut self, slot: Slot) {
        self.retire_for(slot, RetiredFor::Size);
        match self.slots[slot].worker.as_ref().map(|worker| &worker.life) {
            Some(Life::Starting { .. }) => self.begin_ending(slot, Cause::Retired),
            Some(Life::Ready) => self.on_channel(slot, |worker, scheduler| {
                worker.take_back(slot, scheduler, u32::MAX)?;
                scheduler.assign_no_more(slot);
                Ok(())
            }),
            _ => {}
        }
    }
}
