//! Reports to a subscriber of the program's: events of pools, workers and calls (`events`), and the spans and events that tasks
//! make in workers. The only owner of the crates tracing and log. Without the feature `tracing` nothing of it is left (`absent`).
//!
//! The way of a worker's event:
//!
//! 1. The parent has a *call log* ([`CallLog`]) for each call that somebody listens to when it begins: its subscriber, and the caller's
//!    span. It travels with the chunks of the call. Where there is none, nothing of the following happens.
//! 2. Before a worker is given the first such chunk it is sent one end of a pair of sockets ([`WorkerLog`]). Each chunk says which call log
//!    is its own, and the level of the parent's filter at that moment.
//! 3. In the worker a subscriber (`forwarder`), and a logger (`logger`), write each span and each event as a packet (`record`) before the
//!    next statement of the task runs. So nothing is left to be written when a worker dies. While the parent does not read, they wait.
//! 4. A thread of the parent (`reader`) reads the packets of all workers, and replays them (`replay`) for the subscriber of their call, with
//!    metadata that it keeps for good (`call_sites`). It is the only thread that does, so that spans are entered and exited on one.
//! 5. A packet is written before the result of its task. A thread that has taken results waits, before it hands them out, until what the
//!    workers had written is replayed ([`settle`]).
//! 6. The parent trusts no packet: its size, the call sites and the open spans of a worker are bounded, a call log counts only for a
//!    worker that was given it, and what is wrong is dropped, with one warning for each worker.

mod events;

#[cfg(not(feature = "tracing"))]
mod absent;
#[cfg(feature = "tracing")]
mod activation;
#[cfg(feature = "tracing")]
mod call_log;
#[cfg(feature = "tracing")]
mod call_sites;
#[cfg(feature = "tracing")]
mod forwarder;
#[cfg(feature = "tracing")]
mod link;
#[cfg(feature = "tracing")]
mod logger;
#[cfg(feature = "tracing")]
mod reader;
#[cfg(feature = "tracing")]
mod record;
#[cfg(feature = "tracing")]
mod replay;
#[cfg(feature = "tracing")]
mod worker_log;

#[cfg(not(feature = "tracing"))]
pub(crate) use absent::{
    CallLog, WorkerLog, connect, end_task, enter_lifecycle_call, enter_task, is_forwarding, set_tasks, settle,
};
#[cfg(feature = "tracing")]
pub(crate) use activation::{enter_lifecycle_call, set_tasks};
#[cfg(feature = "tracing")]
pub(crate) use call_log::{CallLog, enter_task};
pub(crate) use events::{Log, TraceEvent, call_closed, call_opened, pool_ended, pool_started, task_failed};
#[cfg(feature = "tracing")]
pub(crate) use link::{connect, end_task, is_forwarding};
#[cfg(feature = "tracing")]
pub(crate) use reader::settle;
#[cfg(feature = "tracing")]
pub(crate) use worker_log::WorkerLog;
