//! The arguments of tasks that have their outcomes, for the errors of those that failed. They keep the block that the arguments are in,
//! and nothing that they name: the owner of an array has it back as soon as its tasks have their outcomes.

use std::fmt;
use std::sync::Arc;

use super::arena::Block;
use crate::error::SavedNote;
use crate::replay::{FailedTask, FailedTasks};
use crate::wire::TaskFrames;

/// What the arguments of a call's tasks have in common.
pub(super) struct OfCall<'a> {
    pub(super) shared: u16,
    pub(super) seed: u64,
    pub(super) has_names: bool,
    pub(super) save: Option<&'a Arc<FailedTasks>>,
}

/// The arguments of some tasks of a chunk.
pub(crate) struct TaskArguments {
    block: Arc<Block>,
    /// Where the arguments of the task with this index begin, and where those of the last end.
    start: usize,
    end: usize,
    index: usize,
    /// How much less that is than the index which its seed is made from.
    offset: usize,
    shared: u16,
    /// The seed of the call.
    seed: u64,
    /// They name memory or descriptors.
    has_names: bool,
    /// Where those of a task that failed are saved.
    save: Option<Arc<FailedTasks>>,
}

impl TaskArguments {
    /// Those in this part of a block, the first of the task with this index. They are of a call with this seed, and name something or
    /// nothing.
    pub(super) fn new(block: Arc<Block>, (start, end): (usize, usize), index: usize, of_call: OfCall<'_>) -> Self {
        let OfCall { shared, seed, has_names, save } = of_call;
        Self { block, start, end, index, offset: 0, shared, seed, has_names, save: save.cloned() }
    }

    /// The same, where the first task has the index 0.
    pub(super) fn into_first(self) -> Self {
        Self { index: 0, offset: self.offset + self.index, ..self }
    }

    /// Saves the arguments of a task whose last attempt was this and died of this, if they are to be saved; returns what its error is to
    /// say of that.
    pub(crate) fn save(&mut self, index: usize, attempt: u32, died_of: impl fmt::Display) -> Option<SavedNote> {
        let save = self.save.clone()?;
        let Self { offset, shared, seed, has_names, .. } = *self;
        let arguments = self.of_task(index)?;
        let task = FailedTask { index: (offset + index) as u64, attempt, seed, shared, has_names, arguments };
        save.save(&task, died_of)
    }

    /// The arguments of a task; none if it is not among the tasks. It asks for nothing: any may be asked for behind it.
    pub(crate) fn peek(&self, index: usize) -> Option<&[u8]> {
        let mut tasks = TaskFrames::of(&self.block[self.start..self.end]);
        for _ in 0..index.checked_sub(self.index)? {
            tasks.next().ok()?;
        }
        tasks.next().ok()
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
