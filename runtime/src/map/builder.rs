//! The builder behind the map macros: a worker function, a column for each parameter, options, and the ways to run it.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::columns::{Column, Columns, Immediate, Length, Source};
use super::engine::TypedEngine;
use super::gathered::gather;
use super::iter::{PoolIter, PoolIterUnordered};
use super::on_error::{Collect, OnError, Stop};
use super::options::Options;
use crate::error::{Error, Kind, Result, TaskError};
use crate::functions::{Given, Item, Named, WorkerFn};
use crate::pool::{self, Consumer, Pool, PoolShared};
use crate::progress::ShowProgress;

/// Describes a map before it runs. [`pool_map!`](crate::pool_map) and the other macros build one.
///
/// Each option of the macros is a method here.
#[must_use = "a map does nothing before it is run"]
pub struct Map<'p, F, A = (), P = Stop> {
    pub(super) pool: Option<&'p Pool>,
    pub(super) columns: A,
    pub(super) options: Options,
    pub(super) on_error: P,
    pub(super) function: PhantomData<fn() -> F>,
}

/// A map of `F`, to which `GIVEN` iterators will be added; `_value` is what the name of `F` is as a value.
///
/// Only `F` and `GIVEN` are given. The others stay unknown to the compiler where `F` is no worker function or
/// takes another number of iterators: a mistake is one error, on `F`, and all that is called on the map after it is
/// silent. A name that does not exist is an error already: its `V` is an error too, which silences the bounds.
pub fn call<'p, F, const GIVEN: usize, const TAKEN: usize, V, G, M>(_value: V) -> M
where
    V: Named<F, TAKEN, Function = G>,
    G: Call<GIVEN, TAKEN, Map<'p> = M>,
{
    G::map()
}

/// The parameter at place `N`, from 0.
pub struct Position<const N: usize>;

/// A worker function with `TAKEN` parameters, called with `GIVEN` iterators, which are enough. One that is too many is refused where
/// it is added.
#[diagnostic::on_unimplemented(
    message = "too few iterators: this worker function takes {TAKEN}, and {GIVEN} is given",
    label = "takes {TAKEN}, one for each parameter"
)]
pub trait Call<const GIVEN: usize, const TAKEN: usize> {
    /// The map.
    type Map<'p>;

    /// The map without its iterators.
    fn map<'p>() -> Self::Map<'p>;
}

/// For each number of parameters, the numbers of iterators that are enough; 13 stands for all that is more than there can be.
macro_rules! enough {
    ($($taken:literal: $($given:literal)+;)+) => {
        $($(
            #[diagnostic::do_not_recommend]
            impl<F: WorkerFn> Call<$given, $taken> for F {
                type Map<'p> = Map<'p, F>;

                fn map<'p>() -> Map<'p, F> {
                    Map::new()
                }
            }
        )+)+
    };
}

enough! {
    0: 0 1 2 3 4 5 6 7 8 9 10 11 12 13;
    1: 1 2 3 4 5 6 7 8 9 10 11 12 13;
    2: 2 3 4 5 6 7 8 9 10 11 12 13;
    3: 3 4 5 6 7 8 9 10 11 12 13;
    4: 4 5 6 7 8 9 10 11 12 13;
    5: 5 6 7 8 9 10 11 12 13;
    6: 6 7 8 9 10 11 12 13;
    7: 7 8 9 10 11 12 13;
    8: 8 9 10 11 12 13;
    9: 9 10 11 12 13;
    10: 10 11 12 13;
    11: 11 12 13;
    12: 12 13;
}

impl<'p, F: WorkerFn> Map<'p, F> {
    pub(super) fn new() -> Self {
        Map { pool: None, columns: (), options: Options::default(), on_error: Stop, function: PhantomData }
    }
}

