//! How far the tasks of a worker have come, as words that others see.

use std::sync::atomic::AtomicU64;

/// How far the tasks have come, for others to see.
pub(crate) struct TaskProgress<'a> {
    pub(crate) begun: &'a AtomicU64,
    pub(crate) finished: &'a AtomicU64,
    /// Written by others: whether tasks are not to be begun any more.
    pub(crate) revoked: &'a AtomicU64,
    pub(crate) count: Finished,
}

/// What is finished: so many tasks, whose results end at this position. Both wrap around.
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
