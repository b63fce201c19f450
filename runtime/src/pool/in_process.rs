//! A pool in process: it has no workers, and whoever waits for a call runs its tasks.
//!
//! 1. A call's tasks wait in the scheduler as they do for workers, and their results come back by it. The thread of the call takes
//!    one, runs it without a lock, and takes the next. So several threads that map at once run several tasks.
//! 2. A deadline is looked at before each task. Nothing ends a task that runs.
//! 3. The initializer is run once, by the thread that needs it first. If it fails, that is the failure of that call, and the next call
//!    runs it again. Tasks that the initializer runs itself do not wait for it. Whoever waits for it looks at its own deadline, and at the
//!    end of the pool.
//! 4. The end of the pool fails the open calls. Only [`join`](super::Pool::join) waits for what other threads run: for tasks, and for
//!    submitted calls, which may wait for their next execution. It fails the calls that nobody waits for, and then runs the
//!    finalizer: no other task begins before it ends, or later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counters::OwnExecution;
use super::driver::Step;
use super::lifecycle_results::initializer_failure;
use super::own_tasks::InitializerState;
use super::rules::{LifecycleCall, SubmissionRules};
use super::scheduler::{CallFailure, CallId, CallRules};
use super::single_task::single_chunk;
use super::state::{Phase, PoolShared, PoolState};
use super::submitted::Submitted;
use super::turn::Wakes;
use crate::error::{Error, Kind, Result, StartFailure, TaskErrorKind};
use crate::functions;
use crate::in_process::{self, InProcess};
use crate::sys;
use crate::task::Limits;
use crate::transport::{Chunk, CompletedTasks, Outcomes};
use crate::wire::OVERHEAD_BYTES;

impl PoolShared {
    /// Whether it has no processes.
    pub(crate) fn is_in_process(&self) -> bool {
        self.settings.in_process.is_some()
    }

    /// Opens a call, if its tasks need no process and stand not too deep in others.
    pub(super) fn open_in_process(&self, reason: InProcess, rules: CallRules) -> Result<CallId> {
        check_limits(reason, rules.limits)?;
        in_process::check_depth()?;
        let mut state = self.lock();
        if state.is_closed() {
            return Err(Error::new(Kind::Closed));
        }
        Ok(self.open_in(&mut state, rules))
    }

    /// Runs the next task of a call, unless there is something else that the call can do, or the moment has come.
    pub(super) fn step_in_process(
        &self,
        call: CallId,
        (read, left): (bool, Option<usize>),
        until: Option<Instant>,
    ) -> std::result::Result<Step, CallFailure> {
        loop {
            let mut state = self.lock();
            let step = state.step(call, read, left);
            let time_left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if !matches!(&step, Ok(step) if step.is_empty()) || time_left.is_some_and(|left| left.is_zero()) {
                return step;
            }
            if !state.scheduler.has_waiting(call) {
                // A task waits until it is executed again.
                drop(state.wait(time_left));
                continue;
            }
            drop(state);
            if !self.initialize(until)? {
                continue;
            }
            let next = self.lock().take_own(call);
            // Without one, the end of the pool has failed the call meanwhile.
            if let Some(chunk) = next {
                self.run_of_call(call, chunk)?;
            }
        }
    }

    /// Runs a task of a call.
    fn run_of_call(&self, call: CallId, chunk: Chunk) -> std::result::Result<(), CallFailure> {
        let run = || in_process::run(&chunk, &self.states, self.result_bytes_max());
        let ((done, memory), execution) = OwnExecution::of(&chunk, run);
        if !self.is_here() {
            // The task has forked, and this is the copy: what the chunk holds is the parent's.
            std::mem::forget((done, memory, chunk));
            return Err(CallFailure::Forked);
        }
        let mut state = self.lock();
        state.own.end_task();
        state.turn.concerns(Wakes::WAITERS);
        state.counters.ended_here(&done, execution);
        state.scheduler.finish_own(call, done);
        let mut kept = state.own.kept.remove(&call).unwrap_or_default();
        drop(state);
        kept.keep_values(memory, chunk.grants());
        if !kept.is_empty() {
            self.lock().own.kept.insert(call, kept);
        }
        Ok(())
    }

    /// Runs a task that is of no call.
    fn run_alone(&self, chunk: Chunk) -> std::result::Result<(CompletedTasks, OwnExecution), CallFailure> {
        self.lock().own.begin_task();
        let run = || in_process::run(&chunk, &self.states, self.result_bytes_max());
        let ((done, memory), execution) = OwnExecution::of(&chunk, run);
        if !self.is_here() {
            std::mem::forget((done, memory, chunk));
            return Err(CallFailure::Forked);
        }
        drop((memory, chunk));
        let mut state = self.lock();
        state.own.end_task();
        state.turn.concerns(Wakes::WAITERS);
        Ok((done, execution))
    }