impl<'p, F: WorkerFn, A: Columns> Map<'p, F, A> {
    /// Adds the iterator of a parameter. Everything is inferred: an error about a type that a macro wrote would be on
    /// the macro's token, and not on the iterator.
    #[doc(hidden)]
    pub fn argument<'w, const N: usize, S, K, T, E, C, O, G>(
        self,
        _parameter: Position<N>,
        source: S,
    ) -> Map<'p, G, (A, C)>
    where
        S: Given<F, N, Owned = O, Function = G>,
        S: Source<K>,
        S::Item: Item<O, <S as Given<F, N>>::Written<'w>, <S as Given<F, N>>::EncodedBy, Parameter = T, EncodedBy = E>,
        S: Source<K, Column<T, E> = C>,
        C: Column + Immediate,
    {
        let Self { pool, columns, options, on_error, .. } = self;
        Map { pool, columns: (columns, source.into_column::<T, E>()), options, on_error, function: PhantomData }
    }

    pub(super) fn with_columns<C>(self, columns: C) -> Map<'p, F, C> {
        let Self { pool, options, on_error, .. } = self;
        Map { pool, columns, options, on_error, function: PhantomData }
    }

    /// Runs the map, and returns the outcome of every task, in order. This is [`pool_try_map!`](crate::pool_try_map).
    ///
    /// # Errors
    ///
    /// The errors of the call as a whole. A failed task is an `Err` in the list.
    pub fn collect_outcomes(self) -> Result<Vec<Result<F::Output, TaskError>>> {
        self.gather(&Collect)
    }

    /// Runs the map lazily, with results in order. This is [`pool_iter!`](crate::pool_iter).
    ///
    /// The global pool starts when the first item is pulled, not before.
    ///
    /// # Errors
    ///
    /// The errors of the call as a whole that are known before any task runs.
    pub fn iter(self) -> Result<PoolIter<F, A>> {
        self.engine(Consumer::Pulled).map(PoolIter::new)
    }

    /// Runs the map lazily, with indices and results as tasks finish. This is
    /// [`pool_iter_unordered!`](crate::pool_iter_unordered).
    ///
    /// # Errors
    ///
    /// The errors of the call as a whole that are known before any task runs.
    pub fn iter_unordered(self) -> Result<PoolIterUnordered<F, A>> {
        self.engine(Consumer::Pulled).map(PoolIterUnordered::new)
    }

    /// Runs it, and gathers what is made of each output and of each error, in order, until that fails.
    pub(super) fn gather<P: OnError<F::Output>>(self, on_error: &P) -> Result<Vec<P::Item>> {
        let mut engine = self.finite_engine()?;
        let length = engine.length();
        gather::<F, P>(&mut engine.running(), length, on_error)
    }

    pub(super) fn finite_engine(self) -> Result<TypedEngine<F, A>> {
        let engine = self.engine(Consumer::Waited)?;
        match engine.length() {
            Length::Endless => Err(Error::new(Kind::Endless)),
            _ => Ok(engine),
        }
    }

    pub(super) fn engine(self, consumer: Consumer) -> Result<TypedEngine<F, A>> {
        self.options.check()?;
        let (shared, unstarted) = target(self.pool)?;
        Ok(TypedEngine::new(shared, self.columns, self.options, consumer)?.starting(unstarted))
    }
}

/// The pool that a map runs on, and the same again if that is to be started before the first task.
pub(super) fn target(pool: Option<&Pool>) -> Result<(Arc<PoolShared>, Option<&'static Pool>)> {
    match pool {
        Some(pool) => Ok((pool.shared()?, None)),
        None => pool::global_unstarted().map(|(pool, shared)| (shared, Some(pool))),
    }
}

impl<'p, F: WorkerFn, A: Columns, P> Map<'p, F, A, P> {
    /// Runs the map on this pool instead of the global one: `in &pool` of the macros.
    pub fn on(mut self, pool: &'p Pool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Sets the number of tasks that travel together: 1 or more.
    ///
    /// By default the size follows the measured time of the tasks: it starts at 1, at most doubles, and aims at half a millisecond of
    /// work, or ten milliseconds where workers fold the outputs. A chunk is sent before it has its size if its arguments total 64 KiB,
    /// or if reading them took half a millisecond.
    ///
    /// A task that waits behind a long one in the same worker moves to another worker as soon as one is free; without shared memory,
    /// where the socket carries the tasks, it stays.
    ///
    /// With 1, workers begin tasks in the order of their index. A worker gets a task only when it can begin it at once. It gets
    /// tasks ahead only while they are known to take 20 µs or less.
    ///
    /// A crash costs one task whatever the size, except where workers fold the outputs. Zero is an error when the map runs.
    pub fn chunk_size(mut self, tasks: usize) -> Self {
        self.options.chunk_size = Some(tasks);
        self
    }

    /// Sets the maximum number of tasks read from the input but not yet yielded: 1 or more. Default: 65,536.
    ///
    /// The number includes results that wait for their turn. Once there is one task for each worker, the map stops reading while
    /// arguments and results total 64 MiB. Zero is an error when the map runs.
    pub fn window(mut self, tasks: usize) -> Self {
        self.options.window = Some(tasks);
        self
    }

    /// Sets the maximum time of a task: more than zero. Default: no limit.
    ///
    /// The worker of a task that takes longer is killed, whatever it does, and replaced. The task's error is
    /// [`TimedOut`](crate::TaskErrorKind::TimedOut), and the other tasks of its chunk run on another worker.
    ///
    /// The time begins when a worker begins to decode the task's arguments. The end comes up to an eighth of the limit late: at
    /// most 20 ms under a limit of up to 2 s, and at most 100 ms under any. On a machine that is short of processors it comes later.
    /// The worker then has up to 50 ms to record where it was ([`native_backtrace`](crate::TaskError::native_backtrace)). Time in which
    /// the parent is stopped (Ctrl-Z) does not count. Under a limit, workers claim tasks one by one. That costs about 50 ns a task with
    /// shared memory, and a message a task over a socket.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.limits.timeout = Some(limit);
        self
    }

