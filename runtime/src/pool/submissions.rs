//! Calls that are submitted one by one: what has become of each, and the thread that sees to them while nobody waits.
//!
//! 1. All that are pending are tasks of one call of the scheduler, which is opened for the first and closed with the last.
//! 2. A task is handed to its handle by whoever takes it in: a thread that waits for a handle, or the pool's thread of this
//!    module.
//! 3. That thread drives only while nobody else does: a map's caller is the better driver, and so is who waits for a handle.
//!    While a map is open it only looks now and then; who opens one or begins to wait wakes it.
//! 4. Callbacks run on that thread alone, without a lock.
//! 5. Wakers and callbacks are the program's code, and run under no lock (see `submitted`).
//! 6. The supervisor ends tasks whose time is over, and sends those that are executed again (`submission_times`): no callback holds it
//!    up. An outcome that it makes arrives as the others do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::driver::Step;
use super::locked::Guard;
use super::pending::{LOOK_INTERVAL, PendingState, PendingTask};
use super::rules::SubmissionRules;
use super::scheduler::{CallFailure, CallId, CallRules, OnCancel, Scheduler};
use super::shutdown::end_of;
use super::state::{PoolShared, PoolState};
use super::submitted::{AfterFinish, Callback, Outcome, Submitted};
use super::turn::Wakes;
use super::worker_slot::Life;
use crate::child::Cause;
use crate::error::{Error, Kind, Result, TaskErrorKind};
use crate::foreign;
use crate::functions;
use crate::sys;
use crate::task::WorkerInfo;
use crate::trace;
use crate::transport::Chunk;
use crate::transport::CompletedTasks;

/// A pool that is shut down waits this long for a callback that is running.
const CALLBACK_TIME_MAX: Duration = Duration::from_secs(5);

impl PoolShared {
    /// Submits the task that `chunk` makes with its index.
    pub(crate) fn submit(
        self: &Arc<Self>,
        rules: SubmissionRules,
        chunk: impl FnOnce(u64) -> Result<Chunk>,
    ) -> Result<Arc<Submitted>> {
        if let Some(reason) = self.settings.in_process {
            return self.submit_in_process(reason, &rules, chunk);
        }
        let submissions = &self.submissions;
        let since = Instant::now();
        let index = {
            let mut state = submissions.lock();
            state.next_index += 1;
            state.next_index
        };
        // The arguments are the program's, and may take long to encode.
        let chunk = chunk(index as u64)?;
        let mut state = self.admit(rules.admission)?;
        if state.is_ending {
            return Err(Error::new(Kind::Closed));
        }
        if state.thread.is_none() {
            let thread = spawn(Arc::clone(self))?;
            state.thread_id = Some(thread.thread().id());
            state.thread = Some(thread);
        }
        let call = match state.call {
            Some(call) => {
                self.check_open()?;
                call
            }
            None => {
                let call = self.open(CallRules::default())?;
                submissions.version.fetch_add(1, Ordering::SeqCst);
                state.call = Some(call);
                state.has_changed = true;
                call
            }
        };
        let submitted = Arc::new(Submitted::new(index));
        let is_next = state.add(PendingTask::new(Arc::clone(&submitted), rules, since, &chunk));
        self.push(call, chunk);
        if is_next {
            self.lock().turn.concerns(Wakes::SUPERVISOR);
        }
        Ok(submitted)
    }

    /// Waits until a submitted task is finished, or until a moment; returns whether it is.
    pub(crate) fn wait_for_submitted(self: &Arc<Self>, submitted: &Submitted, until: Option<Instant>) -> bool {
        if submitted.is_finished() {
            return true;
        }
        let _waiting = Waiting::begin(self);
        while !submitted.is_finished() {
            if until.is_some_and(|until| until <= Instant::now()) {
                return false;
            }
            let (call, version) = {
                let state = self.submissions.lock();
                (state.call, self.submissions.version.load(Ordering::SeqCst))
            };
            // A task that is pending has a call; this one was finished meanwhile.
            let Some(call) = call else {
                continue;
            };
            let is_enough =
                |_: &Scheduler| submitted.is_finished() || self.submissions.version.load(Ordering::SeqCst) != version;
            let step = self.step_until(call, (false, None), until, is_enough);
            self.deliver(call, step);
        }
        true
    }