    /// Runs a submitted task once, which counts.
    fn run_submitted(&self, chunk: Chunk) -> std::result::Result<CompletedTasks, CallFailure> {
        let attempt = chunk.attempt();
        let (done, execution) = self.run_alone(chunk)?;
        let mut state = self.lock();
        state.counters.ended_here(&done, execution);
        state.scheduler.count_own(&done, attempt);
        Ok(done)
    }

    /// Runs a submitted task, and runs it again as its rules say. A deadline is looked at before each execution.
    fn run_until_done(
        &self,
        mut chunk: Chunk,
        rules: &SubmissionRules,
        until: Option<(Instant, Duration)>,
    ) -> std::result::Result<CompletedTasks, CallFailure> {
        let moment = until.map(|(until, _)| until);
        let late = |chunk: &Chunk, limit| {
            let error = TaskErrorKind::TimedOut { limit };
            chunk.not_begun(error.clone()).of_deadline(&error)
        };
        let is_late = || moment.is_some_and(|until| until <= Instant::now());
        while !self.initialize(moment)? && !is_late() {}
        let record = |mut done: CompletedTasks| {
            rules.recorder.iter().for_each(|recorder| recorder.record(&mut done));
            done
        };
        if let Some((_, limit)) = until.filter(|_| is_late()) {
            return Ok(record(late(&chunk, limit)));
        }
        let Some(retry) = &rules.retry else {
            return self.run_submitted(chunk).map(record);
        };
        loop {
            let done = self.run_submitted(chunk.clone()).map(record)?;
            let Some((wait, again)) = self.next_execution(retry, &chunk, &done) else {
                return Ok(done);
            };
            if let Some((until, limit)) = until
                && until.saturating_duration_since(Instant::now()) < wait
            {
                self.wait_for_execution(Some(until))?;
                return Ok(record(late(&again, limit)));
            }
            self.wait_for_execution(Instant::now().checked_add(wait))?;
            chunk = again.handed(sys::monotonic_nanos());
        }
    }

    /// Waits until a moment, which may be behind the end of the clock.
    ///
    /// # Errors
    ///
    /// The pool has ended, or is that of another process: a condition for further executions is the program's code.
    fn wait_for_execution(&self, until: Option<Instant>) -> std::result::Result<(), CallFailure> {
        if !self.is_here() {
            return Err(CallFailure::Forked);
        }
        let mut state = self.lock();
        loop {
            if state.phase == Phase::Closed {
                return Err(CallFailure::PoolClosed);
            }
            let time_left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if time_left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
            state = state.wait(time_left);
        }
    }

    fn result_bytes_max(&self) -> usize {
        self.frame_bytes_max() - OVERHEAD_BYTES
    }

    /// Submits a task, which is run at once.
    pub(super) fn submit_in_process(
        &self,
        reason: InProcess,
        rules: &SubmissionRules,
        chunk: impl FnOnce(u64) -> Result<Chunk>,
    ) -> Result<Arc<Submitted>> {
        let until = rules.deadline.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
        let index = {
            let mut state = self.submissions.lock();
            state.next_index += 1;
            state.next_index
        };
        in_process::check_depth()?;
        let chunk = chunk(index as u64)?.handed(sys::monotonic_nanos());
        check_limits(reason, chunk.rules().map_or_else(Limits::default, |rules| rules.limits))?;
        let _inside = self.enter_in_process()?;
        let outcome = self.run_until_done(chunk, rules, until);
        self.check_process()?;
        let submitted = Submitted::new(index);
        submitted.finish(outcome);
        Ok(Arc::new(submitted))
    }

