//! The pool: the workers that a parent owns, and the bytes that move between it and them. It knows no types of values.

mod admission;
mod arguments_memory;
mod balance;
mod builder;
mod builder_environment;
mod builder_in_process;
mod builder_processes;
mod builder_program;
#[cfg(feature = "sandbox")]
mod builder_sandbox;
mod builder_surroundings;
mod call_events;
mod chunk_size;
mod counters;
mod deaths;
mod driver;
mod failed_starts;
mod foundation;
mod global;
mod handle;
mod histogram;
mod in_process;
mod launcher;
mod lifecycle_results;
mod locked;
mod node_builder;
mod own_tasks;
mod pending;
mod per_worker;
mod recycling;
mod remote;
mod resize;
mod retirement;
mod retry_policy;
mod rules;
mod running_tasks;
mod scheduler;
#[cfg(feature = "sandbox")]
mod settled_sandbox;
mod shutdown;
mod single_task;
mod standby;
mod starts;
mod state;
mod stats;
#[cfg_attr(not(feature = "stream"), allow(dead_code, reason = "streams alone poll a call"))]
mod streams;
mod submission_times;
mod submissions;
mod submitted;
mod supervisor;
mod surroundings;
mod time_limits;
mod times_intake;
mod turn;
mod unkillable;
#[cfg_attr(not(feature = "stream"), allow(dead_code, reason = "streams alone poll a call"))]
mod waiting_streams;
mod wakers;
mod worker_ends;
mod worker_slot;

pub(crate) use self::driver::Step;
pub(crate) use self::scheduler::{
    CallFailure, CallId, CallRules, Consumer, OnCancel, Parcel, ParcelId, Placement, RemoteAbort, RemoteEnd,
    RemoteEnded, deaths,
};
pub(crate) use self::state::PoolShared;
pub use builder::Builder;
pub use deaths::{DeathCause, Deaths};
#[cfg(feature = "stream")]
pub(crate) use global::begin_global;
pub(crate) use global::{
    Cluster, global_unstarted, global_workers, join_cluster, start_global, workers_from_environment,
};
pub use global::{global_pool, shutdown_global};
pub use handle::{Pool, cpu_count};
pub use histogram::Histogram;
pub(crate) use node_builder::of_node;
pub use per_worker::Affinity;
pub(crate) use retry_policy::RetryRules;
pub use rules::StartMethod;
pub(crate) use rules::{Admission, SubmissionRules};
pub(crate) use single_task::single_chunk;
pub use stats::Stats;
pub(crate) use submitted::{Outcome, Submitted};
#[cfg(feature = "stream")]
pub(crate) use waiting_streams::StreamWaker;
pub(crate) use wakers::WakeRemote;