    /// Takes a submitted task back, if no worker has begun it: it is finished then, as cancelled.
    pub(crate) fn cancel(self: &Arc<Self>, submitted: &Submitted) -> bool {
        self.end(submitted, |pool, call, index, _| pool.cancel(call, index, &TaskErrorKind::Cancelled))
    }

    /// Ends a submitted task, unless it is finished: it is finished then, as cancelled, and a worker that runs it is killed.
    pub(crate) fn abort(self: &Arc<Self>, submitted: &Submitted) -> bool {
        if submitted.is_finished() {
            return false;
        }
        // What has its result is finished.
        self.look_after_submissions();
        self.end(submitted, |pool, call, index, sent| pool.abort_or_overtake(call, index, sent))
    }

    /// The worker that runs a submitted task, if one does.
    pub(crate) fn worker_of(&self, submitted: &Submitted) -> Option<WorkerInfo> {
        // Over the socket, what a worker has begun is known once that was read.
        self.look_after_submissions();
        let state = self.submissions.lock();
        let call = state.call.filter(|_| state.contains(submitted.index()))?;
        let pool = self.lock();
        let slot = pool.scheduler.worker_at(call, submitted.index())?;
        let worker = pool.slots[slot].worker.as_ref().filter(|worker| worker.channel.has_begun())?;
        Some(WorkerInfo::new(slot, worker.process.pid(), std::process::id(), pool.scheduler.attempt_at(slot)?))
    }

    fn end(
        &self,
        submitted: &Submitted,
        end: impl FnOnce(&mut PoolState, CallId, usize, Option<Chunk>) -> Option<CompletedTasks>,
    ) -> bool {
        if submitted.is_finished() {
            return false;
        }
        let mut state = self.submissions.lock();
        let index = submitted.index();
        let Some(call) = state.call.filter(|_| state.contains(index)) else {
            return false;
        };
        // A task that waits for its next execution is at no worker.
        let done = match state.take_waiting(index) {
            Some(chunk) => Some(chunk.not_begun(TaskErrorKind::Cancelled)),
            None => {
                let sent = state.get(index).and_then(|task| task.retry.as_ref()).map(|(_, sent)| sent.clone());
                end(&mut self.lock(), call, index, sent)
            }
        };
        let Some(mut done) = done else {
            return false;
        };
        state.record(&mut done);
        let finished = state.remove(index);
        self.finish(state, finished.map(|submitted| (submitted, Ok(done))).into_iter().collect());
        true
    }

    /// Does something with the outcome of a submitted task on the pool's thread, once it is there.
    pub(crate) fn call_back(&self, submitted: &Submitted, callback: Callback) {
        let Some((callback, outcome)) = submitted.call_back(callback) else {
            return;
        };
        let mut state = self.submissions.lock();
        if state.has_ended || self.is_in_process() {
            // The pool has no thread, or that has ended: nobody else is left to run it.
            drop(state);
            run(callback, outcome);
            return;
        }
        state.add_callback(callback, outcome);
    }

    /// Hands tasks that are done to their handles.
    fn deliver(&self, call: CallId, step: std::result::Result<Step, CallFailure>) {
        if step.as_ref().is_ok_and(|step| !step.done.is_empty()) {
            trace::settle();
        }
        let mut state = self.submissions.lock();
        let finished = match step {
            Ok(step) if step.done.is_empty() => return,
            Ok(step) => {
                let mut finished = Vec::new();
                for mut done in step.done {
                    state.record(&mut done);
                    if let Some(done) = self.try_again(&mut state, done)
                        && let Some(submitted) = state.remove(done.first_index)
                    {
                        finished.push((submitted, Ok(done)));
                    }
                }
                finished
            }
            // Another thread has seen it before.
            Err(_) if state.call != Some(call) => return,
            Err(failure) => state.take_all().map(|submitted| (submitted, Err(failure.clone()))).collect(),
        };
        self.finish(state, finished);
    }

    /// Finishes tasks that are pending no more, and closes the call if none is.
    fn finish(&self, mut state: Guard<'_, PendingState>, finished: Vec<(Arc<Submitted>, Outcome)>) {
        let mut wakers = Vec::new();
        for (submitted, outcome) in finished {
            match submitted.finish(outcome) {
                AfterFinish::Nothing => {}
                AfterFinish::Wake(of_task) => wakers.extend(of_task),
                AfterFinish::CallBack(callback, outcome) => state.add_callback(callback, *outcome),
            }
        }
        if state.is_empty()
            && let Some(call) = state.call.take()
        {
            self.submissions.version.fetch_add(1, Ordering::SeqCst);
            self.close(call, OnCancel::Finish);
        }
        drop(state);
        // Another thread that waits for its handle may sleep.
        if self.submissions.waiting.load(Ordering::SeqCst) > 0 {
            self.lock().interrupt();
        }
        wakers.into_iter().for_each(foreign::wake);
    }

