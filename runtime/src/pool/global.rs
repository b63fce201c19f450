//! The pool of calls that name none.

use std::sync::{Arc, OnceLock};

use super::builder::{Builder, WORKERS_MAX};
use super::handle::Pool;
use super::state::PoolShared;
use crate::child;
use crate::error::{Error, Result};
use crate::in_process;
use crate::locks::{Lock, Locked, Rank, Ranked};
use crate::sys::{self, PerProcess};

/// The global pool, and those before it. Their handles stay, as a program may hold them; whoever looks for lost memory finds them here.
#[derive(Default)]
struct GlobalPool {
    current: Option<&'static Pool>,
    ended: Vec<&'static Pool>,
}

impl GlobalPool {
    /// Takes the pool out.
    fn take(&mut self) -> Option<&'static Pool> {
        let ended = self.current.take();
        self.ended.extend(ended);
        ended
    }
}

impl Ranked for GlobalPool {
    const RANK: Rank = Rank::GlobalPool;
}

/// Each process has its own: a fork makes it anew.
static GLOBAL: PerProcess<Lock<GlobalPool>> = PerProcess::new();
/// That of tasks in process, which have no process for one of their own.
static GLOBAL_OF_TASKS: PerProcess<Lock<GlobalPool>> = PerProcess::new();

/// The global pool of the code that this thread runs.
fn global() -> Locked<'static, GlobalPool> {
    if in_process::depth() > 0 { GLOBAL_OF_TASKS.get() } else { GLOBAL.get() }.lock()
}

/// Sets the number of workers of the global pool.
const WORKERS_VARIABLE: &str = "POOLMAP_WORKERS";

/// What the global pool of a driver gives its tasks to, beside its own workers.
pub(crate) trait Cluster: Send + Sync {
    /// How many workers the global pool itself has, if the program asks for so many; none where the session is another process's.
    fn own_workers(&self, asked: Option<usize>) -> Option<usize>;

    /// A global pool was made. The pools of the nodes are to be made with these options.
    fn made(&self, pool: &Arc<PoolShared>, options: Vec<u8>);

    /// The global pool is shut down.
    fn ended(&self);
}

static CLUSTER: OnceLock<Arc<dyn Cluster>> = OnceLock::new();

/// Has each global pool of this process, from now on, give its tasks to a cluster as well.
pub(crate) fn join_cluster(cluster: Arc<dyn Cluster>) {
    // A process is started once.
    let _ = CLUSTER.set(cluster);
}

/// The cluster of the code that this thread runs, if it is a driver's.
fn cluster() -> Option<&'static Arc<dyn Cluster>> {
    CLUSTER.get().filter(|_| in_process::depth() == 0)
}

/// A global pool with these options, which has not started; with so many workers, if the options do not say it.
fn unstarted(builder: Builder, workers_here: Option<usize>) -> Result<Pool> {
    let with_workers = |builder: Builder| Builder { workers: builder.workers.or(workers_here), ..builder };
    let Some(cluster) = cluster() else {
        return Pool::unstarted(with_workers(builder).settings()?);
    };
    let options = builder.to_options()?;
    let builder = with_workers(builder);
    let asked = builder.workers;
    let mut settings = builder.settings()?;
    if settings.in_process.is_some() {
        return Pool::unstarted(settings);
    }
    settings.workers = cluster.own_workers(asked).unwrap_or(settings.workers);
    let pool = Pool::unstarted(settings)?;
    cluster.made(&pool.unstarted_shared()?, options);
    Ok(pool)
}

/// Returns the global pool, which runs the calls that name no pool.
///
/// [`Builder::build_global`] sets its options. Without it, the pool starts its workers at its first task: one for each CPU, or the
/// number in the environment variable `POOLMAP_WORKERS`. Inside a task it has one worker. A map without tasks starts none. The workers
/// have the environment and the current folder that this process had at that first task.
///
/// # Errors
///
/// `POOLMAP_WORKERS` is not a number from 1 to 4,096; `POOLMAP_IN_PROCESS` is neither 0 nor 1; this process never called
/// [`init`](crate::init); pools inside the tasks of pools are more than 4 deep.
pub fn global_pool() -> Result<&'static Pool> {
    let mut global = global();
    if let Some(pool) = global.current {
        return Ok(pool);
    }
    // A worker inherits the variable, but its own global pool has one worker: else each level would multiply.
    let is_outermost = child::depth() + in_process::depth() == 0;
    let workers = if is_outermost { workers_from_environment()? } else { None };
    // A handle without processes and descriptors is what a shutdown leaves of it.
    let pool: &'static Pool = Box::leak(Box::new(unstarted(Builder::new(), workers)?));
    global.current = Some(pool);
    Ok(pool)
}

