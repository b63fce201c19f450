#![doc = include_str!("../README.md")]
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
