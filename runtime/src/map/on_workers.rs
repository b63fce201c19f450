//! Calls that a pool runs in each of its workers: before the first task, after the last, and once in all of them.

use std::time::Duration;

use super::handle::{decode_done, encode, not_encoded};
use crate::error::{CodecError, Error, Result, TaskError};
use crate::functions::{EncodedCall, WorkerFn};
use crate::pool::{Builder, CallRules, OnCancel, Placement, Pool, single_chunk};
use crate::transport::Chunk;

/// The arguments of an initializer or finalizer go to every worker, so they should not be large: 64 MiB at most.
const HOOK_BYTES_MAX: usize = 64 << 20;

impl Builder {
    /// Sets a call that each worker runs before its first task: to load a model, or set up a C library.
    ///
    /// A worker that replaces another runs it too. The output is dropped. Values that the call leaves in statics and thread-locals
    /// stay: tasks run on the same thread, one after another. The arguments may take 64 MiB.
    /// [`initializer_timeout`](Self::initializer_timeout) limits the time of the call.
    ///
    /// # Worker death
    ///
    /// If the call fails, panics or kills its worker, the worker ends, and the pool starts another a little later. After 5 such ends in
    /// a row, the calls that wait for workers fail, and so does [`Pool::ready`], with the cause ([`Error::is_start_failure`]). A kill
    /// from outside (by an operator, or the out-of-memory killer) does not count: the call runs again, up to 20 times in a row.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::OnceLock;
    ///
    /// use poolmap::{Pool, pool_map, worker};
    ///
    /// static GREETING: OnceLock<String> = OnceLock::new();
    ///
    /// #[worker]
    /// fn learn(greeting: String) {
    ///     GREETING.set(greeting).expect("a worker is initialized once");
    /// }
    ///
    /// #[worker]
    /// fn greet(name: &str) -> String {
    ///     format!("{}, {name}", GREETING.get().expect("it was learnt before"))
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(2).initializer(learn { greeting: "hello".into() }).build()?;
    /// assert_eq!(pool_map!(in &pool, greet, ["a", "b"])?, ["hello, a", "hello, b"]);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    ///
    /// One that fails:
    ///
    /// ```
    /// use poolmap::{Pool, worker};
    ///
    /// #[worker]
    /// fn load(path: &str) -> Result<(), String> {
    ///     Err(format!("{path} is not a model"))
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(1).initializer(load { path: "a.bin".into() }).build()?;
    /// let error = pool.ready().unwrap_err();
    /// assert!(error.is_start_failure());
    /// assert!(error.to_string().ends_with("failed: a.bin is not a model"));
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn initializer<F: WorkerFn>(mut self, call: F) -> Self {
        self.initializer.call = self.hook("initializer", &call);
        self
    }

    /// Sets how long the initializer may run in a worker: more than zero. Default: no limit.
    ///
    /// The limit is applied as that of a call is ([`SingleCall::timeout`](crate::SingleCall::timeout)). A worker whose initializer takes
    /// longer is killed. That is a failed start, as is an initializer that fails: after 5 in a row, the
    /// calls that wait for workers fail ([`Error::is_start_failure`]).
    pub fn initializer_timeout(mut self, time: Duration) -> Self {
        self.initializer.timeout = Some(time);
        self
    }

