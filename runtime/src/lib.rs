//! Runs functions of your program in parallel **processes**, so that a crash costs one task.
//!
//! [`pool_map!`]`(f, xs, ys)` calls a function with several arguments over several iterators, in copies of your own program. No
//! closure is serialised. The compiler checks every argument.
//!
//! ```
//! use poolmap::{pool_map, worker};
//!
//! #[worker]
//! pub fn add_and_subtract(x: i64, y: i64) -> (i64, i64) {
//!     (x + y, x - y)
//! }
//!
//! #[poolmap::main]
//! fn main() -> poolmap::Result<()> {
//!     let pairs: Vec<(i64, i64)> = pool_map!(add_and_subtract, (0..20).step_by(2), -5..5)?;
//!     assert_eq!(pairs[0], (-5, 5));
//!     Ok(())
//! }
//! ```
//!
//! Use it for work that is unsafe to run in threads: C libraries that crash, leak or are not thread-safe, input that makes them do
//! so, and work that must be ended from outside. For everything else threads are simpler
//! ([threads or processes](guide::threads_or_processes)). poolmap guards against faults, not against attackers: a worker runs with
//! your rights, but for one in a sandbox (the feature `sandbox`).
//!
//! # Three steps
//!
//! 1. Put [`#[worker]`](macro@worker) above a function. The function does not change. The attribute adds a struct of the same name
//!    that implements [`WorkerFn`]: `add_and_subtract { x: 1, y: 2 }` is a call with named arguments.
//! 2. Put [`#[poolmap::main]`](macro@main) above `main`, or call [`init()`] as its first statement: this is where a worker (your
//!    program, re-executed) leaves `main` and starts serving tasks. In tests, [`#[poolmap::test]`](macro@test) replaces `#[test]`.
//! 3. Call the function by a macro or a method of the next table.
//!
//! # Where to look
//!
//! | you want | you call |
//! |---|---|
//! | all results, in order; an error at the first failed task | [`pool_map!`] |
//! | the outcome of every task | [`pool_try_map!`]; with the task's printed output: [`pool_map_captured!`] |
//! | results while others are computed | [`pool_iter!`] in order, [`pool_iter_unordered!`] as tasks finish |
//! | the same in async code | [`pool_stream!`], [`pool_stream_unordered!`]; [`stream()`] for an input that is a stream |
//! | no outputs, or one value folded from them | [`pool_for_each!`], [`pool_reduce!`] |
//! | a limit, a retry, a chunk size | an option after `;`, such as [`timeout`](Map::timeout) or [`attempts`](Map::attempts): the methods of [`Map`] |
//! | to go on after a crash, a kill or a requeued job | the option [`journal`](Map::journal), or the variable `POOLMAP_JOURNAL` |
//! | to see where the time went | the options [`job_log`](Map::job_log) and [`timeline`](Map::timeline) |
//! | another outcome for failed tasks | the option [`on_error`](Map::on_error): [`Stop`], [`Collect`], [`Replace`], a closure ([`OnError`]) |
//! | workers of your own | [`Pool`], [`Pool::builder()`], [`Builder`]; [`global_pool()`] is the pool of calls that name none |
//! | one call, now or later | [`Pool::apply`], [`Pool::submit`], [`TaskHandle`], [`wait_any()`], [`as_completed()`] |
//! | one call with a limit | [`Pool::call`], [`SingleCall`]; [`abort_on_drop`](TaskHandle::abort_on_drop) for a future that is given up |
//! | an environment, a GPU, CPUs for each worker | [`Builder::env`], [`Builder::env_for_each`], [`Builder::affinity`], [`Affinity`] |
//! | workers that start at once with a large model | [`Builder::start_method`], [`StartMethod`], [`Builder::preload`] |
//! | one call in a process of its own | [`Process`], [`ProcessHandle`], [`active_children()`] |
//! | large values without copies | [`shared()`], [`SharedSlice`], [`SharedSliceMut`] |
//! | files and sockets as arguments | [`Fd`] |
//! | synchronization between processes | [`channel()`], [`Mutex`], [`Semaphore`], [`Event`], [`Barrier`], [`Counter`] |
//! | facts inside a task | [`current_worker()`], [`task_seed()`] |
//! | the cause of a failure | [`Error`], [`TaskError`], [`TaskErrorKind`], [`RemoteError`] |
//! | workers for input that is not trusted | `Builder::sandbox`, `Sandbox`, `Pool::sandbox_status`, with the feature `sandbox` |
//! | where printed lines go | [`Builder::output`], [`Output`] |
//!
//! The [`guide`] has longer pages: [coming from Python](guide::coming_from_python),
//! [threads or processes](guide::threads_or_processes), [C libraries](guide::ffi),
//! [when a task fails at night](guide::when_a_task_fails),
//! [logging, async code, tests and benchmarks](guide::in_practice) and
//! [Python, Node and whatever else has a `main` of its own](guide::other_mains).
//!
//! # Failures
//!
//! A task that returns an `Err`, panics, kills its worker or exceeds a limit fails alone. Its [`TaskError`] names the task, the
//! function and the cause. The pool replaces a dead worker; finished results are kept, and tasks that had not begun run on another
//! worker. No task runs twice unless you ask for it ([`attempts`](Map::attempts), [`retry_errors`](Map::retry_errors)).
//!
//! ```
//! use poolmap::{TaskErrorKind, pool_try_map, worker};
//!
//! #[worker]
//! fn check(age: u32) -> Result<u32, String> {
//!     match age {
//!         0..=120 => Ok(age),
//!         121..=150 => Err(format!("{age} is too old")),
//!         _ => std::process::abort(), // as a broken C library might
//!     }
//! }
//!
//! poolmap::init();
//! let outcomes = pool_try_map!(check, [7, 130, 999])?;
//! assert_eq!(outcomes[0].as_ref().ok(), Some(&7));
//! assert!(matches!(outcomes[1].as_ref().unwrap_err().kind(), TaskErrorKind::Failed(_)));
//! assert!(matches!(outcomes[2].as_ref().unwrap_err().kind(), TaskErrorKind::Crashed { .. }));
//! # Ok::<(), poolmap::Error>(())
//! ```
//!
//! # Tests and benchmarks
//!
//! [`#[poolmap::test]`](macro@test) replaces `#[test]`, under `cargo test` and under nextest. Place it above `#[tokio::test]`.
//!
//! ```
//! use poolmap::{pool_map, worker};
//!
//! #[worker]
//! fn square(x: u64) -> u64 {
//!     x * x
//! }
//!
//! #[poolmap::test]
//! fn squares() -> poolmap::Result<()> {
//!     assert_eq!(pool_map!(square, 1..4)?, [1, 4, 9]);
//!     Ok(())
//! }
//! # fn main() {}
//! ```
//!
//! A doctest is a program of its own: its first statement is `poolmap::init();`, as in the examples here. A benchmark under criterion
//! has `harness = false` and a `main` written by hand, whose first statement is [`init()`]; `criterion_main!` writes a `main` that
//! never calls it. Make the pool and call [`Pool::ready`] before you measure. [In practice](guide::in_practice) shows such a `main`.
//!
//! # Logging from workers
//!
//! With the feature `tracing`, what tasks log with the crates tracing and log arrives at the subscriber that `main` sets, in the span of the
//! caller and of the task, up to the last line before a crash. [In practice](guide::in_practice#logging-from-workers) has the details.
//!
//! Without it, note that a worker never runs the statements of `main` after [`init()`], so a logger that `main` sets up does not exist in a
//! worker. Set the logger up in an [`initializer`](Builder::initializer), which each worker runs before its first task.
//!
//! ```
//! use poolmap::{Pool, pool_map, worker};
//!
//! #[worker]
//! fn set_up_log() {
//!     // env_logger::init(), or tracing_subscriber::fmt::init()
//!     eprintln!("worker {:?} logs", poolmap::current_worker().map(|worker| worker.index()));
//! }
//!
//! #[worker]
//! fn double(x: u64) -> u64 {
//!     2 * x
//! }
//!
//! poolmap::init();
//! let pool = Pool::builder().workers(2).initializer(set_up_log {}).build()?;
//! assert_eq!(pool_map!(in &pool, double, 1..4)?, [2, 4, 6]);
//! # Ok::<(), poolmap::Error>(())
//! ```
//!
//! [`Output::Tagged`] puts the task before each line that a task prints, without a logger.
//!
//! # Async code and web services
//!
//! A [`TaskHandle`] is a future that any runtime can await. Keep one pool for the whole service, in an `Arc` as the state of a
//! framework such as axum, and await each call in its handler. [`#[poolmap::main]`](macro@main) goes above `#[tokio::main]`, so
//! that no runtime starts in a worker.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use poolmap::{Pool, worker};
//!
//! #[worker]
//! fn thumbnail(width: u32, height: u32) -> u32 {
//!     width * height / 64
//! }
//!
//! /// A handler: a crash of the library behind `thumbnail` is an error of this request alone. When the client leaves, the framework drops
//! /// this future, and the call ends with it.
//! async fn handle(pool: Arc<Pool>, width: u32, height: u32) -> poolmap::Result<u32> {
//!     let call = pool.call(thumbnail { width, height }).timeout(Duration::from_secs(5));
//!     call.submit()?.abort_on_drop().await
//! }
//!
//! # use std::task::{Context, Poll, Wake, Waker};
//! # struct Unpark(std::thread::Thread);
//! # impl Wake for Unpark {
//! #     fn wake(self: Arc<Self>) {
//! #         self.0.unpark();
//! #     }
//! # }
//! # fn block_on<T>(future: impl Future<Output = T>) -> T {
//! #     let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
//! #     let mut future = std::pin::pin!(future);
//! #     loop {
//! #         match future.as_mut().poll(&mut Context::from_waker(&waker)) {
//! #             Poll::Ready(output) => return output,
//! #             Poll::Pending => std::thread::park(),
//! #         }
//! #     }
//! # }
//! poolmap::init();
//! let pool = Arc::new(Pool::builder().workers(2).build()?);
//! assert_eq!(block_on(handle(pool, 64, 64))?, 64);
//! # Ok::<(), poolmap::Error>(())
//! ```
//!
//! Dropping the future cancels a call that no worker has begun; a running call continues to its end. The maps block their thread:
//! call them by the runtime's `spawn_blocking`, or use [`pool_stream!`], which waits without blocking. `examples/futures.rs` and
//! `examples/stream.rs` run under tokio, `examples/service.rs` under axum.
//!
//! # C libraries
//!
//! Each worker is a process with its own copy of a library's globals, and runs one task at a time on one thread. So a library that
//! is not thread-safe needs no lock. The generator behind C's `rand` has one state for the whole process:
//!
//! ```
//! use std::ffi::{c_int, c_uint};
//!
//! use poolmap::{pool_map, worker};
//!
//! // SAFETY: these are the declarations of C's <stdlib.h>.
//! unsafe extern "C" {
//!     fn srand(seed: c_uint);
//!     fn rand() -> c_int;
//! }
//!
//! #[worker]
//! fn draw(seed: u32) -> i32 {
//!     // SAFETY: only the tasks of this worker call the two functions, one task at a time.
//!     unsafe {
//!         srand(seed);
//!         rand()
//!     }
//! }
//!
//! poolmap::init();
//! let drawn = pool_map!(draw, [1, 2, 1])?;
//! assert_eq!(drawn[0], drawn[2]);
//! # Ok::<(), poolmap::Error>(())
//! ```
//!
//! [C libraries](guide::ffi) covers handles that each worker keeps, crashes, leaks, hangs and threads of a library.
//!
//! # Other people's mains: Python, Node, plugins
//!
//! A worker is the running program, re-executed. Where your crate is a library that a foreign program has loaded (a PyO3 module, a
//! Node addon, a plugin), that program is the interpreter, and a worker would never reach [`init()`]. There, ship a program for the
//! workers beside the library, and name it:
//!
//! ```no_run
//! # mod jobs {
//! #     #[poolmap::worker]
//! #     pub fn length(text: &str) -> usize {
//! #         text.len()
//! #     }
//! # }
//! use poolmap::{Pool, pool_map};
//!
//! // The library. The worker functions are in another, `jobs`, which both programs use.
//! fn lengths(texts: &[String]) -> poolmap::Result<Vec<usize>> {
//!     let pool = Pool::builder().program("/usr/lib/jobs/jobs-worker").build()?;
//!     pool_map!(in &pool, jobs::length, texts)
//! }
//!
//! // All of jobs-worker, behind `use jobs as _;`
//! fn main() {
//!     poolmap::run_worker()
//! }
//! ```
//!
//! [Other mains](guide::other_mains) has the whole, for Python and for C.
//!
//! # Features
//!
//! - `stream`, on by default: [`pool_stream!`] and [`pool_stream_unordered!`]. It needs the crate futures-core, which has the trait
//!   `Stream`, alone.
//! - `backtrace`, off by default: [`TaskError::native_backtrace`] has the names of functions, with files and lines. Without it that says
//!   files and offsets.
//! - `bytemuck`, off by default: [`SharedSlice`] and [`SharedSliceMut`] hold structs that implement `bytemuck::Pod`.
//! - `json`, off by default: `Json(value)` carries a value of a type that describes itself.
//! - `nats`, off by default: a NATS server with JetStream connects the nodes of a cluster (`POOLMAP_ENGINE=nats://HOST:PORT`).
//! - `progress`, off by default: the option [`progress`](Map::progress).
//! - `sandbox`, off by default: `Builder::sandbox`, for input that is not trusted. Its walls are Linux's (x86-64 and aarch64).
//! - `tracing`, off by default: events of pools, workers, calls and failed tasks, and what tasks log, for a subscriber of the crate tracing.
//!
//! # Limits
//!
//! - Linux is tested. macOS is meant to compile. Windows is not supported.
//! - A worker takes a few milliseconds to start, and some megabytes.
//! - Arguments and results are encoded with bincode, which cannot carry types that describe themselves (`serde_json::Value`,
//!   `untagged`, `flatten`). The error says so, and names the remedy: `Json(value)`, with the feature `json`.
//! - A worker does not share the statics of its parent. The statements before [`init()`] run in it too.
#![deny(unsafe_code)]

