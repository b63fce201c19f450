//! The methods of the builder that say what workers are started in.

use std::ffi::OsString;
use std::path::PathBuf;

use super::builder::Builder;
use super::per_worker::{Affinity, EachEnvironment};

/// What the workers are started in. All of it is fixed when the pool is built, and holds for every later worker.
impl Builder {
    /// Sets a variable in the environment of the workers.
    ///
    /// Default: workers have the environment that this process has when the pool is built. Of two values for one name the later holds.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error if the name is empty, contains `=` or a zero byte, or if the value contains a zero byte.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, worker};
    ///
    /// #[worker]
    /// fn variable(name: &str) -> Option<String> {
    ///     std::env::var(name).ok()
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(1).env("MODEL", "small").env_remove("HOME").build()?;
    /// assert_eq!(pool.apply(variable { name: "MODEL".into() })?.as_deref(), Some("small"));
    /// assert_eq!(pool.apply(variable { name: "HOME".into() })?, None);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.surroundings.changes.set(name.into(), value.into());
        self
    }

    /// Removes a variable from the environment of the workers.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.surroundings.changes.remove(name.into());
        self
    }

    /// Removes all variables from the environment of the workers, including those that [`env`](Self::env) has set before.
    ///
    /// The variables of [`threads_per_worker`](Self::threads_per_worker) and [`env_for_each`](Self::env_for_each) stay.
    ///
    /// A program that finds in its environment what it is to run, as a doctest does, does not start as a worker then.
    pub fn env_clear(mut self) -> Self {
        self.surroundings.changes.clear();
        self
    }

    /// Sets variables in the environment of each worker by itself, by its index from 0.
    ///
    /// The function is called for each index on the thread that builds the pool (or makes it larger by [`resize`](crate::Pool::resize)):
    /// once, unless it fails or several threads call `resize`. A worker that replaces another has its variables. They win over those of
    /// [`env`](Self::env).
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) and `resize` return an error for a name or a value that [`env`](Self::env) refuses.
    ///
    /// # Examples
    ///
    /// A GPU for each worker:
    ///
    /// ```
    /// use poolmap::{Pool, current_worker, pool_map, worker};
    ///
    /// #[worker]
    /// fn has_own_gpu(_task: usize) -> bool {
    ///     let worker = current_worker().unwrap().index();
    ///     std::env::var("CUDA_VISIBLE_DEVICES").is_ok_and(|gpu| gpu == worker.to_string())
    /// }
    ///
    /// poolmap::init();
    /// let gpu = |worker: usize| [("CUDA_VISIBLE_DEVICES", worker.to_string())];
    /// let pool = Pool::builder().workers(2).env_for_each(gpu).build()?;
    /// assert_eq!(pool_map!(in &pool, has_own_gpu, 0..10)?, [true; 10]);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn env_for_each<N, V, I>(mut self, variables: impl Fn(usize) -> I + Send + Sync + 'static) -> Self
    where
        N: Into<OsString>,
        V: Into<OsString>,
        I: IntoIterator<Item = (N, V)>,
    {
        self.surroundings.per_worker.each = Some(EachEnvironment::new(variables));
        self
    }

    /// Sets the current folder of the workers. Default: the current folder of this process when the pool is built.
    ///
    /// A relative path starts at the current folder of this process at that moment.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error if there is no such folder.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.surroundings.changes.set_folder(folder.into());
        self
    }

    /// Sets how many threads a library may start in each worker: 1 to 65,536.
    ///
    /// Default: the number of CPUs ([`cpu_count()`](crate::cpu_count)), divided by the number of workers, and at least 1; with
    /// [`affinity`](Self::affinity), no more than a worker's CPUs. In a pool inside a task it is the share of that task's worker, divided.
    ///
    /// BLAS libraries, OpenMP, rayon and tokio start a thread for each CPU. In every worker of a pool at once, these threads would take
    /// the CPUs from each other. So workers have these variables in their environment, unless the environment of this process or
    /// [`env`](Self::env) has them already: `OMP_NUM_THREADS`, `OPENBLAS_NUM_THREADS`, `MKL_NUM_THREADS`, `BLIS_NUM_THREADS`,
    /// `VECLIB_MAXIMUM_THREADS`, `NUMEXPR_NUM_THREADS`, `RAYON_NUM_THREADS` and `TOKIO_WORKER_THREADS`. A variable that
    /// [`env_remove`](Self::env_remove) names is not set.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, worker};
    ///
    /// #[worker]
    /// fn threads() -> Option<String> {
    ///     std::env::var("OMP_NUM_THREADS").ok()
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(2).env_remove("OMP_NUM_THREADS").build()?;
    /// assert_eq!(pool.apply(threads {})?, None);
    /// # if std::env::var_os("OMP_NUM_THREADS").is_none() {
    /// let pool = Pool::builder().workers(2).threads_per_worker(3).build()?;
    /// assert_eq!(pool.apply(threads {})?.as_deref(), Some("3"));
    /// # }
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn threads_per_worker(mut self, threads: usize) -> Self {
        self.surroundings.threads_per_worker = Some(threads);
        self
    }

    /// Sets which CPUs each worker may use (Linux). Default: all that this process may use.
    ///
    /// The CPUs are those that the thread that builds the pool may use at that moment. Threads and processes that a task starts have
    /// those of their worker. If all CPUs of a worker are taken from the program later, workers that start then have those that are left.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error on other systems.
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.surroundings.per_worker.affinity = Some(affinity);
        self
    }

    /// Adds to the nice value of the workers: −39 to 39. Default: 0, the nice value of this process.
    ///
    /// With a higher value a worker leaves the CPUs to others that want them. The sum is at most 19 and at least −20.
    ///
    /// # Errors
    ///
    /// A negative number needs a privilege. Without it workers cannot start, and the first call returns an error
    /// ([`Error::is_start_failure`](crate::Error::is_start_failure)); the workers say why on their standard error.
    pub fn nice(mut self, more: i32) -> Self {
        self.surroundings.nice = more;
        self
    }

    /// Sets the name by which `ps` and `top` show the workers (Linux): with the name `thumbs`, worker 3 is `thumbs 3`. Default: the name
    /// of the program.
    ///
    /// The system shows 15 bytes. A longer name is cut before the index.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error if the name is empty or contains a zero byte.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.surroundings.per_worker.name = Some(name.into());
        self
    }
}
