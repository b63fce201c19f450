//! The end of a pool: now, or once all is done.

use std::thread::JoinHandle;
use std::time::Instant;

use super::handle::Pool;
use super::pending::LOOK_INTERVAL;
use super::scheduler::{CallRules, Consumer, OnCancel, POOL, Scheduler};
use super::state::{Phase, PoolShared, PoolState};
use super::turn::Wakes;
use super::worker_slot::Life;
use crate::child::Cause;
use crate::error::{Error, Kind, Result};
use crate::foreign;
use crate::trace;

impl Pool {
    /// Refuses further calls, which fail with [`Error::is_closed`](crate::Error::is_closed).
    ///
    /// Open calls run on; [`join`](Self::join) waits for them.
    pub fn close(&self) {
        if let Some(inner) = self.lock_here()
            && let Some(shared) = &inner.shared
        {
            shared.lock().refuses_calls = true;
        }
    }

    /// Closes the pool, waits for all calls and their callbacks, and ends the workers.
    ///
    /// No process is left. Calling it again does nothing. There is no time limit: a task that never ends blocks it.
    ///
    /// In a callback ([`TaskHandle::on_done`](crate::TaskHandle::on_done)) it waits for the calls, but not for the callbacks that come
    /// after this one.
    ///
    /// If other threads are waiting for maps, those maps run to completion. A lazy map ([`pool_iter!`](crate::pool_iter)) may belong to
    /// the thread that joins. `join` waits for its begun tasks, and a later pull fails with
    /// [`Error::is_closed`](crate::Error::is_closed).
    ///
    /// # Errors
    ///
    /// This process is a fork of the process that made the pool ([`Error::is_forked`](crate::Error::is_forked)).
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, worker};
    ///
    /// #[worker]
    /// fn square(x: u64) -> u64 {
    ///     x * x
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(2).build()?;
    /// let three = pool.submit(square { x: 3 })?;
    /// pool.close();
    /// assert!(pool.submit(square { x: 4 }).unwrap_err().is_closed());
    /// pool.join()?;
    /// assert!(three.is_finished());
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn join(&self) -> Result<()> {
        self.close();
        let shared = {
            let inner = self.lock_here().ok_or_else(|| Error::new(Kind::Forked(POOL)))?;
            inner.shared.clone().filter(|shared| inner.supervisor.is_some() || shared.is_in_process())
        };
        if let Some(shared) = shared.as_ref().filter(|shared| shared.is_in_process()) {
            shared.join_in_process();
        } else if let Some(shared) = shared {
            shared.finish_calls();
            shared.wait_for_callbacks();
            let mut state = shared.lock();
            if state.phase == Phase::Running {
                state.enter(Phase::Finishing);
            }
            drop(state);
            shared.wait(|state| (state.phase == Phase::Closed).then_some(()));
        }
        self.shut_down();
        Ok(())
    }

    /// Ends the pool now, as dropping it does. No process is left.
    ///
    /// OnCancel tasks are killed, and open calls fail with [`Error::is_closed`](crate::Error::is_closed). That usually takes
    /// milliseconds, and at most 5 seconds, plus at most 5 seconds for callbacks that still run.
    pub fn terminate(&self) {
        self.shut_down();
    }

    /// Ends the pool: calls that are open fail, and no process is left.
    pub(super) fn shut_down(&self) {
        // In a process that was forked from the pool's there are no such threads, and the workers are not its own.
        let Some((shared, supervisor)) =
            self.lock_here().map(|mut inner| (inner.shared.take(), inner.supervisor.take()))
        else {
            return;
        };
        let Some(shared) = shared else {
            return;
        };
        if shared.is_in_process() {
            shared.end_in_process();
            return shared.end_streams();
        }
        if let Some(supervisor) = supervisor {
            let mut state = shared.lock();
            if state.phase != Phase::Closed {
                state.enter(Phase::Closing);
            }
            drop(state);
            // A subscriber of the program's, which runs on that thread, may be what ends the pool.
            if supervisor.thread().id() != std::thread::current().id() {
                end_of(supervisor);
                shared.leave_unended();
                // What finalizers log is there when the pool has ended.
                trace::settle();
            }
            shared.end_submissions();
        }
        // A stream may wait for its input before the pool has any worker.
        shared.end_streams();
    }
}

/// Waits for the end of a thread of the pool's. If it panicked, what it says on its end has been done all the same.
pub(super) fn end_of(thread: JoinHandle<()>) {
    if let Err(payload) = thread.join() {
        foreign::dispose_payload(payload);
    }
}

impl PoolShared {
    /// Waits until the calls that are open are done, and takes their results meanwhile.
    fn finish_calls(&self) {
        let mut state = self.lock();
        if state.phase != Phase::Running {
            return;
        }
        // Another join does not wait for this one.
        let call = self.open_in(&mut state, CallRules { pace: Consumer::Pulled, ..CallRules::default() });
        drop(state);
        // It has no tasks: it fails with the pool, or the others come to rest.
        let is_at_rest = |scheduler: &Scheduler| scheduler.is_at_rest(call);
        if self.is_in_callback() {
            while self.step_until(call, (false, None), Some(Instant::now() + LOOK_INTERVAL), is_at_rest).is_ok() {
                self.look_after_submissions();
                if is_at_rest(&self.lock().scheduler) {
                    break;
                }
            }
        } else {
            let _ = self.step_until(call, (false, None), None, is_at_rest);
        }
        self.close(call, OnCancel::Finish);
    }
}

impl PoolState {
    /// Begins the next part of the pool's life, which is the supervisor's to carry out.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.turn.concerns(Wakes::SUPERVISOR);
    }

    /// Asks idle workers to exit.
    pub(super) fn finish_workers(&mut self) {
        for slot in 0..self.slots.len() {
            let is_ready = |life: &Life| matches!(life, Life::Ready);
            if self.scheduler.is_hooked(slot) || self.scheduler.is_busy(slot) {
                continue;
            }
            match &self.slots[slot].worker {
                Some(worker) if is_ready(&worker.life) => self.finalize_or_exit(slot),
                Some(worker) if matches!(worker.life, Life::Starting { .. }) => {
                    self.begin_ending(slot, Cause::PoolClosed);
                }
                _ => {}
            }
        }
    }

    /// Has an idle worker run the finalizer, if there is one, and end.
    fn finalize_or_exit(&mut self, slot: usize) {
        if !self.finalize(slot) {
            self.ask_to_exit(slot, Cause::PoolClosed);
        }
    }

    /// Whether the supervisor takes what a worker gives, because no caller does.
    pub(super) fn is_polled_by_supervisor(&self, slot: usize) -> bool {
        let is_beyond = slot >= self.size;
        let is_alone = self.scheduler.is_hooked(slot) || self.scheduler.is_in_lone_recall(slot);
        is_alone || ((self.phase == Phase::Finishing || is_beyond) && self.scheduler.is_busy(slot))
    }
}
