//! Longer pages, one question each: they hold no code but their examples.
//!
//! - [`coming_from_python`]: each form of Python's `multiprocessing`, `concurrent.futures` and pathos, and its form here.
//! - [`threads_or_processes`]: when to take threads, when processes, and the cost of each.
//! - [`ffi`]: C libraries that crash, leak, hang or are not thread-safe.
//! - [`in_practice`]: logging, errors, async code, programs that are interrupted, tests, debuggers, Miri, benchmarks, and programs that
//!   are not yours.
//! - [`on_a_cluster`]: the same program on many machines, under `mpirun` and `srun`.
//! - [`when_a_task_fails`]: from the error of one task, by its arguments and backtrace, to the debugger.
//! - [`untrusted_input`]: workers that run an attacker's code: what holds it, by which wall, and what does not.
//! - [`other_mains`]: pools where `main` is not yours: Python, C, debuggers, loaders.

// The text of a page is a file of `docs/`, or two where it is long. `runtime/docs/` has a link to each, which is packaged.

#[doc = include_str!("../docs/ffi.md")]
pub mod ffi {}

#[doc = include_str!("../docs/coming_from_python.md")]
#[doc = include_str!("../docs/coming_from_python_continued.md")]
pub mod coming_from_python {}

#[doc = include_str!("../docs/in_practice.md")]
pub mod in_practice {}

#[doc = include_str!("../docs/on_a_cluster.md")]
pub mod on_a_cluster {}

#[doc = include_str!("../docs/other_mains.md")]
pub mod other_mains {}

#[doc = include_str!("../docs/threads_or_processes.md")]
pub mod threads_or_processes {}

#[cfg(feature = "sandbox")]
#[doc = include_str!("../docs/untrusted_input.md")]
pub mod untrusted_input {}

#[doc = include_str!("../docs/when_a_task_fails.md")]
pub mod when_a_task_fails {}

/// The examples of the README run with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub mod readme {}
