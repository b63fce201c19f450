//! The option `timeline`: a file that shows the tasks and the workers over time.

use std::path::PathBuf;

use super::builder::Map;

impl<F, A, P> Map<'_, F, A, P> {
    /// Writes a picture of the map into the file at `path`: its tasks, its workers and its waits over time. Default: none.
    ///
    /// If the path ends in `.html`, the file is a page for a browser: what each worker ran and when, how many workers were busy, the
    /// slowest tasks, deaths with their cause, and bounds for the same tasks on more workers. The page is one file, and loads nothing else.
    ///
    /// Any other file is in Chrome's trace format, which Perfetto (ui.perfetto.dev) and chrome://tracing open. Each machine is a process
    /// there, and each worker a thread. A task has its function's name, and its index, attempt, outcome and bytes as arguments.
    ///
    /// The file is made, or emptied, when the map starts. It is written when the map ends, also if the map fails or is dropped. Of several
    /// maps with one path in turn, the last one stays.
    ///
    /// # What is shown
    ///
    /// Workers measure the tasks, as for [`job_log`](Self::job_log), which has the details. A worker's start is shown if it became ready
    /// during the map, and a death if it was not the pool's will. A wait is shown if this thread waited for 20 µs or more. A task that no
    /// worker began is counted, and not shown. The 25 slowest executions have their arguments, as errors show them
    /// ([`TaskError`](crate::TaskError)); an execution that was lost with its worker and followed by another has none. On a cluster, starts and deaths are those of this machine's workers.
    ///
    /// # Limits
    ///
    /// The program holds about 90 bytes for each task up to the end of the map. A task takes about 0.6 µs more of processor time, of which
    /// this process takes 0.3 µs: tasks of 10 µs that keep two CPUs busy took 6 % longer, the writing of the file included (`cargo bench
    /// --bench job_log`). [`pool_reduce!`](crate::pool_reduce) folds the outputs here and not in the workers, and an output of more than
    /// 4 MiB is copied once more. A page of 100,000 tasks has 4 MB and opens in less than a second. A killed program leaves an empty file.
    /// If the file cannot be written at the end (the disk is full), a line on standard error says so.
    ///
    /// # Errors
    ///
    /// When the map runs ([`Error::is_invalid_option`](crate::Error::is_invalid_option)): the file cannot be made; it is no regular file;
    /// another call or program writes it.
    ///
    /// # Worker death
    ///
    /// The death is shown with its cause, at the end of the task that was running.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{pool_map, worker};
    ///
    /// #[worker]
    /// fn square(x: u64) -> u64 {
    ///     x * x
    /// }
    ///
    /// poolmap::init();
    /// # let folder = std::env::temp_dir().join(format!("poolmap-timeline-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("squares.html");
    /// pool_map!(square, 0..100; timeline = &path)?;
    /// assert!(std::fs::read_to_string(&path).unwrap().starts_with("<!doctype html>"));
    ///
    /// // A file that cannot be made is an error before any task runs.
    /// let error = pool_map!(square, 0..100; timeline = folder.join("missing/squares.html")).unwrap_err();
    /// assert!(error.is_invalid_option());
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn timeline(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.timeline = Some(path.into());
        self
    }
}
