//! The stack of a worker that has ended, as text: what the worker has recorded of it, with the names that the files say.
//!
//! - *file*: a program or library with code, as the worker had loaded it.
//! - *offset*: an address in a file, as its own tables have it, whatever the place in memory.
//! - *name*: a function, and the line that a call is at. Several have one address where functions are inlined.

mod backtrace;
#[cfg(feature = "backtrace")]
mod limits;
#[cfg(feature = "backtrace")]
mod names;
mod text;

pub(crate) use backtrace::backtrace;