    /// Sets a call that the fork server runs before it makes the first worker: to load what all workers read.
    ///
    /// It needs [`StartMethod::ForkServer`](crate::StartMethod::ForkServer). The call runs once; each worker has what it left in statics,
    /// in memory that workers share until they write to it. The output is dropped. The arguments may take 64 MiB. The call runs on the
    /// server's first thread, whose stack size is the system's (8 MiB as a rule), and may start threads if it joins them.
    /// [`preload_timeout`](Self::preload_timeout) limits its time. [`build`](Self::build) does not wait for it; [`Pool::ready`] and the
    /// first call do.
    ///
    /// To copy the server takes longer the more memory it has touched: its page tables are copied. Huge pages have small tables. With
    /// glibc, `.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")` makes large allocations of the server use them (where
    /// /sys/kernel/mm/transparent_hugepage/enabled is `madvise` or `always`); docs/performance.md has the figures.
    ///
    /// # Worker death
    ///
    /// If the call fails, panics, ends the server, takes too long or leaves a thread behind, the calls that wait for workers fail, and so
    /// does [`Pool::ready`], with the cause ([`Error::is_start_failure`]). The next call of the pool tries again. A kill from outside (by an
    /// operator, or the out-of-memory killer) does not count: the call runs again, up to 20 times in a row. If the server dies later,
    /// another runs the call again before it makes workers.
    ///
    /// Processes that the call starts end with the server. Its printed output goes to the streams of this program.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::OnceLock;
    ///
    /// use poolmap::{Pool, StartMethod, pool_map, worker};
    ///
    /// static SQUARES: OnceLock<Vec<u64>> = OnceLock::new();
    ///
    /// #[worker]
    /// fn load(count: u64) {
    ///     SQUARES.set((0..count).map(|x| x * x).collect()).expect("it is loaded once");
    /// }
    ///
    /// #[worker]
    /// fn square(x: usize) -> u64 {
    ///     SQUARES.get().expect("it was loaded before")[x]
    /// }
    ///
    /// poolmap::init();
    /// # if cfg!(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")) && option_env!("POOLMAP_PORTABLE").is_none() {
    /// let builder = Pool::builder().workers(2).start_method(StartMethod::ForkServer);
    /// let pool = builder.preload(load { count: 1000 }).build()?;
    /// assert_eq!(pool_map!(in &pool, square, [3, 30])?, [9, 900]);
    /// # }
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn preload<F: WorkerFn>(mut self, call: F) -> Self {
        self.preload.call = self.hook("preload", &call);
        self
    }

    /// Sets how long the call of [`preload`](Self::preload) may run: more than zero. Default: 10 minutes.
    ///
    /// A fork server that takes longer is killed, and the calls that wait for workers fail ([`Error::is_start_failure`]).
    pub fn preload_timeout(mut self, time: Duration) -> Self {
        self.preload.timeout = time;
        self
    }

    /// Sets a call that each worker runs after its last task, when the worker ends in good order.
    ///
    /// That is when the pool is joined ([`Pool::join`]) or made smaller, or when the worker reaches a limit such as
    /// `max_tasks_per_worker`. [`Pool::finalizer_results`] returns the outputs.
    /// [`finalizer_timeout`](Self::finalizer_timeout) limits the time of the call.
    ///
    /// # Worker death
    ///
    /// A worker that dies, or that is killed because the pool is terminated or dropped, does not run the call. If a worker dies in the
    /// call, the result is that error.
    pub fn finalizer<F: WorkerFn>(mut self, call: F) -> Self {
        self.finalizer.call = self.hook("finalizer", &call);
        self
    }

    /// Sets how long the finalizer may run in a worker: more than zero. Default: no limit.
    ///
    /// A worker whose finalizer takes longer is killed, and the result is that error ([`TimedOut`](crate::TaskErrorKind::TimedOut)).
    pub fn finalizer_timeout(mut self, time: Duration) -> Self {
        self.finalizer.timeout = Some(time);
        self
    }

    fn hook<F: WorkerFn>(&mut self, option: &str, call: &F) -> Option<EncodedCall> {
        EncodedCall::new(call, HOOK_BYTES_MAX)
            .map_err(|error| {
                let function = F::__registration().path();
                let mistake = format!("{option}: the arguments of `{function}` could not be encoded: {error}");
                self.mistake.get_or_insert(mistake);
            })
            .ok()
    }
}

