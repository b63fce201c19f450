//! The present and past activity of a pool, as numbers.

use super::deaths::Deaths;
use super::handle::Pool;
use super::histogram::Histogram;

impl Pool {
    /// Returns counts and times of the pool's workers and tasks: what it is doing, and what it has done since it was made.
    ///
    /// They are always counted, and all are of one moment. It takes some microseconds and interrupts nothing, so it may be called a
    /// thousand times a second, from any thread. What counts events (as [`Stats::tasks_done`], the [`Histogram`]s and the bytes) never
    /// becomes smaller while the pool lives. All are 0 once the pool is shut down, and in a fork of the process.
    ///
    /// # Worker death
    ///
    /// A worker that ends leaves its counts with the pool. The accessors say how its last task counts.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, pool_try_map, worker};
    ///
    /// #[worker]
    /// fn half(x: u32) -> Result<u32, String> {
    ///     if x.is_multiple_of(2) { Ok(x / 2) } else { Err("odd".to_owned()) }
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(2).build()?;
    /// assert!(pool_try_map!(in &pool, half, [2, 3])?[1].is_err());
    /// let stats = pool.stats();
    /// assert_eq!((stats.tasks_done(), stats.tasks_failed()), (1, 1));
    /// assert_eq!(stats.running().count(), 2);
    /// assert_eq!(stats.deaths().total(), 0);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn stats(&self) -> Stats {
        let Some(shared) = self.lock_here().and_then(|inner| inner.shared.clone()) else {
            return Stats::default();
        };
        let mut state = shared.lock();
        (0..state.slots.len()).for_each(|slot| state.count_tasks_of(slot));
        let (waiting, at_workers, busy) = state.scheduler.counts();
        let totals = state.scheduler.totals();
        let counters = &state.counters;
        Stats {
            workers: state.size,
            // Those in process have no worker.
            busy: busy + state.own.running,
            tasks_waiting: waiting,
            tasks_at_workers: at_workers + state.own.running,
            tasks_finished: totals.finished,
            tasks_done: counters.done,
            tasks_failed: counters.failed,
            tasks_retried: totals.retried,
            waiting: Histogram::of(counters.waiting),
            running: Histogram::of(counters.running),
            bytes_sent: totals.argument_bytes,
            bytes_received: totals.result_bytes,
            workers_started: counters.started,
            starts_refused: counters.starts_refused,
            deaths: counters.deaths.clone(),
            workers_retired: counters.retired,
            workers_idle_stopped: counters.idle_stopped,
            workers_surplus: counters.surplus,
            workers_aborted: counters.aborted,
        }
    }
}

/// Counts and times of the workers and tasks of a pool, all of one moment ([`Pool::stats`]).
///
/// A *task* is one call of a map, or a call by itself. Tasks that ran count by *executions*: one that was executed three times counts
/// three times in [`tasks_done`](Self::tasks_done) and [`tasks_failed`](Self::tasks_failed), and in both histograms, which have just as many durations
/// as the two together. Initializers and finalizers count in none of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    workers: usize,
    busy: usize,
    tasks_waiting: usize,
    tasks_at_workers: usize,
    tasks_finished: u64,
    tasks_done: u64,
    tasks_failed: u64,
    tasks_retried: u64,
    waiting: Histogram,
    running: Histogram,
    bytes_sent: u64,
    bytes_received: u64,
    workers_started: u64,
    starts_refused: u64,
    deaths: Deaths,
    workers_retired: u64,
    workers_idle_stopped: u64,
    workers_surplus: u64,
    workers_aborted: u64,
}

/// Now.
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
        self.tasks_waiting
    }

    /// Returns the number of tasks assigned to workers that have no result. Each worker runs one at a time.
    pub fn tasks_at_workers(&self) -> usize {
        self.tasks_at_workers
    }
}

/// Tasks, since the pool was made.
impl Stats {
    /// Returns the number of tasks that have a result, including failed tasks. A task that ended with its worker has none.
    pub fn tasks_finished(&self) -> u64 {
        self.tasks_finished
    }

    /// Returns the number of executions that returned an output.
    ///
    /// An output that the caller then cannot decode counts here: only the caller knows of that.
    pub fn tasks_done(&self) -> u64 {
        self.tasks_done
    }