    /// Counts this thread as one that is in a call of an open pool.
    fn enter_in_process(&self) -> Result<Inside<'_>> {
        let mut state = self.lock();
        if state.is_closed() {
            return Err(Error::new(Kind::Closed));
        }
        state.own.enter();
        Ok(Inside(self))
    }

    /// Returns whether the initializer has been run. If it was not, this thread runs it, or waits until another thread has run it,
    /// the pool's state has changed or the moment has come: the caller looks again.
    fn initialize(&self, until: Option<Instant>) -> std::result::Result<bool, CallFailure> {
        let LifecycleCall { call: Some(call), .. } = &self.settings.initializer else {
            return Ok(true);
        };
        let this = std::thread::current().id();
        let mut state = self.lock();
        match state.own.initializer {
            InitializerState::Running(thread) if thread == this => return Ok(true),
            _ if state.phase == Phase::Closed => return Err(CallFailure::PoolClosed),
            InitializerState::Done => return Ok(true),
            InitializerState::Running(_) => {
                drop(state.wait(until.map(|until| until.saturating_duration_since(Instant::now()))));
                return Ok(false);
            }
            InitializerState::Due => state.own.initializer = InitializerState::Running(this),
        }
        drop(state);
        let failure = match single_chunk(&self.arena, call.clone(), 0) {
            Ok(chunk) => self.failure_of_initializer(self.run_alone(chunk)?.0),
            Err(error) => Some(format!("there is no memory for the arguments of the initializer: {error}")),
        };
        let mut state = self.lock();
        let is_done = failure.is_none();
        state.own.initializer = if is_done { InitializerState::Done } else { InitializerState::Due };
        state.turn.concerns(Wakes::WAITERS);
        failure.map_or(Ok(false), |message| Err(CallFailure::Start(StartFailure { message })))
    }

    /// Why the initializer has failed, if it has.
    fn failure_of_initializer(&self, done: CompletedTasks) -> Option<String> {
        let kind = match done.outcomes {
            Outcomes::Records(records) => functions::failure(records, self.output()),
            Outcomes::Error(kind) => Some(kind),
        }?;
        let function = self.settings.initializer.call.as_ref().map_or("", |call| call.function.path());
        Some(initializer_failure(0, std::process::id(), function, kind))
    }

    /// Runs the initializer, if it was not run.
    pub(super) fn ready_in_process(&self) -> Result<()> {
        self.check_open()?;
        self.initialize_fully().map_err(Error::from)
    }

    /// Runs the initializer, if it was not run, or waits until another thread has run it.
    fn initialize_fully(&self) -> std::result::Result<(), CallFailure> {
        while !self.initialize(None)? {}
        Ok(())
    }

    /// Waits for what other threads run, and runs the finalizer.
    pub(super) fn join_in_process(&self) {
        let is_first = self.wait(|state| {
            // A task that ends its own pool would wait for itself.
            let is_at_rest =
                state.own.has_this_thread() || (state.own.is_at_rest() && !state.scheduler.has_waited_call());
            is_at_rest.then(|| state.finish_in_process())
        });
        // Another join, or a drop, ends the pool once.
        if !is_first {
            return;
        }
        // Another join waits for the finalizer.
        let _inside = Inside(self);
        let Some(call) = &self.settings.finalizer.call else {
            return;
        };
        if self.initialize_fully().is_ok()
            && let Ok(chunk) = single_chunk(&self.arena, call.clone(), 0)
            && let Ok((done, _)) = self.run_alone(chunk)
        {
            self.finalized.lock().push(done);
        }
    }

    /// Ends the pool: the calls that are open fail.
    pub(super) fn end_in_process(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        state.scheduler.fail_calls(&CallFailure::PoolClosed);
        state.turn.concerns(Wakes::CALLERS);
        drop(state);
        self.states.forget();
    }
}

/// Refuses limits that take a process to be kept.
fn check_limits(reason: InProcess, Limits { timeout, cpu_limit }: Limits) -> Result<()> {
    match (timeout, cpu_limit) {
        (None, None) => Ok(()),
        (Some(_), _) => Err(reason.refuse("timeout")),
        (None, Some(_)) => Err(reason.refuse("cpu_limit")),
    }
}

impl PoolState {
    pub(super) fn start_in_process(&mut self) {
        if self.phase == Phase::Unstarted {
            self.phase = Phase::Running;
        }
    }

    /// Ends the calls that are open, before the finalizer runs, which counts as a task from now on; returns whether it is to run.
    fn finish_in_process(&mut self) -> bool {
        if self.phase != Phase::Running {
            return false;
        }
        self.phase = Phase::Finishing;
        self.scheduler.fail_calls(&CallFailure::PoolClosed);
        self.turn.concerns(Wakes::CALLERS);
        self.own.enter();
        true
    }

    /// Takes the next task of a call, which is to be run.
    fn take_own(&mut self, call: CallId) -> Option<Chunk> {
        if self.scheduler.failure(call).is_some() {
            return None;
        }
        let chunk = self.scheduler.take_next(call)?;
        self.own.begin_task();
        Some(chunk)
    }
}

/// Counts this thread as one that is in a call of the pool, which it was noted as.
struct Inside<'a>(&'a PoolShared);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if !self.0.is_here() {
            return;
        }
        let mut state = self.0.lock();
        state.own.leave();
        state.turn.concerns(Wakes::WAITERS);
    }
}