    /// Whether this is the thread that runs the callbacks.
    pub(super) fn is_in_callback(&self) -> bool {
        self.submissions.lock().thread_id == Some(std::thread::current().id())
    }

    /// In a callback: hands out what is done, and tells how long to wait before the next time.
    pub(crate) fn pump(&self) -> Option<Duration> {
        self.is_in_callback().then(|| {
            self.look_after_submissions();
            LOOK_INTERVAL
        })
    }

    /// Hands out what is done, without waiting.
    pub(super) fn look_after_submissions(&self) {
        let call = self.submissions.lock().call;
        if let Some(call) = call {
            let step = self.try_step(call, false, None);
            self.deliver(call, step);
        }
    }

    /// Waits until the callbacks so far have run; in one of them, not.
    pub(super) fn wait_for_callbacks(&self) {
        if self.is_in_callback() {
            return;
        }
        let mut state = self.submissions.lock();
        while state.is_calling_back || !state.callbacks.is_empty() {
            state = state.wait(None);
        }
    }

    /// Ends the thread, once the supervisor has ended: what is pending fails, and callbacks run before.
    pub(super) fn end_submissions(&self) {
        let submissions = &self.submissions;
        let mut state = submissions.lock();
        state.is_ending = true;
        let Some(thread) = state.thread.take() else {
            return;
        };
        let failed = state.take_all().map(|submitted| (submitted, Err(CallFailure::PoolClosed))).collect();
        state.has_changed = true;
        self.finish(state, failed);
        self.lock().interrupt();
        // A callback may be what ends the pool.
        if thread.thread().id() == std::thread::current().id() {
            return;
        }
        let until = Instant::now() + CALLBACK_TIME_MAX;
        let mut state = submissions.lock();
        while !state.has_ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = state.wait(Some(left));
        }
        drop(state);
        end_of(thread);
    }

    /// Serves submitted calls until the pool is shut down, on a thread of its own.
    fn attend_submissions(&self) {
        let submissions = &self.submissions;
        let mut state = submissions.lock();
        loop {
            if let Some((callback, outcome)) = state.callbacks.pop_front() {
                state.is_calling_back = true;
                drop(state);
                run(callback, outcome);
                self.leave_copy();
                state = submissions.lock();
                state.is_calling_back = false;
                state.has_changed = true;
                continue;
            }
            if state.is_ending && state.is_empty() {
                state.has_ended = true;
                state.has_changed = true;
                return;
            }
            let Some(call) = state.call.filter(|_| submissions.waiting.load(Ordering::SeqCst) == 0) else {
                state = state.wait(None);
                continue;
            };
            let version = submissions.version.load(Ordering::SeqCst);
            submissions.is_driving.store(true, Ordering::SeqCst);
            drop(state);
            let is_enough = |scheduler: &Scheduler| {
                scheduler.calls_of_threads() > 1
                    || submissions.waiting.load(Ordering::SeqCst) > 0
                    || submissions.version.load(Ordering::SeqCst) != version
            };
            let step = self.step_until(call, (false, None), None, is_enough);
            submissions.is_driving.store(false, Ordering::SeqCst);
            let is_idle = matches!(&step, Ok(step) if step.done.is_empty());
            self.deliver(call, step);
            self.leave_copy();
            state = submissions.lock();
            let others = submissions.waiting.load(Ordering::SeqCst) > 0;
            if is_idle && !others && state.callbacks.is_empty() && state.call == Some(call) {
                // A map is open, and drives.
                drop(state.wait(Some(LOOK_INTERVAL)));
                self.look_after_submissions();
                state = submissions.lock();
            }
        }
    }
}

impl PoolState {
    /// Takes a task of a call from the scheduler that no worker has begun, with this error.
    fn cancel(&mut self, call: CallId, index: usize, error: &TaskErrorKind) -> Option<CompletedTasks> {
        let withdrawn = self.withdraw_task(call, index, error);
        self.dispatch();
        self.interrupt();
        withdrawn
    }