impl Builder {
    /// Builds the global pool, which runs the calls that name no pool, and starts its workers.
    ///
    /// Without it, the first such call makes a global pool with default options ([`global_pool`]). This one wins over the environment
    /// variable `POOLMAP_WORKERS`.
    ///
    /// # Errors
    ///
    /// There is a global pool already ([`Error::is_invalid_option`]); otherwise those of [`build`](Self::build).
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, global_pool, pool_map, worker};
    ///
    /// #[worker]
    /// fn negate(x: i32) -> i32 {
    ///     -x
    /// }
    ///
    /// poolmap::init();
    /// Pool::builder().workers(3).max_tasks_per_worker(1000).build_global()?;
    /// assert_eq!(pool_map!(negate, [1, 2, 3])?, [-1, -2, -3]);
    /// assert_eq!(global_pool()?.stats().workers(), 3);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn build_global(self) -> Result<&'static Pool> {
        // Nothing is started for an error.
        if global().current.is_some() {
            return Err(global_is_there());
        }
        let pool = unstarted(self, None)?;
        pool.start_built()?;
        let mut global = global();
        if global.current.is_some() {
            drop(global);
            return Err(global_is_there());
        }
        let pool: &'static Pool = Box::leak(Box::new(pool));
        global.current = Some(pool);
        Ok(pool)
    }
}

/// How many workers the global pool has; 0 where there is none.
pub(crate) fn global_workers() -> usize {
    global().current.map_or(0, |pool| pool.stats().workers())
}

fn global_is_there() -> Error {
    Error::invalid_option(
        "`build_global` must come before the global pool: one was made by an earlier `build_global`, by `global_pool()` or by a \
         call that names no pool; `shutdown_global()` ends it",
    )
}

/// The global pool, whose workers may not be started: [`start_global`] comes before its first task.
pub(crate) fn global_unstarted() -> Result<(&'static Pool, Arc<PoolShared>)> {
    let pool = global_pool()?;
    Ok((pool, of_global(pool, pool.unstarted_shared())?))
}

/// Starts the workers of the global pool, unless they are.
pub(crate) fn start_global(pool: &'static Pool) -> Result<()> {
    of_global(pool, pool.shared()).map(drop)
}

/// The same without waiting: a start that fails is a failure of the calls.
#[cfg(feature = "stream")]
pub(crate) fn begin_global(pool: &'static Pool) -> Result<()> {
    of_global(pool, pool.begin()).map(drop)
}

fn of_global<T>(pool: &'static Pool, result: Result<T>) -> Result<T> {
    result.inspect_err(|_| {
        // It has ended itself: the next call makes another.
        let mut global = global();
        if global.current.is_some_and(|current| std::ptr::eq(current, pool)) {
            global.take();
        }
    })
}

/// Ends the global pool, if there is one. No process is left.
///
/// Open calls on it fail ([`Error::is_closed`]). A later map starts another global pool.
pub fn shutdown_global() {
    let pool = global().take();
    if let Some(pool) = pool {
        pool.shut_down();
    }
    if let Some(cluster) = cluster() {
        cluster.ended();
    }
}

/// How many workers `POOLMAP_WORKERS` asks for, if it does.
///
/// # Errors
///
/// It is no number of workers.
pub(crate) fn workers_from_environment() -> Result<Option<usize>> {
    let Some(value) = sys::variable(WORKERS_VARIABLE) else {
        return Ok(None);
    };
    match value.to_str().and_then(|value| value.trim().parse().ok()) {
        Some(workers) if (1..=WORKERS_MAX).contains(&workers) => Ok(Some(workers)),
        _ => Err(Error::invalid_option(format!(
            "the environment variable {WORKERS_VARIABLE} must be a number from 1 to {WORKERS_MAX}, got `{}`",
            value.display(),
        ))),
    }
}
