//! The option of the builder that says which program the workers are.

use std::path::PathBuf;

use super::builder::Builder;

impl Builder {
    /// Sets the program that workers run, where `main` is not yours: in a library that Python, Node or a C program has loaded. Default:
    /// this program.
    ///
    /// All of that program's `main` is [`run_worker`](crate::run_worker), or its first statement is [`init`](crate::init). This process
    /// need not call `init`. A relative path counts from the current folder at [`build`](Self::build); `PATH` is not searched. The
    /// program gets no arguments.
    ///
    /// Both programs must have the same worker functions: name, place in the source, types of the parameters and the output, and
    /// version of the package. So put the worker functions into a library that both use. A body or a field of a struct that has changed
    /// is not seen: build both from one source.
    ///
    /// A pool inside a task runs that program, too. [The guide](crate::guide::other_mains) shows Python, C and debuggers.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error if there is no such file, or if this user cannot execute it
    /// ([`Error::is_start_failure`](crate::Error::is_start_failure)). If the program does not become a worker, the first call and
    /// [`Pool::ready`](crate::Pool::ready) return an error that names it. If it has other worker functions, the error names both programs
    /// and what differs.
    ///
    /// # Examples
    ///
    /// A library that another program loads, and whose workers are a program beside it:
    ///
    /// ```no_run
    /// use poolmap::{Pool, pool_map, worker};
    ///
    /// #[worker]
    /// fn square(x: u64) -> u64 {
    ///     x * x
    /// }
    ///
    /// #[unsafe(no_mangle)]
    /// extern "C" fn sum_of_squares(last: u64) -> u64 {
    ///     let squares = || {
    ///         let pool = Pool::builder().program("/usr/lib/squares/squares-worker").build()?;
    ///         pool_map!(in &pool, square, 1..=last)
    ///     };
    ///     squares().map_or(0, |squares| squares.iter().sum())
    /// }
    /// ```
    ///
    /// A program that is not there:
    ///
    /// ```
    /// use poolmap::Pool;
    ///
    /// let error = Pool::builder().program("/no/such/worker").build().unwrap_err();
    /// assert!(error.is_start_failure());
    /// assert!(error.to_string().contains("got /no/such/worker: No such file"));
    /// ```
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }
}