    /// Returns the number of executions that returned no output.
    ///
    /// An execution counts here if the function returned an `Err` or panicked, if an argument did not decode or the output did not encode,
    /// or if the worker ended while it ran the task: by a crash, for a limit, or as the task was aborted. A task that ended before a worker
    /// began it is no execution.
    pub fn tasks_failed(&self) -> u64 {
        self.tasks_failed
    }

    /// Returns the number of executions that were not the first of their task, as the task's attempts or retries allowed another.
    ///
    /// One counts when the task waits for a worker again. A task that its worker had not begun when it ended goes to another worker and is
    /// not executed again.
    pub fn tasks_retried(&self) -> u64 {
        self.tasks_retried
    }

    /// Returns how long tasks have waited: from when they were handed to the pool to when a worker began them.
    ///
    /// A call by itself is handed over when it is submitted. The tasks of a map are when the map has read and encoded them; it reads
    /// ahead only as far as workers are about to need, so the time before is not the pool's. An execution that is not the first waits from when the task
    /// waits for a worker again. Tasks of a few microseconds may have waited up to 50 µs longer than it says: a worker reads its clock
    /// no more often. On a cluster, a task that another machine runs has waited until it left this one.
    pub fn waiting(&self) -> &Histogram {
        &self.waiting
    }

    /// Returns how long executions of tasks took: to decode the arguments, to run the function and to encode the output.
    ///
    /// A worker clocks each task by itself, but for those of less than about 6 µs that follow one another: each of these counts with the
    /// average of some 50 µs of them. A longer task among them is counted in that average, and the next are clocked one by one. On a
    /// cluster, a task that another machine runs counts with the average that the machine reports, or 0 where it reports none.
    ///
    /// # Worker death
    ///
    /// An execution that ends with its worker (a crash, a limit, an abort) counts with the time until then. Where there is no memory to
    /// share, that time is from when the parent has read that the task began, which may be later.
    pub fn running(&self) -> &Histogram {
        &self.running
    }

    /// Returns the bytes of the encoded arguments of all executions that have ended, with 4 bytes for each.
    ///
    /// They count when the execution has ended, however the arguments came to the worker. Memory that is shared and not sent (a
    /// [`SharedSlice`](crate::SharedSlice), a [`shared`](crate::shared) value) counts in nothing. Of a task whose call ended before, nothing may be counted.
    pub fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    /// Returns the bytes of all results that workers have sent, encoded outputs and errors, with 4 bytes or a little more for each.
    ///
    /// A result with what was measured of its task (for a job log, a timeline or a progress bar) has 40 bytes more. An output in shared
    /// memory ([`SharedSlice`](crate::SharedSlice)) counts with its name alone.
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received
    }
}

/// Workers, since the pool was made. Those of other machines count there.
impl Stats {
    /// Returns the number of worker processes started so far.
    pub fn workers_started(&self) -> u64 {
        self.workers_started
    }

    /// Returns how often the system did not start a worker process: it refused memory, a process or a descriptor.
    pub fn starts_refused(&self) -> u64 {
        self.starts_refused
    }

    /// Returns the number of worker processes that died by themselves, from outside, or of a limit of their task: the sum of
    /// [`deaths`](Self::deaths).
    pub fn workers_lost(&self) -> u64 {
        self.deaths.total()
    }

    /// Returns how workers have died, by cause.
    pub fn deaths(&self) -> &Deaths {
        &self.deaths
    }

    /// Returns the number of workers that ended as they had served long enough:
    /// [`max_tasks_per_worker`](crate::Builder::max_tasks_per_worker), [`max_memory_per_worker`](crate::Builder::max_memory_per_worker),
    /// [`max_age_per_worker`](crate::Builder::max_age_per_worker). That is no death.
    pub fn workers_retired(&self) -> u64 {
        self.workers_retired
    }

    /// Returns the number of workers that ended as they had nothing to do for the
    /// [`idle_timeout`](crate::Builder::idle_timeout). That is no death.
    pub fn workers_idle_stopped(&self) -> u64 {
        self.workers_idle_stopped
    }

    /// Returns the number of workers that ended as [`resize`](Pool::resize) has made the pool smaller. That is no death.
    pub fn workers_surplus(&self) -> u64 {
        self.workers_surplus
    }

    /// Returns the number of workers that the pool ended for a task which was aborted, or whose call ended before it. That is no death.
    pub fn workers_aborted(&self) -> u64 {
        self.workers_aborted
    }
}
