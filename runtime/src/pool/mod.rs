//! The pool: the workers that a parent owns, and the bytes that move between it and them. It knows no types of values.

mod balance;
mod builder;
mod chunk_size;
mod close;
mod core;
mod drive;
mod global;
mod handle;
mod hooks;
mod limits;
mod pending;
mod queue;
mod recycling;
mod resize;
mod retirement;
mod rules;
mod seat;
mod setbacks;
mod starts;
mod submissions;
mod submitted;
mod supervisor;
mod timers;
mod unended;

pub(crate) use self::core::Shared;
pub(crate) use self::drive::Step;
pub(crate) use self::queue::{CallFailure, CallId, CallRules, Pace, Placement, Running};
pub(crate) use self::rules::Limits;
pub use builder::Builder;
pub use global::{global_pool, shutdown_global};
pub(crate) use global::{global_unstarted, start_global};
pub use handle::{Pool, cpu_count};
pub use resize::Stats;
pub(crate) use submitted::{Outcome, Submitted};
