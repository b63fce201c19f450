//! The option `on_error`: how `pool_map!` treats a task that fails.

use crate::error::{Result, TaskError};

/// Decides how [`pool_map!`](crate::pool_map) handles a failed task: the option `on_error`.
///
/// The value is [`Stop`], [`Collect`], [`Replace`], or a closure `|error: &TaskError| value`, which returns a value in place of the
/// output. The closure runs in this process, on the thread that waits for the results.
///
/// # Examples
///
/// ```
/// use poolmap::{Collect, Replace, TaskError, pool_map, worker};
///
/// #[worker]
/// fn parse(text: &str) -> Result<i64, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// poolmap::init();
/// let texts = ["1", "two", "3"];
/// assert_eq!(pool_map!(parse, texts; on_error = Replace(-1))?, [1, -1, 3]);
/// assert_eq!(pool_map!(parse, texts; on_error = |error: &TaskError| -(error.index() as i64))?, [1, -1, 3]);
/// assert!(pool_map!(parse, texts; on_error = Collect)?[1].is_err());
/// assert!(pool_map!(parse, texts).is_err());
/// # Ok::<(), poolmap::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand for a task that fails, where outputs are `{T}`",
    label = "not `Stop`, `Collect`, `Replace(value)` or a closure `|error: &TaskError| value`, with a value of type `{T}`"
)]
pub trait OnError<T> {
    /// The item type of the returned list.
    type Item;

    /// Returns the item for an output.
    fn output(&self, output: T) -> Self::Item;

    /// Returns the item for a task that failed.
    ///
    /// # Errors
    ///
    /// That of the task, where the map stops.
    fn error(&self, error: TaskError) -> Result<Self::Item>;
}

/// Stops the map at the first task seen to fail, with its error: `on_error = Stop`, the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop;

/// Collects the outcome of every task, `Result<Output, TaskError>`: `on_error = Collect`.
///
/// [`pool_try_map!`](crate::pool_try_map) returns the same list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collect;

/// Replaces the output of a failed task by a clone of the value: `on_error = Replace(value)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replace<T>(pub T);

impl<T> OnError<T> for Stop {
    type Item = T;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn output(&self, output: T) -> T {
        output
    }

    fn error(&self, error: TaskError) -> Result<T> {
        Err(error.into())
    }
}

impl<T> OnError<T> for Collect {
    type Item = Result<T, TaskError>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn output(&self, output: T) -> Self::Item {
        Ok(output)
    }

    fn error(&self, error: TaskError) -> Result<Self::Item> {
        Ok(Err(error))
    }
}

impl<T: Clone> OnError<T> for Replace<T> {
    type Item = T;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn output(&self, output: T) -> T {
        output
    }

    fn error(&self, _error: TaskError) -> Result<T> {
        Ok(self.0.clone())
    }
}

impl<T, V: Fn(&TaskError) -> T> OnError<T> for V {
    type Item = T;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn output(&self, output: T) -> T {
        output
    }

    fn error(&self, error: TaskError) -> Result<T> {
        Ok(self(&error))
    }
}
