//! One call that was submitted, and the handle to its output.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::captured;
use super::results::ResultDecoder;
use crate::error::{CodecError, Error, Kind, Result, TaskError, TaskErrorKind};
use crate::foreign;
use crate::functions::{EncodedCall, MEASURED, WorkerFn, new_direct};
use crate::pool::{Outcome, Pool, PoolShared, SubmissionRules, Submitted, single_chunk};
use crate::recording::CallRecorder;
use crate::replay::FailedTasks;
use crate::task::{Captured, Output, TaskRules, WorkerInfo};
use crate::trace::CallLog;
use crate::transport::CompletedTasks;
use crate::wire::OVERHEAD_BYTES;

impl Pool {
    /// Submits one call to a worker, and returns a handle without waiting. The task's index is 0.
    ///
    /// Submitted calls of one priority begin in the order of submission, each as soon as a worker is free. Memory alone limits the number
    /// of waiting calls, unless [`Builder::max_waiting`](crate::Builder::max_waiting) is set. A submitted call costs some microseconds; for many calls of one function a map is faster.
    ///
    /// The call has no time limit, and runs at most once. [`Pool::call`] sets limits, further executions, or a priority.
    ///
    /// # Errors
    ///
    /// An argument does not encode ([`TaskErrorKind::Encode`]); the pool was closed; no worker could be started; as many calls wait as
    /// may ([`Error::is_full`]).
    ///
    /// # Worker death
    ///
    /// If the worker dies in the call, the call's error is [`Crashed`](TaskErrorKind::Crashed), and the pool replaces the worker.
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
    /// let (three, four) = (pool.submit(square { x: 3 })?, pool.submit(square { x: 4 })?);
    /// assert_eq!(three.join()? + four.join()?, 25);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn submit<F: WorkerFn>(&self, call: F) -> Result<TaskHandle<F::Output>> {
        self.submit_with(call, None, SubmissionRules::default(), None)
    }

    /// Submits a call for which these rules hold, if there are some.
    pub(super) fn submit_with<F: WorkerFn>(
        &self,
        call: F,
        rules: Option<TaskRules>,
        submission: SubmissionRules,
        save: Option<Arc<FailedTasks>>,
    ) -> Result<TaskHandle<F::Output>> {
        let shared = self.unstarted_shared()?;
        let recorder = submission.recorder.clone();
        let log = CallLog::of_single(F::__registration().path());
        let submitted = shared.submit(submission, |index| {
            // A call that cannot be encoded starts no worker.
            let encoded = encode(&shared, &call)?;
            let bytes = encoded.task.len();
            let chunk = single_chunk(shared.arena(), encoded, index)
                .map_err(|error| not_encoded::<F>(CodecError::no_memory(bytes, &error)))?;
            self.shared()?;
            // Behind the output stands what was measured.
            let (direct, flags) =
                if recorder.is_some() { (None, MEASURED) } else { (new_direct::<F>(shared.output()), 0) };
            Ok(chunk.direct(direct).ruled(rules).flagged(flags).saving(save).logged(log))
        })?;
        Ok(TaskHandle { shared, submitted, decode: decode::<F>, on_drop: OnDrop::Cancel, recorder })
    }
}

/// Encodes a single call for a pool, whose workers need not be started.
pub(super) fn encode<F: WorkerFn>(shared: &PoolShared, call: &F) -> Result<EncodedCall> {
    EncodedCall::new(call, shared.frame_bytes_max() - OVERHEAD_BYTES).map_err(not_encoded::<F>)
}

/// The error of a single call whose arguments cannot be sent.
pub(super) fn not_encoded<F: WorkerFn>(error: CodecError) -> Error {
    TaskError::new(0, F::__registration().path(), 0, None, TaskErrorKind::Encode(error)).into()
}

