//! The output of workers, where it is tagged or captured: a worker's standard output and standard error are a file each, which the
//! parent has too. A pipe would stop a task whose parent does not read, or be lost with a death; a file does neither.
//!
//! 1. Before a task begins, the worker notes in a third file, the marks, where in the two its output begins, and whose it is.
//! 2. Captured: behind the task's result, in the same record, goes what it printed. Tagged: before the result, and now and then
//!    while the task runs, the worker writes whole lines to where it printed before, and notes how far it has come.
//!    Between tasks, and while one prints much, the worker gives back the memory of what is dealt with.
//! 3. When a worker has ended, the parent reads what it printed since the mark, or since what it wrote last. It trusts nothing of
//!    what it reads, and reads no more than a bound.

mod capture_thread;
mod captured;
mod files;
mod lines;

pub(crate) use capture_thread::{begin, finish, is_kept, start};
pub(crate) use captured::{append_nothing_printed, split};
pub(crate) use files::{Files, FinalOutput, PendingOutput};
pub(crate) use lines::set_node;