    /// Sets the maximum processor time of a task: more than zero. Default: no limit.
    ///
    /// The time of all threads of the worker counts, without processes that the task starts. A worker that exceeds it is killed and
    /// replaced, and the task's error is [`CpuLimit`](crate::TaskErrorKind::CpuLimit). Unlike [`timeout`](Self::timeout), the limit
    /// does not run while the task waits, or while others have the processor. It is checked as often as `timeout` and costs the same.
    ///
    /// # Errors
    ///
    /// The map returns an error when it runs where the system does not report the processor time of another process (macOS).
    pub fn cpu_limit(mut self, limit: Duration) -> Self {
        self.options.limits.cpu_limit = Some(limit);
        self
    }

    /// Sets the maximum time of the call, from its start: more than zero. Default: no limit.
    ///
    /// At the deadline every task without a result ends as [`TimedOut`](crate::TaskErrorKind::TimedOut), and finished tasks keep their
    /// results. The workers of running tasks are killed and replaced, unless [`finish_running`](Self::finish_running) is set.
    ///
    /// A lazy map ends with one last error ([`Error::is_deadline`](crate::Error::is_deadline)) if there was more input. It checks the
    /// deadline when it is pulled. A map that returns every outcome reads an input of unknown length to its end, because each of its
    /// tasks has an outcome. A blocking input iterator is not interrupted.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.options.deadline = Some(limit);
        self
    }

    /// Sets the maximum number of executions of a task that kills its worker: 1 or more. Default: 1.
    ///
    /// Each further execution runs alone. After the last, the task's error has the causes of all ([`TaskError::causes`]).
    ///
    /// A task that fails, panics (except under `panic = "abort"`) or exceeds a time limit is not executed again. With more than 1, the
    /// effects of a task before its worker's death happen more than once. A task that never began counts as executed once if 3 workers
    /// in a row, each holding only that task, ended by themselves, or if 100 such workers in a row were killed from outside.
    pub fn attempts(mut self, executions: u32) -> Self {
        self.options.attempts = Some(executions);
        self
    }

    /// Sets the number from which [`task_seed`](crate::task_seed) is made, with the task's index. Default: 0.
    ///
    /// With one seed, each run of the program draws the same numbers. Pass a different `seed` to each call that should draw different
    /// numbers.
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = Some(seed);
        self
    }

    /// Stops with the first iterator that ends, as `zip` does. Default: iterators of different lengths are an error.
    pub fn shortest(mut self) -> Self {
        self.options.shortest = true;
        self
    }

    /// Lets running tasks finish when the call ends early. No further tasks begin. Default: running tasks are killed.
    pub fn finish_running(mut self) -> Self {
        self.options.finish_running = true;
        self
    }

    /// Shows the progress of the call on standard error. `progress = false` disables it.
    ///
    /// On a terminal it is a bar with the rate and the time left. Elsewhere it is a line every 3 seconds, and one at the end. If the
    /// number of tasks is unknown, it is the count so far and the rate.
    ///
    /// It counts tasks that have their final outcome, with or without success, yielded or not. It also shows, where there is something to
    /// show:
    ///
    /// - `2 failed, 3 retried`: the tasks whose outcome is an error, and the executions beyond the first of each task;
    /// - `task 17 has run for 12 s`: the task that has run longest on this machine, once that is 10 s, on terminals of 80 columns or more.
    ///   Among lines it stands when a line is due, and every 30 s while no task ends;
    /// - `3 nodes, 8 workers`: on a cluster, the nodes that serve.
    ///
    /// Several maps at once have a bar each.
    ///
    /// The option needs the feature `progress` of this crate, which is off by default; the crate indicatif draws the bar. Lines that
    /// workers or this program print to the same terminal may appear beside the bar until it is drawn again.
    ///
    /// ```
    /// # #[cfg(feature = "progress")] {
    /// use poolmap::{pool_map, worker};
    ///
    /// #[worker]
    /// fn square(x: u64) -> u64 {
    ///     x * x
    /// }
    ///
    /// poolmap::init();
    /// let squares = pool_map!(square, 0..100; progress)?;
    /// assert_eq!(pool_map!(square, 0..100; progress = squares.is_empty())?, squares);
    /// # }
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn progress(mut self, shown: impl ShowProgress) -> Self {
        self.options.progress = shown.shown();
        self
    }

    /// Runs the map, and returns all results, in order. This is [`pool_map!`](crate::pool_map).
    ///
    /// # Errors
    ///
    /// The error of the first task seen to fail, returned at once, unless [`on_error`](Map::on_error) is set otherwise; and every
    /// error of the call as a whole.
    pub fn collect(self) -> Result<Vec<P::Item>>
    where
        P: OnError<F::Output>,
    {
        let Self { pool, columns, options, on_error, function } = self;
        let map = Map { pool, columns, options, on_error: Stop, function };
        map.gather(&on_error)
    }
}

