//! The option `journal`: outputs that an earlier run of the program has left in a file are not computed again.

use std::path::PathBuf;

use super::builder::Map;

impl<F, A, P> Map<'_, F, A, P> {
    /// Keeps the outputs of tasks in the file at `path`, and takes those that an earlier run of the program has left there.
    ///
    /// Run the program again after a crash, a kill, a power failure or `sbatch --requeue`: the map returns the same results, and only the
    /// tasks that had not finished run. The file is made where there is none. It grows by 48 bytes for each task, and its encoded output.
    /// Nothing in it is ever removed: delete it when the results are where they belong. The variable `POOLMAP_JOURNAL` names a journal for
    /// every map that has none of its own; an empty one names none.
    ///
    /// # Which outputs are taken
    ///
    /// An output is taken for a task with the same function and equal arguments, wherever in the input it stands, if the same build of the
    /// program computed it (by the number that the linker gives a program, or a hash of the file), for workers with the same initializer
    /// and preload. The second of two equal tasks takes the second output, so a map that runs twice in one program is computed twice at
    /// first. With the option [`seed`](Self::seed), the seed and the index of the task must be equal too. Set it where tasks
    /// use [`task_seed`](crate::task_seed) and the input may change between runs.
    ///
    /// Arguments are compared by their encoding, in which a `HashMap` has another order in each run: use a `BTreeMap`. A
    /// [`SharedSlice`](crate::SharedSlice) and a [`shared`](crate::shared()) value are compared by their contents, which are read once
    /// for each call. What a task reads elsewhere, such as a file whose path it is given, is not compared.
    ///
    /// The output of a task that fails is not kept: the task runs again. What a task has printed is kept where the pool captures it.
    /// [`pool_reduce!`](crate::pool_reduce) folds the outputs here and not in the workers.
    ///
    /// A line on standard error says how many outputs are of another build, and, at the end of a function's first map, how many
    /// tasks were taken from the file and how many were computed, as they had not finished or have other arguments.
    ///
    /// # What may be lost
    ///
    /// A thread writes an output within some milliseconds after it came, and before the map returns. So a killed program loses the outputs
    /// of its last moment. The file is brought to the disk once a second, so a machine that fails loses about a second. An incomplete
    /// record at the end of the file is dropped when it is opened next. If the file cannot be written (the disk is full), a line on
    /// standard error says so, and the map goes on without it and tries again each second.
    ///
    /// # Limits
    ///
    /// The file is locked, by `flock`, while a map uses it: another program gets an error. The program holds 50 to 100 bytes for each output
    /// in the file that it has not taken, and 10 to 20 bytes for each task of any map with a journal, up to its end. A task takes 0.2 to
    /// 0.4 µs more, one that is found 2 µs, and both 1 ms more for each MiB of its arguments and output. An output in shared memory is copied.
    ///
    /// # Errors
    ///
    /// When the map runs ([`Error::is_invalid_option`](crate::Error::is_invalid_option)): the file cannot be opened or locked; it is no
    /// journal, or is damaged elsewhere than at its end (it is not changed then); an argument stands for itself, as a mutex, a channel, an
    /// array that tasks write and an [`Fd`](crate::Fd) do; the map runs inside a task. Under `POOLMAP_JOURNAL` maps inside of tasks, and
    /// tasks with such arguments, run without it.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{pool_map, worker};
    ///
    /// #[worker]
    /// fn simulate(step: u64) -> f64 {
    ///     (step as f64).sqrt() // some hours of work
    /// }
    ///
    /// poolmap::init();
    /// # let folder = std::env::temp_dir().join(format!("poolmap-journal-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("simulation.journal");
    /// let results = pool_map!(simulate, 0..100; journal = &path)?;
    /// assert_eq!(results[81], 9.0);
    ///
    /// // A file that is something else is refused, and not changed.
    /// let report = path.with_extension("csv");
    /// std::fs::write(&report, "step,result\n").unwrap();
    /// let error = pool_map!(simulate, 0..100; journal = &report).unwrap_err();
    /// assert!(error.is_invalid_option());
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn journal(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.journal = Some(path.into());
        self
    }
}
