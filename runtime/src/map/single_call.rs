//! One call with options: submitted, or waited for.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::failed_tasks::failed_tasks;
use super::handle::TaskHandle;
use super::options::Options;
use crate::error::Result;
use crate::functions::{Itself, WorkerFn};
use crate::pool::{Admission, Pool, SubmissionRules};
use crate::recording::{CallRecorder, Recorder};
use crate::task::TaskRules;

impl Pool {
    /// Describes one call with options. [`submit`](SingleCall::submit) returns a handle at once, [`apply`](SingleCall::apply) waits for
    /// the output.
    ///
    /// [`Pool::submit`] and [`Pool::apply`] are the short forms without options.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use poolmap::{Pool, TaskErrorKind, worker};
    ///
    /// #[worker]
    /// fn sleep(millis: u64) -> u64 {
    ///     std::thread::sleep(Duration::from_millis(millis));
    ///     millis
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(1).build()?;
    /// let limit = Duration::from_millis(100);
    /// let error = pool.call(sleep { millis: 60_000 }).timeout(limit).apply().unwrap_err();
    /// assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::TimedOut { .. }));
    /// assert_eq!(pool.call(sleep { millis: 1 }).timeout(Duration::from_secs(60)).apply()?, 1);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn call<F: WorkerFn>(&self, call: impl Itself<Type = F>) -> SingleCall<'_, F> {
        SingleCall { pool: self, call: call.itself(), options: Options::default() }
    }
}

/// One call of a worker function on a pool, with options. [`Pool::call`] returns it.
///
/// # Worker death
///
/// If the worker dies in the call, the call is executed again if [`attempts`](Self::attempts) allows it. Otherwise the error is
/// [`Crashed`](crate::TaskErrorKind::Crashed). The pool replaces the worker.
#[must_use = "a call does nothing before it is submitted or applied"]
pub struct SingleCall<'p, F> {
    pool: &'p Pool,
    call: F,
    options: Options,
}

