//! What a call tells its progress: how many tasks have their outcome and how they came to it, and what the workers are at.

use std::fmt;
use std::ops::AddAssign;

/// Counts tasks with an outcome.
#[cfg_attr(not(feature = "progress"), allow(dead_code, reason = "nothing is shown"))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) done: usize,
    /// Those whose outcome is an error.
    pub(crate) failed: usize,
    /// The executions beyond the first of each task.
    pub(crate) retried: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, Self { done, failed, retried }: Self) {
        self.done += done;
        self.failed += failed;
        self.retried += retried;
    }
}

/// What went wrong, to stand behind the rest of a line. It is empty where nothing did.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failed, retried, .. } = *self;
        if failed > 0 {
            write!(f, ", {failed} failed")?;
        }
        if retried > 0 {
            write!(f, ", {retried} retried")?;
        }
        Ok(())
    }
}

/// What a worker of this machine is at.
#[cfg_attr(not(feature = "progress"), allow(dead_code, reason = "nothing is shown"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunningTask {
    pub(crate) worker: usize,
    pub(crate) index: usize,
    /// Changes when the worker gets on.
    pub(crate) progress_stamp: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_said_and_nothing_else() {
        let said = |failed, retried| Tally { done: 9, failed, retried }.to_string();
        assert_eq!(
            [said(0, 0), said(2, 0), said(0, 1), said(2, 3)],
            ["", ", 2 failed", ", 1 retried", ", 2 failed, 3 retried"]
        );
    }
}