// A row may use the rows above it, and none below.
mod attributes;
mod child;
mod cluster;
mod codec;
mod digest;
mod entry;
mod error;
mod failpoints;
mod foreign;
mod functions;
mod in_process;
mod journal;
mod locks;
mod macros;
mod map;
mod native;
mod output;
mod pool;
mod process;
mod progress;
mod recording;
mod replay;
#[cfg(feature = "sandbox")]
mod sandbox;
mod shared;
mod sync;
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

pub use attributes::{main, test, worker};
#[cfg(feature = "nats")]
pub use cluster::nats;
pub use cluster::{ClusterInfo, cluster, wait_for_nodes};
#[cfg(feature = "json")]
pub use codec::Json;
pub use entry::{init, run_worker};
pub use error::{CodecError, Error, RemoteError, Result, TaskError, TaskErrorKind};
pub use functions::WorkerFn;
pub use map::{
    AsCompleted, Collect, Map, OnError, PoolIter, PoolIterUnordered, Replace, SingleCall, Stop, TaskHandle,
    as_completed, wait_any, wait_any_timeout,
};
#[cfg(feature = "stream")]
pub use map::{PoolStream, PoolStreamUnordered, StreamInput, stream};
pub use pool::{
    Affinity, Builder, DeathCause, Deaths, Histogram, Pool, StartMethod, Stats, cpu_count, global_pool, shutdown_global,
};
pub use process::{Process, ProcessHandle, ProcessInfo, active_children};
#[cfg(feature = "sandbox")]
pub use sandbox::{Sandbox, SandboxStatus};
pub use shared::{
    Element, Fd, Number, Shared, SharedChunks, SharedChunksMut, SharedPart, SharedSlice, SharedSliceMut, shared,
};
pub use sync::{
    Barrier, BarrierWait, Counter, Event, Mutex, MutexGuard, Receiver, Semaphore, SemaphorePermit, SendError, Sender,
    Values, channel,
};
pub use task::{Captured, Output, WorkerInfo};
pub use worker::{current_worker, task_seed};
