//! The call of a failed task: its arguments by name, and their text. The rules are in `kept_arguments`.

use super::function::WorkerFn;
use super::kept_arguments::{ArgumentTexts, KeptArguments};
use super::table::Registration;
use super::task_phase::TaskAbort;
use crate::error::{CodecError, FailedArguments, TaskError};
use crate::foreign;

impl TaskError {
    /// Returns the failed task's call: its arguments by name, in the struct that `#[worker]` makes of the function `F`.
    ///
    /// It is `None`
    /// - if `F` is another function;
    /// - if the arguments take more than 1 MiB as bytes, or all errors of the program together keep more than 256 MiB;
    /// - if an argument is [`shared`](crate::shared()), or holds a [`SharedSlice`](crate::SharedSlice), a part of a
    ///   [`SharedSliceMut`](crate::SharedSliceMut), an [`Fd`](crate::Fd) or another handle;
    /// - if an argument could not be encoded, or does not decode;
    /// - if the task's row was never read, as its map ended before.
    ///
    /// The arguments are decoded here, by their `Deserialize`, in each call of this method. A panic of it gives `None` (under
    /// `panic = "abort"` it ends the program). A redacted argument ([`worker`](macro@crate::worker)) is returned too.
    ///
    /// # Worker death
    ///
    /// The parent keeps the arguments, so it has them whatever ended the worker.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{pool_map, worker};
    ///
    /// #[worker]
    /// fn divide(x: u32, by: u32) -> u32 {
    ///     x / by
    /// }
    ///
    /// poolmap::init();
    /// let error = pool_map!(divide, [8, 9], [2, 0]).unwrap_err();
    /// assert!(error.to_string().starts_with("task 1 of `"), "{error}");
    /// assert!(error.to_string().contains("divide` (x: 9, by: 0) panicked"), "{error}");
    ///
    /// let call: divide = error.task().and_then(|task| task.call()).unwrap();
    /// assert_eq!((call.x, call.by), (9, 0));
    /// ```
    pub fn call<F: WorkerFn>(&self) -> Option<F> {
        let (bytes, shared) = self.arguments()?.of_function(F::__registration().address())?;
        let mut arguments = KeptArguments::new(bytes, shared);
        let taken = foreign::run(|| F::__take_arguments(&mut arguments)).ok()??;
        if arguments.is_at_end() {
            return Some(taken);
        }
        foreign::dispose(taken);
        None
    }
}

/// The arguments of a task of a function, as its error keeps them. It may run code of the program's.
#[cold]
pub(crate) fn failed_arguments(function: &'static Registration, bytes: &[u8], shared: u16) -> FailedArguments {
    FailedArguments::new(bytes, shared, function.show_arguments(), function.address())
}

/// The same before it is known whether it fails: arguments that are too large to be kept are not looked at.
pub(crate) fn kept_arguments(function: &'static Registration, bytes: &[u8], shared: u16) -> Option<FailedArguments> {
    FailedArguments::kept(bytes, shared, function.show_arguments(), function.address())
}

/// Makes the text of a task's arguments. It is in the table of worker functions, compiled for each.
pub fn show_arguments<F: WorkerFn>(bytes: &[u8], shared: u16) -> String {
    let mut texts = ArgumentTexts::new(KeptArguments::new(bytes, shared));
    foreign::run_quietly(|| F::__show_arguments(&mut texts));
    texts.finish()
}

/// The error of a redacted argument that does not decode: the cause may name it.
#[cold]
pub fn redacted_argument(name: &str) -> TaskAbort {
    TaskAbort::Decode(CodecError::new(format!("argument `{name}`: the cause is redacted")))
}

/// The error of a redacted argument that does not encode.
#[cold]
pub fn redacted_encoding() -> CodecError {
    CodecError::new("an argument is too large for a message, or its Serialize failed: the cause is redacted")
}
