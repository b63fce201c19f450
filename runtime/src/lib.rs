#![doc = include_str!("../README.md")]
//! ## Where to look in this documentation
//!
//! - Functions and calls: [`worker`](macro@worker), [`WorkerFn`], [`main`](macro@main), [`test`](macro@test), [`init`].
//! - Maps: [`pool_map!`], [`pool_try_map!`], [`pool_iter!`], [`pool_iter_unordered!`], [`pool_for_each!`], [`pool_reduce!`],
//!   [`pool_map_captured!`]; their options are the methods of [`Map`].
//! - Pools: [`Pool`], [`Builder`], [`TaskHandle`], [`wait_any`], [`as_completed`].
//! - Single processes: [`Process`], [`ProcessHandle`].
//! - Memory: [`shared()`], [`SharedSlice`], [`SharedSliceMut`].
//! - Between processes: [`channel`], [`Mutex`], [`Semaphore`], [`Event`], [`Barrier`], [`Counter`].
//! - Errors: [`Error`], [`TaskError`], [`TaskErrorKind`], [`RemoteError`].
//! - The [`guide`]: [from Python](guide::coming_from_python), [threads or processes](guide::threads_or_processes),
//!   [C libraries](guide::ffi), [logging, async code, tests and benchmarks](guide::in_practice).
#![deny(unsafe_code)]

// A row may use the rows above it, and none below.
mod between;
mod codec;
mod death;
mod entry;
mod error;
mod fault_points;
mod foreign;
mod launch;
mod locks;
mod macros;
mod map;
mod output;
mod pool;
mod process;
mod progress;
mod registry;
mod shared;
#[allow(unsafe_code, reason = "the one module of system calls")]
mod sys;
mod task;
mod trace;
mod transport;
mod wire;
mod worker;

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod __fuzzing;
#[doc(hidden)]
pub mod __private;
#[cfg(any(doc, doctest))]
pub mod guide;

pub use between::{
    Barrier, BarrierWait, Counter, Event, Mutex, MutexGuard, Receiver, Semaphore, SemaphorePermit, SendError, Sender,
    Values, channel,
};
pub use entry::init;
pub use error::{CodecError, Error, RemoteError, Result, TaskError, TaskErrorKind};
pub use macros::{main, test, worker};
pub use map::{
    AsCompleted, Captured, Collect, Map, OnError, PoolIter, PoolIterUnordered, Replace, Stop, TaskHandle, as_completed,
    wait_any,
};
pub use pool::{Builder, Pool, Stats, cpu_count, global_pool, shutdown_global};
pub use process::{Process, ProcessHandle, ProcessInfo, active_children};
pub use registry::WorkerFn;
pub use shared::{Number, Shared, SharedChunks, SharedChunksMut, SharedPart, SharedSlice, SharedSliceMut, shared};
pub use task::{Output, WorkerInfo};
pub use worker::{current_worker, task_seed};
