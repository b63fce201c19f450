//! The pool: the workers that a parent owns, and the bytes that move between it and them. It knows no types of values.

mod balance;
mod builder;
mod builder_surroundings;
mod chunk_size;
mod driver;
mod failed_starts;
mod global;
mod handle;
mod lifecycle_results;
mod locked;
mod pending;
mod per_worker;
mod recycling;
mod resize;
mod retirement;
mod rules;
mod scheduler;
mod shutdown;
mod single_task;
mod starts;
mod state;
#[cfg_attr(not(feature = "stream"), allow(dead_code, reason = "streams alone poll a call"))]
mod streams;
mod submissions;
mod submitted;
mod supervisor;
mod surroundings;
mod time_limits;
mod timers;
mod turn;
mod unkillable;
#[cfg_attr(not(feature = "stream"), allow(dead_code, reason = "streams alone poll a call"))]
mod waiting_streams;
mod wakers;
mod worker_slot;

pub(crate) use self::driver::Step;
pub(crate) use self::scheduler::{CallFailure, CallId, CallRules, Consumer, OnCancel, Placement};
pub(crate) use self::state::PoolShared;
pub use builder::Builder;
#[cfg(feature = "stream")]
pub(crate) use global::begin_global;
pub use global::{global_pool, shutdown_global};
pub(crate) use global::{global_unstarted, start_global};
pub use handle::{Pool, cpu_count};
pub use per_worker::Affinity;
pub use resize::Stats;
pub(crate) use single_task::single_chunk;
pub(crate) use submitted::{Outcome, Submitted};
#[cfg(feature = "stream")]
pub(crate) use waiting_streams::StreamWaker;