impl<'p, F: WorkerFn, A: Columns> Map<'p, F, A> {
    /// Sets how [`collect`](Self::collect) handles a failed task. Default: [`Stop`].
    ///
    /// The others are [`Collect`](super::Collect), [`Replace`](super::Replace), and a closure `|error: &TaskError| value`. With these,
    /// only a failure of the call as a whole is an error of the map.
    pub fn on_error<P: OnError<F::Output>>(self, on_error: P) -> Map<'p, F, A, P> {
        let Self { pool, columns, options, function, .. } = self;
        Map { pool, columns, options, function, on_error }
    }
}

impl<F, A, P> Map<'_, F, A, P> {
    /// Sets the maximum number of further executions of a task that returned an `Err` or panicked: 1 or more. Default: none.
    ///
    /// Each further execution runs alone, after a wait ([`retry_backoff`](Self::retry_backoff)), while other tasks run on. After the
    /// last, the task's error has the causes of all ([`TaskError::causes`]). A waiting task counts against the window, and its wait
    /// against the deadline. A lazy map executes tasks again while it is pulled.
    ///
    /// The option does not cover a task whose worker dies, that exceeds a limit, or whose arguments or result cannot be sent. For a
    /// worker's death see [`attempts`](Self::attempts), which counts by itself. The effects of a task before its failure happen more
    /// than once.
    pub fn retry_errors(mut self, executions: u32) -> Self {
        self.options.retry.executions = Some(executions);
        self
    }

    /// Sets the wait between a task's first failure and its second execution. Default: 100 ms. Zero is no wait.
    ///
    /// The wait doubles with each further failure of the task, up to 30 s, or up to `first` if that is longer. Without
    /// [`retry_errors`](Self::retry_errors) the map returns an error when it runs.
    pub fn retry_backoff(mut self, first: Duration) -> Self {
        self.options.retry.backoff = Some(first);
        self
    }

    /// Executes a task again only if `condition` returns `true` for its error.
    ///
    /// The condition runs in this process, on the thread that waits for the results; its panic reaches the caller. Without
    /// [`retry_errors`](Self::retry_errors) the map returns an error when it runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use poolmap::{TaskErrorKind, current_worker, pool_map, worker};
    ///
    /// #[worker]
    /// fn fetch(page: u32) -> Result<u32, String> {
    ///     let attempt = current_worker().map_or(1, |worker| worker.attempt());
    ///     if attempt < 3 { Err("busy".into()) } else { Ok(2 * page) }
    /// }
    ///
    /// poolmap::init();
    /// let pages = pool_map!(fetch, 0..3; retry_errors = 2, retry_backoff = Duration::from_millis(1))?;
    /// assert_eq!(pages, [0, 2, 4]);
    ///
    /// let error = pool_map!(fetch, 0..3; retry_errors = 2,
    ///     retry_if = |error| !matches!(error.kind(), TaskErrorKind::Failed(failure) if failure.to_string() == "busy"));
    /// assert_eq!(error.unwrap_err().task().map(|task| task.attempts()), Some(1));
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn retry_if(mut self, condition: impl Fn(&TaskError) -> bool + Send + Sync + 'static) -> Self {
        self.options.retry.only_if(condition);
        self
    }
}