impl<F: WorkerFn> SingleCall<'_, F> {
    /// Sets how long the call may run, from its begin in a worker: more than zero. Default: no limit.
    ///
    /// A call that takes longer fails with [`TimedOut`](crate::TaskErrorKind::TimedOut), and its worker is killed and replaced. The limit
    /// is applied as [`Map::timeout`](crate::Map::timeout) says: never too early, and at most 100 ms late on a machine that is not busy.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.options.limits.timeout = Some(time);
        self
    }

    /// Sets how much processor time the call may take: more than zero. Default: no limit.
    ///
    /// A call that takes more fails with [`CpuLimit`](crate::TaskErrorKind::CpuLimit), and its worker is killed and replaced.
    ///
    /// # Errors
    ///
    /// [`submit`](Self::submit) returns an error where the system does not report the processor time of another process (macOS).
    pub fn cpu_limit(mut self, time: Duration) -> Self {
        self.options.limits.cpu_limit = Some(time);
        self
    }

    /// Sets the time from [`submit`](Self::submit) to the end of the call: more than zero. Default: no limit.
    ///
    /// The time in which the call waits for a worker, and all its executions, count. At the deadline the call fails with
    /// [`TimedOut`](crate::TaskErrorKind::TimedOut), and [`Error::is_deadline`](crate::Error::is_deadline) is `true`. If the call runs,
    /// its worker is killed and replaced. A call that waits costs no worker.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use poolmap::{Pool, worker};
    ///
    /// #[worker]
    /// fn sleep(millis: u64) -> u64 {
    ///     std::thread::sleep(Duration::from_millis(millis));
    ///     millis
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(1).build()?;
    /// let running = pool.submit(sleep { millis: 60_000 })?;
    /// let waiting = pool.call(sleep { millis: 1 }).deadline(Duration::from_millis(100)).submit()?;
    /// assert!(waiting.join().unwrap_err().is_deadline());
    /// running.abort();
    /// assert_eq!(pool.call(sleep { millis: 1 }).deadline(Duration::from_secs(60)).apply()?, 1);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn deadline(mut self, time: Duration) -> Self {
        self.options.deadline = Some(time);
        self
    }

    /// Sets how often the call is executed again after it returned an `Err` or panicked: 1 or more. Default: never.
    ///
    /// The second execution begins 100 ms after the first has failed. The wait doubles with each further failure, up to 30 s. It occupies
    /// no worker, and [`TaskHandle::cancel`] and [`TaskHandle::abort`] end it. After the last execution the error has the causes of all
    /// ([`TaskError::causes`](crate::TaskError::causes)).
    ///
    /// The other options hold for each execution, and the deadline for all together. A worker's death is covered by
    /// [`attempts`](Self::attempts), which counts by itself. The effects of the call before its failure happen more than once.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, current_worker, worker};
    ///
    /// #[worker]
    /// fn fetch(page: u32) -> Result<u32, String> {
    ///     let attempt = current_worker().map_or(1, |worker| worker.attempt());
    ///     if attempt < 2 { Err("busy".into()) } else { Ok(2 * page) }
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(1).build()?;
    /// assert_eq!(pool.call(fetch { page: 4 }).retry_errors(1).apply()?, 8);
    /// assert!(pool.apply(fetch { page: 4 }).is_err());
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn retry_errors(mut self, executions: u32) -> Self {
        self.options.retry.executions = Some(executions);
        self
    }

    /// Sets how often the call is executed if its worker dies: 1 or more. Default: 1.
    ///
    /// A time limit and an error that the function returns are no deaths.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.options.attempts = Some(attempts);
        self
    }

    /// Sets the priority of the call: any `i32`. Default: 0.
    ///
    /// A free worker goes to the waiting call of the highest priority, and among equals to the one that was submitted first. A running
    /// call is not interrupted. [`Map::priority`](crate::Map::priority) is the same for a map.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, worker};
    ///
    /// #[worker]
    /// fn resize(width: u32) -> u32 {
    ///     width / 2
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(1).build()?;
    /// let in_background = pool.call(resize { width: 4000 }).priority(-1).submit()?;
    /// let for_a_client = pool.call(resize { width: 200 }).priority(1).submit()?;
    /// assert_eq!((for_a_client.join()?, in_background.join()?), (100, 2000));
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }

    /// Writes a line for each execution of the call into the file at `path`. Default: none.
    ///
    /// The file is made, or emptied, by [`submit`](Self::submit), and is that of [`Map::job_log`](crate::Map::job_log): the times count from
    /// `submit`, and the index is 0. It is whole once the call has ended and its handle is dropped; [`apply`](Self::apply) returns then.
    /// An execution that ended with its worker, and was followed by another, has no times.
    ///
    /// # Errors
    ///
    /// `submit` returns an error if the file cannot be made, or another call writes it
    /// ([`Error::is_invalid_option`](crate::Error::is_invalid_option)).
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, worker};
    ///
    /// #[worker]
    /// fn double(x: u64) -> u64 {
    ///     2 * x
    /// }
    ///
    /// poolmap::init();
    /// # let path = std::env::temp_dir().join(format!("poolmap-call-{}.csv", std::process::id()));
    /// let pool = Pool::builder().workers(1).build()?;
    /// assert_eq!(pool.call(double { x: 4 }).job_log(&path).apply()?, 8);
    /// assert!(std::fs::read_to_string(&path).unwrap().lines().nth(1).unwrap().contains(",ok,"));
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn job_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.job_log = Some(path.into());
        self
    }

    /// Writes a picture of the call's executions into the file at `path`, as [`Map::timeline`](crate::Map::timeline) does. Default: none.
    ///
    /// The file is made, or emptied, by [`submit`](Self::submit), and written once the call has ended and its handle is dropped. Starts and
    /// deaths of workers, waits, and the call's arguments are not in it.
    ///
    /// # Errors
    ///
    /// `submit` returns an error if the file cannot be made, or another call writes it
    /// ([`Error::is_invalid_option`](crate::Error::is_invalid_option)).
    pub fn timeline(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.timeline = Some(path.into());
        self
    }

    /// Saves the call as a file in the folder at `path` if it fails, after its last execution, to run it once more under a debugger.
    ///
    /// [`Map::save_failed`](crate::Map::save_failed) has the details. The file is written when the outcome is taken from the handle: a call
    /// whose handle is dropped is not saved.
    pub fn save_failed(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.save_failed = Some(path.into());
        self
    }

    /// Submits the call to a worker, and returns a handle without waiting.
    ///
    /// # Errors
    ///
    /// The errors of [`Pool::submit`]; an option is out of its range.
    pub fn submit(self) -> Result<TaskHandle<F::Output>> {
        self.submit_as(Admission::Bounded)
    }

    fn submit_as(self, admission: Admission) -> Result<TaskHandle<F::Output>> {
        let Self { pool, call, options } = self;
        options.check()?;
        let recorder = Recorder::open(options.recorded(), F::__registration(), pool.unstarted_shared()?.output())?;
        let recorder = recorder.map(CallRecorder::new);
        let Options { limits, attempts, priority, deadline, retry, save_failed, .. } = options;
        let rules = TaskRules { limits, attempts: attempts.unwrap_or(1), priority };
        let retry = retry.executions.is_some().then_some(retry);
        let save = match &save_failed {
            Some(folder) => failed_tasks(Some(folder), F::__registration(), &*pool.unstarted_shared()?)?,
            None => None,
        };
        pool.submit_with(call, Some(rules), SubmissionRules { deadline, retry, admission, recorder }, save)
    }

    /// Runs the call in a worker, and returns its output. It waits for a worker, also where `submit` would be refused
    /// ([`Builder::max_waiting`](crate::Builder::max_waiting)).
    ///
    /// # Errors
    ///
    /// The errors of [`TaskHandle::join`]; an option is out of its range.
    pub fn apply(self) -> Result<F::Output> {
        self.submit_as(Admission::Always)?.join()
    }
}

impl<F: WorkerFn> fmt::Debug for SingleCall<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleCall")
            .field("function", &F::__registration().path())
            .field("timeout", &self.options.limits.timeout)
            .field("cpu_limit", &self.options.limits.cpu_limit)
            .field("deadline", &self.options.deadline)
            .field("attempts", &self.options.attempts)
            .field("retry_errors", &self.options.retry.executions)
            .field("priority", &self.options.priority)
            .field("save_failed", &self.options.save_failed)
            .finish_non_exhaustive()
    }
}
