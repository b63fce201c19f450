//! The progress of a call, shown on standard error while it runs: a bar, or lines. It knows of tasks only how many there are.

#[cfg(not(feature = "progress"))]
mod absent;
#[cfg(feature = "progress")]
mod bar;
mod condition;
#[cfg(feature = "progress")]
mod lines;
#[cfg(feature = "progress")]
mod shown;

#[cfg(not(feature = "progress"))]
pub(crate) use absent::Shown;
#[cfg(feature = "progress")]
pub(crate) use shown::Shown;

pub use condition::ShowProgress;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every task has its outcome.
    Whole,
    /// It was ended before.
    Early,
}
