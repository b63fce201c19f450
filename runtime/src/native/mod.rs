//! The stack of a worker that has ended, as text: what the worker has recorded of it, with the names that the files say.
//!
//! - *file*: a program or library with code, as the worker had loaded it.
//! - *offset*: an address in a file, as its own tables have it, whatever the place in memory.
//! - *name*: a function, and the line that a call is at. Several have one address where functions are inlined.

#[cfg(feature = "backtrace")]
mod limits;
#[cfg(feature = "backtrace")]
mod names;
mod text;

use crate::error::NativeBacktrace;
use crate::sys::NativeStack;

/// The text of a stack, which is made when it is asked for.
pub(crate) fn backtrace(stack: NativeStack) -> NativeBacktrace {
    NativeBacktrace::new(move || text::text(stack, look_up))
}

/// Finds the names at the frames of a stack.
#[cfg(feature = "backtrace")]
fn look_up(stack: NativeStack) -> Vec<Vec<text::CallName>> {
    limits::within_time(move || names::look_up(&stack)).unwrap_or_default()
}

/// Without the feature there are none.
#[cfg(not(feature = "backtrace"))]
fn look_up(_stack: NativeStack) -> Vec<Vec<text::CallName>> {
    Vec::new()
}