    /// The same for a task that a worker may run: that is killed for it, and replaced.
    pub(super) fn abort(&mut self, call: CallId, index: usize, error: &TaskErrorKind) -> Option<CompletedTasks> {
        let ended = self.withdraw_task(call, index, error).or_else(|| self.abort_at_worker(call, index, error));
        let ended = ended.or_else(|| self.abort_remote(call, index, error));
        // The worker is given nothing more by now: what was taken back goes to others.
        self.dispatch();
        self.interrupt();
        ended
    }

    /// Aborts a submitted task. If `sent` is its last execution, after which it may be executed again, an outcome that no thread has
    /// delivered is overtaken: it may be a failure, and then nothing would keep the task from its next execution.
    fn abort_or_overtake(&mut self, call: CallId, index: usize, sent: Option<Chunk>) -> Option<CompletedTasks> {
        self.abort(call, index, &TaskErrorKind::Cancelled).or_else(|| {
            let sent = sent.filter(|_| self.scheduler.holder_of(call, index).is_none())?;
            Some(CompletedTasks { attempts: sent.attempt(), ..sent.not_begun(TaskErrorKind::Cancelled) })
        })
    }

    fn withdraw_task(&mut self, call: CallId, index: usize, error: &TaskErrorKind) -> Option<CompletedTasks> {
        self.scheduler.withdraw(call, index, error).or_else(|| {
            self.take_back_all(call);
            self.scheduler.withdraw(call, index, error)
        })
    }

    /// Ends a task that a worker holds. None if none does: it has ended by now, and its result is on its way.
    fn abort_at_worker(&mut self, call: CallId, index: usize, error: &TaskErrorKind) -> Option<CompletedTasks> {
        let (holder, _) = self.scheduler.holder_of(call, index)?;
        // What the worker has finished before it claimed the task is known now, and stands before it no more. It may also say that it
        // does not run the task.
        self.exchange(holder);
        if let Some(withdrawn) = self.scheduler.withdraw(call, index, error) {
            return Some(withdrawn);
        }
        let (slot, place) = self.scheduler.holder_of(call, index)?;
        let worker = self.slots[slot].worker.as_ref()?;
        // Another task would end with a worker that is in service.
        let is_out_of_service = matches!(worker.life, Life::Doomed { .. });
        if place > 0 && !is_out_of_service {
            return None;
        }
        let has_begun = place == 0 && worker.channel.has_begun();
        let words = worker.channel.last_words(functions::function_name).filter(|_| has_begun);
        let span = worker.span().filter(|_| has_begun);
        let done = self.scheduler.abort((slot, place), has_begun, error)?;
        // It begins nothing more until it is killed. Where it is out of service, it has another cause.
        self.on_channel(slot, |worker, _| worker.channel.revoke());
        self.begin_ending(slot, Cause::CallEnded);
        Some(CompletedTasks { printed: words.and_then(|words| words.printed), ..done.spanning(span) })
    }

    /// Ends a task that another machine has.
    fn abort_remote(&mut self, call: CallId, index: usize, error: &TaskErrorKind) -> Option<CompletedTasks> {
        let ended = self.scheduler.abort_remote(call, index, error)?;
        self.turn.concerns(Wakes::REMOTE);
        Some(ended)
    }

    /// Lets every thread that waits for something of a call look again: what it waits for has changed outside of this state.
    pub(super) fn interrupt(&mut self) {
        self.turn.concerns(Wakes::CALLERS);
    }
}

fn run(callback: Callback, outcome: Outcome) {
    foreign::run_quietly(|| callback(outcome));
}

fn spawn(shared: Arc<PoolShared>) -> Result<JoinHandle<()>> {
    let spawned =
        std::thread::Builder::new().name("poolmap-done".to_owned()).spawn(move || shared.attend_submissions());
    spawned.map_err(|error| Error::start(sys::start_error("the thread for submitted calls", &error)))
}

/// A thread that waits for a handle, and drives meanwhile.
struct Waiting<'a>(&'a PoolShared);

impl<'a> Waiting<'a> {
    fn begin(shared: &'a PoolShared) -> Self {
        shared.submissions.waiting.fetch_add(1, Ordering::SeqCst);
        if shared.submissions.is_driving() {
            shared.lock().interrupt();
        }
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.submissions.waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
            // The thread takes over; it looks at the count with the lock held.
            self.0.submissions.lock().has_changed = true;
        }
    }
}