/// Refers to a submitted call ([`Pool::submit`]), and returns its output.
///
/// A handle is also a [`Future`]. It needs no runtime: the pool's own thread wakes it. It is `Send` for every output type, because
/// the thread that takes the output decodes it.
///
/// Dropping the handle cancels the call if no worker has begun it. A running call continues, and its output is dropped;
/// [`abort_on_drop`](Self::abort_on_drop) ends it instead.
///
/// In a fork of the process every method that returns the output returns an error at once ([`Error::is_forked`]), and a drop cancels
/// nothing.
///
/// # Worker death
///
/// If the worker dies in the call, the call's error is [`Crashed`](TaskErrorKind::Crashed), and the pool replaces the worker. If the
/// pool is shut down first, the call fails with [`Error::is_closed`].
///
/// # Examples
///
/// Without a runtime:
///
/// ```
/// use std::future::Future;
/// use std::pin::pin;
/// use std::sync::Arc;
/// use std::task::{Context, Poll, Wake, Waker};
/// use std::thread::Thread;
///
/// use poolmap::{Pool, worker};
///
/// struct Unpark(Thread);
///
/// impl Wake for Unpark {
///     fn wake(self: Arc<Self>) {
///         self.0.unpark();
///     }
/// }
///
/// fn block_on<T>(future: impl Future<Output = T>) -> T {
///     let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
///     let mut future = pin!(future);
///     loop {
///         match future.as_mut().poll(&mut Context::from_waker(&waker)) {
///             Poll::Ready(output) => return output,
///             Poll::Pending => std::thread::park(),
///         }
///     }
/// }
///
/// #[worker]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// poolmap::init();
/// let pool = Pool::builder().workers(1).build()?;
/// let sum = block_on(async { Ok::<_, poolmap::Error>(pool.submit(square { x: 3 })?.await? + 1) })?;
/// assert_eq!(sum, 10);
/// # Ok::<(), poolmap::Error>(())
/// ```
#[must_use = "a handle that is dropped cancels its call, if that has not begun"]
pub struct TaskHandle<T> {
    shared: Arc<PoolShared>,
    submitted: Arc<Submitted>,
    decode: fn(&PoolShared, Outcome) -> Result<Captured<T>>,
    on_drop: OnDrop,
    /// Its files are whole once it is dropped.
    recorder: Option<CallRecorder>,
}

/// What becomes of the call when its handle is dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnDrop {
    /// It is cancelled, if no worker has begun it.
    Cancel,
    Abort,
    /// It goes on.
    Leave,
}

impl<T> TaskHandle<T> {
    /// Waits for the output and returns it.
    ///
    /// # Errors
    ///
    /// The task failed ([`Error::task`]); no worker could be started; the pool was shut down before the call ended; the output was
    /// already taken ([`join_timeout`](Self::join_timeout)).
    pub fn join(self) -> Result<T> {
        self.shared.check_process()?;
        self.shared.wait_for_submitted(&self.submitted, None);
        self.take().unwrap_or_else(|| Err(Error::new(Kind::Taken)))
    }

