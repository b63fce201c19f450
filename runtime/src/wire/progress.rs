//! How far the tasks of a worker have come, as words that others see, and what a run of some of them leaves.

use std::sync::atomic::AtomicU64;

use super::{Status, TimesWords};

/// How far the tasks have come, for others to see.
pub(crate) struct TaskProgress<'a> {
    pub(crate) begun: &'a AtomicU64,
    pub(crate) finished: &'a AtomicU64,
    /// Written by others: whether tasks are not to be begun any more.
    pub(crate) revoked: &'a AtomicU64,
    /// When the running task began, or one of short tasks shortly before it.
    pub(crate) begun_nanos: &'a AtomicU64,
    /// Where it is counted how long tasks wait and take, and how many fail.
    pub(crate) times: TimesWords<'a>,
    pub(crate) count: Finished,
}

/// The finished tasks: their number, and the position at which their results end. Both wrap around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) position: u32,
    pub(crate) tasks: u32,
}

impl Finished {
    /// As the one word that others see.
    #[inline]
    pub(crate) fn pack(self) -> u64 {
        u64::from(self.tasks) << 32 | u64::from(self.position)
    }

    pub(crate) fn unpack(word: u64) -> Self {
        Self { position: word as u32, tasks: (word >> 32) as u32 }
    }
}

/// The results of some tasks that were run.
pub(crate) struct TasksRun {
    pub(crate) finished: Finished,
    /// The bytes of those that were.
    pub(crate) taken: usize,
    /// The last one's result, if it outgrew the room, or those of all where they are folded. They are not among the finished.
    pub(crate) oversized: Option<Box<OversizedResult>>,
}

/// A result that is to be brought to its place, and the empty ones around it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OversizedResult {
    pub(crate) status: Status,
    pub(crate) bytes: Vec<u8>,
    pub(crate) before: u32,
    pub(crate) behind: u32,
}

impl OversizedResult {
    pub(crate) fn alone(status: Status, bytes: Vec<u8>) -> Self {
        Self { status, bytes, before: 0, behind: 0 }
    }

    /// Returns the status of the results behind it.
    pub(crate) fn status_behind(&self) -> Status {
        if self.status == Status::Output { Status::Output } else { Status::NotRun }
    }
}
