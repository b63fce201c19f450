//! The option `job_log`: a file with a line for each task.

use std::path::PathBuf;

use super::builder::Map;

impl<F, A, P> Map<'_, F, A, P> {
    /// Writes a line for each task into the file at `path`, as the task ends. Default: none.
    ///
    /// The file is made, or emptied, when the map starts. It is CSV with a header (RFC 4180), or JSON lines if the path ends in `.jsonl`.
    /// A value that is not known is empty there, or `null`. Each execution has a line: a task that is executed again has several.
    ///
    /// | column | value |
    /// |---|---|
    /// | `index`, `function` | the task |
    /// | `worker`, `pid`, `node` | the worker's place in its pool, its process, its machine |
    /// | `attempt` | the number of the execution, from 1; 0 if no worker began the task |
    /// | `start_s`, `duration_s` | seconds from the start of the map to the task's, and seconds that the task took |
    /// | `cpu_s` | seconds of processor time of the task's thread |
    /// | `peak_bytes` | the most memory that the worker's process has had so far (on Linux resident memory, `VmHWM`) |
    /// | `outcome` | `ok`, `failed`, `panicked`, `crashed`, `timed_out`, `cpu_limit`, `memory_limit`, `denied`, `encode`, `decode` or `cancelled` |
    /// | `detail` | the text of the failure, without the task's arguments |
    /// | `send_bytes`, `receive_bytes` | the encoded arguments, and the encoded output with what the pool captures |
    /// | `exitval`, `signal` | 0 and 0 for a success, 1 for an error, 101 for a panic, those of the process for a crash |
    /// | `starttime` | seconds from 1970 to the task's start |
    ///
    /// # For users of GNU parallel
    ///
    /// The columns of `parallel --joblog` are here: `Seq` is `index` + 1, `Host` is `node`, `Starttime` is `starttime`, `JobRuntime` is
    /// `duration_s`, `Send` is `send_bytes`, `Receive` is `receive_bytes`, `Exitval` is `exitval`, `Signal` is `signal`, and `Command` is
    /// `function`.
    ///
    /// # What the numbers mean
    ///
    /// The worker measures a task from before its arguments are decoded to after its output is encoded, by a clock that all processes of a
    /// machine share. The clock of another node is set by the message that was the quickest to arrive: its `start_s` is late by the
    /// time that this message took. A task that ended with its worker has the time up to the death, and no `cpu_s`.
    ///
    /// Workers ask for the processor time once a millisecond. A task of a millisecond or more has its own; shorter ones share what all of
    /// them took, by their durations. Workers ask for the memory every 50 ms. Threads that a task starts do not count in `cpu_s`.
    ///
    /// `outcome` is what the worker reports: an output that this process cannot decode is `ok`. A task whose output a
    /// [`journal`](Self::journal) has is `ok` with 0 attempts.
    ///
    /// # What may be lost
    ///
    /// A thread writes lines within some milliseconds, and all of them before the map returns. A killed program keeps the lines up to then.
    /// If the file cannot be written (the disk is full), a line on standard error says so. The map goes on without those lines, and tries
    /// again each second. Tasks without an outcome, as the map ended early, have no line.
    ///
    /// # Limits
    ///
    /// A task takes about 0.5 µs more of processor time, of which this process takes 0.3 µs: tasks of 10 µs that keep two CPUs busy took 4 %
    /// longer (`cargo bench --bench job_log`). [`pool_reduce!`](crate::pool_reduce) folds the outputs here and not in the workers, and an
    /// output of more than 4 MiB is copied once more. One call at a time writes a file. Of several in turn the last one's lines stay.
    ///
    /// # Errors
    ///
    /// When the map runs ([`Error::is_invalid_option`](crate::Error::is_invalid_option)): the file cannot be made; it is no regular file;
    /// another call or program writes it.
    ///
    /// # Worker death
    ///
    /// The execution that was running has a line with its outcome, such as `crashed`, the signal and the duration.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Collect, pool_map, worker};
    ///
    /// #[worker]
    /// fn invert(x: i32) -> Result<i32, String> {
    ///     1000_i32.checked_div(x).ok_or_else(|| "nothing divides by 0".to_owned())
    /// }
    ///
    /// poolmap::init();
    /// # let folder = std::env::temp_dir().join(format!("poolmap-job-log-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("jobs.csv");
    /// let outcomes = pool_map!(invert, 0..4; on_error = Collect, job_log = &path)?;
    /// assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    ///
    /// let log = std::fs::read_to_string(&path).unwrap();
    /// assert!(log.starts_with("index,function,worker,pid,node,attempt,start_s,duration_s,cpu_s,peak_bytes,outcome,detail,"));
    /// let of_first = log.lines().find(|line| line.starts_with("0,")).unwrap();
    /// assert!(of_first.contains(",failed,failed: nothing divides by 0,"));
    ///
    /// // A file that cannot be made is an error before any task runs.
    /// let error = pool_map!(invert, 0..4; job_log = folder.join("missing/jobs.csv")).unwrap_err();
    /// assert!(error.is_invalid_option());
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn job_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.job_log = Some(path.into());
        self
    }
}