    /// Waits for the outcome, and returns it with the call's printed output.
    ///
    /// The pool must capture output ([`Output::Captured`]).
    ///
    /// # Errors
    ///
    /// The pool captures nothing ([`Error::is_invalid_option`]); the errors of [`join`](Self::join), except a failure of the task,
    /// which is the `Err` in [`Captured::outcome`].
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Output, Pool, worker};
    ///
    /// #[worker]
    /// fn greet(name: &str) -> usize {
    ///     println!("hello, {name}");
    ///     name.len()
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(1).output(Output::Captured).build()?;
    /// let greeted = pool.submit(greet { name: "you".into() })?.join_captured()?;
    /// assert_eq!((greeted.outcome?, &*greeted.stdout), (3, "hello, you\n"));
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn join_captured(self) -> Result<Captured<T>> {
        self.shared.check_process()?;
        captured::check(self.shared.output(), "or wait with join()")?;
        self.shared.wait_for_submitted(&self.submitted, None);
        let outcome = self.submitted.take().ok_or_else(|| Error::new(Kind::Taken))?;
        (self.decode)(&self.shared, outcome)
    }

    /// Waits up to `time` for the output. Returns `None` if the call is still running; the handle stays valid.
    ///
    /// # Errors
    ///
    /// The errors of [`join`](Self::join).
    pub fn join_timeout(&mut self, time: Duration) -> Result<Option<T>> {
        self.shared.check_process()?;
        // A time behind the end of the clock never comes.
        let until = Instant::now().checked_add(time);
        if !self.shared.wait_for_submitted(&self.submitted, until) {
            return Ok(None);
        }
        self.take().unwrap_or_else(|| Err(Error::new(Kind::Taken))).map(Some)
    }

    /// Returns whether the call has ended, with or without success. In a fork of the process: whether it had ended at the fork.
    pub fn is_finished(&self) -> bool {
        self.submitted.is_finished()
    }

    /// Returns the worker that runs the call. `None`: the call waits, or has ended.
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
    /// let pool = Pool::builder().workers(1).build()?;
    /// let (running, waiting) = (pool.submit(hang {})?, pool.submit(hang {})?);
    /// let worker = loop {
    ///     if let Some(worker) = running.worker() {
    ///         break worker;
    ///     }
    ///     std::thread::yield_now();
    /// };
    /// assert_eq!(worker.pid(), pool.workers()[0].pid());
    /// assert!(waiting.worker().is_none());
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn worker(&self) -> Option<WorkerInfo> {
        if self.is_here() { self.shared.worker_of(&self.submitted) } else { None }
    }

    /// Cancels the call if no worker has begun it. Returns whether it was cancelled.
    ///
    /// The error of a cancelled call is [`Cancelled`](TaskErrorKind::Cancelled). A running call continues. A call that waits for another
    /// execution is cancelled.
    pub fn cancel(&self) -> bool {
        self.is_here() && self.shared.cancel(&self.submitted)
    }

    /// Ends the call, also if it runs: its worker is killed, and the pool replaces it. Returns whether the call was ended by this.
    ///
    /// The error of the call is [`Cancelled`](TaskErrorKind::Cancelled) then, and the call is not executed again. Its process may run for
    /// some milliseconds more. A call that waits costs no worker. A call that has ended keeps its outcome, and the result is `false`.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, TaskErrorKind, worker};
    ///
    /// #[worker]
    /// fn hang() {
    ///     loop {
    ///         std::thread::park();
    ///     }
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(1).build()?;
    /// let handle = pool.submit(hang {})?;
    /// assert!(handle.abort());
    /// let error = handle.join().unwrap_err();
    /// assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Cancelled));
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn abort(&self) -> bool {
        self.is_here() && self.shared.abort(&self.submitted)
    }

    /// Lets the drop of the handle end the call, as [`abort`](Self::abort) does.
    ///
    /// Use it where a future is given up: in a timeout, or for a client that has left. Without it, a dropped handle leaves a running call
    /// to run on, and a call that hangs keeps its worker.
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
    /// #[worker]
    /// fn double(x: u64) -> u64 {
    ///     2 * x
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(1).build()?;
    /// drop(pool.submit(hang {})?.abort_on_drop());
    /// assert_eq!(pool.apply(double { x: 4 })?, 8);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn abort_on_drop(mut self) -> Self {
        self.on_drop = OnDrop::Abort;
        self
    }

    /// Calls `callback` with the result, once there is one.
    ///
    /// Callbacks run one at a time on the pool's callback thread, or on the calling thread if the pool has ended. `on_done` consumes
    /// the handle without cancelling the call. The callback may submit further calls. Keep it short, because other callbacks wait for
    /// it. A pool that is dropped waits up to 5 seconds for the callbacks, running and queued.
    ///
    /// If the output was taken before, the callback is called at once, with that error ([`Error::is_taken`]).
    ///
    /// A panic in the callback, or in the drop of a value that it owns, is reported by the panic hook and otherwise ignored. The same
    /// holds for the wakers that polled the handle.
    ///
    /// In a fork of the process the callback runs at once, with an error ([`Error::is_forked`]). If the callback itself forks, the
    /// copy of the process ends when the callback returns.
    pub fn on_done(mut self, callback: impl FnOnce(Result<T>) + Send + 'static)
    where
        T: 'static,
    {
        if let Err(error) = self.shared.check_process() {
            return foreign::run_quietly(|| callback(Err(error)));
        }
        if self.submitted.is_taken() {
            return foreign::run_quietly(|| callback(Err(Error::new(Kind::Taken))));
        }
        self.on_drop = OnDrop::Leave;
        let (decode, shared) = (self.decode, Arc::downgrade(&self.shared));
        let callback = move |outcome| {
            if let Some(shared) = shared.upgrade() {
                callback(decode(&shared, outcome).and_then(Captured::into_output));
            }
        };
        self.shared.call_back(&self.submitted, Box::new(callback));
    }

    fn take(&self) -> Option<Result<T>> {
        let outcome = self.submitted.take()?;
        Some((self.decode)(&self.shared, outcome).and_then(Captured::into_output))
    }

    /// Lets `wait` wait for a wake-up: in a callback, which keeps the pool's thread from its work, only for a while, after that work
    /// was done.
    pub(super) fn park_or_pump<R>(&self, wait: impl FnOnce(Option<Duration>) -> R) -> R {
        wait(if self.is_here() { self.shared.pump() } else { None })
    }

    pub(super) fn submitted(&self) -> &Submitted {
        &self.submitted
    }

    /// Whether this process has made the call, and not one that it was forked from.
    pub(super) fn is_here(&self) -> bool {
        self.shared.is_here()
    }
}

