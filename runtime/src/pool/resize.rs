//! More workers or fewer while the pool runs, and what it is doing.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::builder::check_workers;
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

    /// Returns counts of the pool's workers and tasks. All are 0 once the pool is shut down, and in a fork of the process.
    pub fn stats(&self) -> Stats {
        let Some(shared) = self.lock_here().and_then(|inner| inner.shared.clone()) else {
            return Stats::default();
        };
        let state = shared.lock();
        let (waiting, at_workers, finished, busy) = state.scheduler.counts();
        // Those in process have no worker.
        let (at_workers, busy) = (at_workers + state.own.running, busy + state.own.running);
        Stats { workers: state.size, busy, waiting, at_workers, finished, started: state.started, lost: state.lost }
    }
}

/// Counts the workers and tasks of a pool at one moment ([`Pool::stats`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    workers: usize,
    busy: usize,
    waiting: usize,
    at_workers: usize,
    finished: u64,
    started: u64,
    lost: u64,
}

impl Stats {
    /// Returns the number of workers that the pool should have. Some may be starting.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Returns the number of workers that have tasks.
    pub fn busy_workers(&self) -> usize {
        self.busy
    }

    /// Returns the number of tasks not yet assigned to a worker.
    pub fn tasks_waiting(&self) -> usize {
        self.waiting
    }

    /// Returns the number of tasks assigned to workers that have no result. Each worker runs one at a time.
    pub fn tasks_at_workers(&self) -> usize {
        self.at_workers
    }

    /// Returns the number of tasks that have a result, including failed tasks.
    pub fn tasks_finished(&self) -> u64 {
        self.finished
    }

    /// Returns the number of worker processes started so far.
    pub fn workers_started(&self) -> u64 {
        self.started
    }

    /// Returns the number of worker processes that died by themselves, or of a limit of their task.
    pub fn workers_lost(&self) -> u64 {
        self.lost
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
