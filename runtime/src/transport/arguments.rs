//! The arguments of tasks that have their outcomes, for the errors of those that failed. They keep the block that the arguments are in,
//! and nothing that they name: the owner of an array has it back as soon as its tasks have their outcomes.

use std::fmt;
use std::sync::Arc;

use super::arena::Block;
use crate::wire::TaskFrames;

/// The arguments of some tasks of a chunk.
pub(crate) struct TaskArguments {
    block: Arc<Block>,
    /// Where the arguments of the task with this index begin, and where those of the last end.
    start: usize,
    end: usize,
    index: usize,
    shared: u16,
}

impl TaskArguments {
    /// Those in this part of a block, the first of the task with this index.
    pub(super) fn new(block: Arc<Block>, (start, end): (usize, usize), index: usize, shared: u16) -> Self {
        Self { block, start, end, index, shared }
    }

    /// The same, where the first task has the index 0.
    pub(super) fn into_first(self) -> Self {
        Self { index: 0, ..self }
    }

    /// Of which parameters the arguments are shared.
    pub(crate) fn shared(&self) -> u16 {
        self.shared
    }

    /// The arguments of a task; none if it is not among the tasks, or stands before one that was asked for.
    pub(crate) fn of_task(&mut self, index: usize) -> Option<&[u8]> {
        let rest = &self.block[self.start..self.end];
        let mut tasks = TaskFrames::of(rest);
        for _ in 0..index.checked_sub(self.index)? {
            tasks.next().ok()?;
        }
        // The next is looked for from here on.
        self.start = self.end - tasks.rest().len();
        self.index = index;
        tasks.next().ok()
    }
}

impl fmt::Debug for TaskArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskArguments").field("index", &self.index).finish_non_exhaustive()
    }
}
