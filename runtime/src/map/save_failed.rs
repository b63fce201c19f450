//! The option `save_failed`: the tasks that fail are saved in a folder, each in a file that can be replayed.

use std::path::PathBuf;

use super::builder::Map;

impl<F, A, P> Map<'_, F, A, P> {
    /// Saves each task that fails, after its last attempt, as a file in the folder at `path`, to run it once more under a debugger.
    ///
    /// ```text
    /// $ ./app
    /// task 17 of `jobs::resize` (path: "in/050.jpg", width: 64) crashed: … (saved as /data/failed/jobs.resize-17-4711-0.poolmap)
    /// $ POOLMAP_REPLAY=/data/failed/jobs.resize-17-4711-0.poolmap gdb -ex run ./app
    /// ```
    ///
    /// The folder is made, and no file in it is overwritten: `function-index-pid-number.poolmap`. A file holds the name and place of the
    /// function, the encoded arguments, the seed and the index of the task, the build of the program, and the text of the error. Its owner
    /// alone may read it. The error's text names it, and so does [`TaskError::saved_as`](crate::TaskError::saved_as). Nothing in the folder
    /// is ever removed. There is no default and no limit: a map with a million failures writes a million files.
    ///
    /// # Replay
    ///
    /// With the variable `POOLMAP_REPLAY=file`, [`init()`](crate::init) (and so [`#[poolmap::main]`](macro@crate::main), and
    /// [`run_worker()`](crate::run_worker)) runs that one call on the thread that calls it, and `main` does not go on. The process is no
    /// worker: it has no time limit, no memory limit and no pool, and [`current_worker()`](crate::current_worker) and
    /// [`task_seed()`](crate::task_seed) return what they did for the task (the worker's index is 0). It ends as the task did: by its
    /// signal; after its panic, which is printed as ever, with code 101; after printing the error that the function returned, with code 1;
    /// or well, with code 0. A task that ran into a time limit just runs. The initializer of the pool does not run, as the program's `main`
    /// has not built the pool: a function that needs it must do without, or fail. A program started by `mpirun` replays before it is
    /// anything in a cluster, in each of its processes.
    ///
    /// A file of another build is refused, naming both: arguments of other types would decode to nonsense. So is a file that is spoilt or
    /// is no saved task. The process then exits with code 2. A saved task is as trusted as the program's own input: replay no file from
    /// people who must not choose the function's arguments.
    ///
    /// # What is not saved
    ///
    /// A task that was cancelled, or never began; a task of a function with a redacted argument ([`worker`](macro@crate::worker)); one whose arguments could not be encoded, as they
    /// were not read or do not encode; and one that names memory or a descriptor (an argument that is [`shared`](crate::shared()), a
    /// [`SharedSlice`](crate::SharedSlice), an [`Fd`](crate::Fd) and other handles). Of the last two kinds, the first error of the call says why. A file that
    /// cannot be written, as the disk is full, is named with the reason in the error of the task, which keeps its kind.
    ///
    /// # Errors
    ///
    /// When the map runs ([`Error::is_invalid_option`](crate::Error::is_invalid_option)): the folder cannot be made.
    ///
    /// # Worker death
    ///
    /// The parent writes the file, whatever ended the worker. On a cluster the process that runs `main` does, for tasks of all nodes.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{pool_try_map, worker};
    ///
    /// #[worker]
    /// fn divide(x: u32, by: u32) -> u32 {
    ///     x / by
    /// }
    ///
    /// poolmap::init();
    /// # let folder = std::env::temp_dir().join(format!("poolmap-failed-{}", std::process::id()));
    /// let outcomes = pool_try_map!(divide, [8, 9], [2, 0]; save_failed = &folder)?;
    /// let error = outcomes[1].as_ref().unwrap_err();
    /// let file = error.saved_as().unwrap();
    /// assert!(file.starts_with(&folder) && file.exists());
    /// assert!(error.to_string().contains("by: 0"));
    ///
    /// // A folder that cannot be made is an error before any task runs.
    /// let error = pool_try_map!(divide, [8], [2]; save_failed = "/dev/null/failed").unwrap_err();
    /// assert!(error.is_invalid_option());
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn save_failed(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.save_failed = Some(path.into());
        self
    }
}