impl Pool {
    /// Takes the results of the finalizers ([`Builder::finalizer`]) out of the pool, in the order in which workers ended.
    ///
    /// Each result is returned once. After [`Pool::join`] all results are there.
    ///
    /// # Errors
    ///
    /// `F` is not the pool's finalizer ([`Error::is_invalid_option`]); the pool is that of the process that this one was forked
    /// from.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// use poolmap::{Pool, pool_map, worker};
    ///
    /// static DONE: AtomicU32 = AtomicU32::new(0);
    ///
    /// #[worker]
    /// fn work(_task: u32) {
    ///     DONE.fetch_add(1, Ordering::Relaxed);
    /// }
    ///
    /// #[worker]
    /// fn done() -> u32 {
    ///     DONE.load(Ordering::Relaxed)
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(2).finalizer(done {}).build()?;
    /// pool_map!(in &pool, work, 0..100)?;
    /// pool.join()?;
    /// let counts = pool.finalizer_results::<done>()?.into_iter().collect::<Result<Vec<u32>, _>>();
    /// assert_eq!(counts.expect("none failed").iter().sum::<u32>(), 100);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn finalizer_results<F: WorkerFn>(&self) -> Result<Vec<std::result::Result<F::Output, TaskError>>> {
        if self.finalizer() != Some(F::__registration().index()) {
            return Err(Error::invalid_option(format!(
                "`{}` is not the finalizer of this pool: name the one that Pool::builder().finalizer(…) was given",
                F::__registration().path(),
            )));
        }
        Ok(self.take_finalized()?.into_iter().map(|done| decode_done::<F>(None, self.output(), done)).collect())
    }

    /// Runs a call once in each worker, and returns the outputs in the order of the workers.
    ///
    /// Workers that start, or that had ended for want of work, are waited for. A busy worker runs the call behind the tasks that it has
    /// begun. There is no time limit. Workers that start later do not run it: for those use
    /// [`initializer`](Builder::initializer).
    ///
    /// # Errors
    ///
    /// The first failure seen, with the worker's index as the task's: the call runs on in the other workers. The errors of a call as a
    /// whole. If the pool is made smaller meanwhile, the error is [`Cancelled`](crate::TaskErrorKind::Cancelled).
    ///
    /// # Worker death
    ///
    /// If a worker dies in the call, that is the error. If it died before the call, the worker that replaces it runs the call.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, worker};
    ///
    /// #[worker]
    /// fn pid() -> u32 {
    ///     std::process::id()
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(3).build()?;
    /// let mut pids = pool.run_on_all(pid {})?;
    /// pids.sort();
    /// pids.dedup();
    /// assert_eq!(pids.len(), 3);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn run_on_all<F: WorkerFn>(&self, call: F) -> Result<Vec<F::Output>> {
        let shared = self.unstarted_shared()?;
        // A call that cannot be encoded starts no worker.
        let encoded = encode(&shared, &call)?;
        self.shared()?;
        let workers = shared.workers();
        let chunks: Vec<Chunk> = (0..workers)
            .map(|worker| single_chunk(shared.arena(), encoded.clone(), worker as u64))
            .collect::<std::io::Result<_>>()
            .map_err(|error| not_encoded::<F>(CodecError::no_memory(encoded.task.len(), &error)))?;
        let rules = CallRules { placement: Placement::OneForEach, ..CallRules::default() };
        let call = shared.open(rules)?;
        for chunk in chunks {
            shared.push(call, chunk);
        }
        let mut outputs: Vec<Option<F::Output>> = (0..workers).map(|_| None).collect();
        let mut left = workers;
        let mut first_error = Ok(());
        while left > 0 && first_error.is_ok() {
            match shared.step(call, false, None, None) {
                Ok(step) => {
                    for done in step.done {
                        left -= 1;
                        let worker = done.first_index;
                        match decode_done::<F>(Some(&shared), shared.output(), done) {
                            Ok(output) => outputs[worker] = Some(output),
                            Err(error) => first_error = first_error.and(Err(Error::from(error))),
                        }
                    }
                }
                Err(failure) => first_error = Err(failure.into()),
            }
        }
        shared.close(call, OnCancel::Finish);
        first_error?;
        Ok(outputs.into_iter().map(|output| output.expect("each worker has given one")).collect())
    }
}
