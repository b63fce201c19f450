//! The progress of a call, shown on standard error while it runs: a bar, or lines. It knows of tasks only how many there
//! are, and which are at the workers.

mod argument;
#[cfg(feature = "progress")]
mod bar;
#[cfg(not(feature = "progress"))]
mod disabled;
#[cfg(feature = "progress")]
mod display;
mod facts;
#[cfg(feature = "progress")]
mod lines;
mod nodes;
#[cfg(feature = "progress")]
mod slowest;

#[cfg(not(feature = "progress"))]
pub(crate) use disabled::Shown;
#[cfg(feature = "progress")]
pub(crate) use display::Shown;

pub use argument::ShowProgress;
pub(crate) use facts::{RunningTask, Tally};
pub(crate) use nodes::{CountNodes, ServingNodes};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every task has its outcome.
    Whole,
    /// It was ended before.
    Early,
}