impl<T> Future for TaskHandle<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        if let Err(error) = self.shared.check_process() {
            return Poll::Ready(Err(error));
        }
        if self.submitted.wake_when_finished(context.waker()) {
            return Poll::Pending;
        }
        Poll::Ready(self.take().unwrap_or_else(|| Err(Error::new(Kind::Taken))))
    }
}

impl<T> Drop for TaskHandle<T> {
    fn drop(&mut self) {
        if !self.is_here() {
            // One more reference that is never dropped keeps the parent's state from being released here.
            let recorder = self.recorder.take();
            std::mem::forget((Arc::clone(&self.shared), Arc::clone(&self.submitted), recorder));
            return;
        }
        match self.on_drop {
            OnDrop::Cancel => drop(self.shared.cancel(&self.submitted)),
            OnDrop::Abort => drop(self.shared.abort(&self.submitted)),
            OnDrop::Leave => {}
        }
    }
}

impl<T> fmt::Debug for TaskHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle").field("is_finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// The output of the one task, or why there is none, and what it has printed.
fn decode<F: WorkerFn>(shared: &PoolShared, outcome: Outcome) -> Result<Captured<F::Output>> {
    let done = outcome?;
    Ok(decode_captured::<F>(Some(shared), shared.output(), done.into_first()))
}

/// The output of a task that has its outcome.
pub(super) fn decode_done<F: WorkerFn>(
    shared: Option<&PoolShared>,
    output: Output,
    done: CompletedTasks,
) -> std::result::Result<F::Output, TaskError> {
    decode_captured::<F>(shared, output, done).outcome
}

/// The same with what it has printed. A worker whose results make no sense is taken out of service, where there is the pool.
fn decode_captured<F: WorkerFn>(
    shared: Option<&PoolShared>,
    output: Output,
    done: CompletedTasks,
) -> Captured<F::Output> {
    let mut replies = ResultDecoder::new(done, output);
    let ((_, outcome), _) = replies.next::<F>().expect("one task has one outcome");
    if let Some(shared) = shared
        && let Some((worker, what)) = replies.fault()
    {
        shared.quarantine(worker, what);
    }
    Captured::new(outcome, replies.take_printed())
}
