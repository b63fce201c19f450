//! Pages on one question each, to be read: there is no code in them but their examples.
//!
//! The text of a page is a file of `docs/`, or two where it is long, with a link to each in `runtime/docs/`, from where they are
//! packaged.

#[doc = include_str!("../docs/ffi.md")]
pub mod ffi {}

#[doc = include_str!("../docs/coming_from_python.md")]
#[doc = include_str!("../docs/coming_from_python_continued.md")]
pub mod coming_from_python {}

#[doc = include_str!("../docs/in_practice.md")]
pub mod in_practice {}

#[doc = include_str!("../docs/threads_or_processes.md")]
pub mod threads_or_processes {}
