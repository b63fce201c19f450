//! Pages on one question each, to be read: there is no code in them but their examples.
//!
//! The text of a page is a file of `docs/`, with a link to it in `runtime/docs/`, from where it is packaged.

#[doc = include_str!("../docs/ffi.md")]
pub mod ffi {}

#[doc = include_str!("../docs/coming_from_python.md")]
pub mod coming_from_python {}

#[doc = include_str!("../docs/threads_or_processes.md")]
pub mod threads_or_processes {}
