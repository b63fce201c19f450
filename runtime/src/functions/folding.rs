//! The state of a run whose outputs are folded, and its results. The rules are in `fold`.

use crate::wire::{OversizedResult, Status};

/// No more bytes of outputs are folded into one, but for those of the last.
pub(super) const BYTES_MAX: usize = 1 << 20;

/// The state of a run.
#[derive(Default)]
pub(super) struct FoldState {
    /// How many outputs are folded.
    pub(super) outputs: u32,
    /// How many tasks behind them are not begun.
    pub(super) not_begun: u32,
    /// The bytes of their outputs.
    pub(super) bytes: usize,
    /// The output that a task printed is written out at its end.
    pub(super) flushes: bool,
    /// No other task is to be begun, as those behind the ones that were are not to be run.
    pub(super) is_cut: bool,
    /// The tasks are over, and their output is being written.
    pub(super) is_closing: bool,
    /// The failure of the task that was begun last, if it has no output.
    pub(super) stopped: Option<(Status, Vec<u8>)>,
    pub(super) output: Vec<u8>,
}

impl FoldState {
    /// Whether no other task is to be begun.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX || self.is_cut
    }

    /// The results of the run, and how many of its tasks were counted already.
    pub(super) fn into_results(self) -> Option<(OversizedResult, u32)> {
        let Self { outputs, not_begun, .. } = self;
        let results = match self.stopped {
            Some((status, bytes)) => OversizedResult { status, bytes, before: outputs, behind: not_begun },
            None => {
                let behind = outputs.checked_sub(1)?;
                OversizedResult { status: Status::Output, bytes: self.output, before: 0, behind }
            }
        };
        Some((results, outputs))
    }
}
