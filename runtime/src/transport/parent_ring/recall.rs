//! Tasks that a worker has claimed and not begun, which are recalled from it for another.
//!
//! 1. The worker counts a task in `begun` before it asks whether it is revoked, and only then begins it (`functions::task_run`).
//! 2. The parent revokes, sets a fence for both, and then reads `begun`: what is not counted by then is never begun there. It is
//!    recalled, and goes to another worker at once.
//! 3. A worker that has counted a task may still see that it is revoked, and then does not begin it. Its result says so, and the
//!    task goes to another worker then.
//! 4. The worker is assigned nothing until it has reported all of them as not run, because the next chunk lifts the revocation.
//!    Until then it steps over their arguments, which stay where they are.

use std::sync::atomic::Ordering;

use super::{ParentRing, ResultBatch};
use crate::failpoints::{self, Point};
use crate::sys;
use crate::transport::layout;
use crate::wire::{Records, Status, Violation};

/// The tasks that a revoked worker has yet to report.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recall {
    /// The tasks that are left to it.
    kept: u32,
    /// Those behind them that were recalled.
    recalled: u32,
}

impl ParentRing {
    /// Recalls what the worker has claimed and not begun, where all its tasks are claimed; returns how many they are, if it
    /// could. Then the worker begins nothing more, and must be given nothing before [`ResultBatch`] says that the recall is over.
    pub(in super::super) fn recall(&mut self) -> Result<Option<u32>, Violation> {
        let (claimed, open) = self.load()?;
        let heeds_fences = self.words.word(layout::HEEDS_FENCES).load(Ordering::Acquire) == 1;
        // The first fence is to see whether there are any here.
        let may_recall = self.recall.is_none() && open == 0 && heeds_fences && self.unfinished_begun() < claimed;
        if !may_recall || !sys::fence_registered() {
            return Ok(None);
        }
        self.revoke();
        failpoints::reached(Point::ParentRecall);
        let is_fenced = sys::fence_registered();
        let kept = if is_fenced { self.unfinished_begun() } else { claimed };
        if kept > claimed {
            return Err(Violation::new("it has begun tasks that it has not claimed"));
        }
        let recalled = claimed - kept;
        self.recall = Some(Recall { kept, recalled });
        Ok(Some(recalled))
    }

    /// Lets the worker begin nothing more, for good: a worker that is to end, and cannot be killed. The tasks that it
    /// reports as not run go to another, as after a recall.
    pub(in super::super) fn hang_up(&mut self) {
        self.revoke();
        self.recall.get_or_insert(Recall { kept: u32::MAX, recalled: 0 });
    }

    /// How many tasks that were not taken the worker has begun: finished ones and the one that is running.
    fn unfinished_begun(&self) -> u32 {
        let since = |tasks: u32| Some(tasks.wrapping_sub(self.taken.tasks)).filter(|&since| since < 1 << 31);
        let begun = self.words.word(layout::BEGUN).load(Ordering::Acquire) as u32;
        let finished = (self.words.word(layout::FINISHED).load(Ordering::Acquire) >> 32) as u32;
        // Tasks that were stepped over are finished, and were not begun.
        since(begun).max(since(finished)).unwrap_or(0)
    }

    /// Separates the results of tasks that the worker has run from those of tasks that it was not to run.
    pub(super) fn settle(&mut self, count: u32, mut records: Records) -> Result<ResultBatch, Violation> {
        let Some(recall) = &mut self.recall else {
            return Ok(ResultBatch::new(count, records, None));
        };
        let of_kept = count.min(recall.kept);
        let of_recalled = count - of_kept;
        recall.kept -= of_kept;
        recall.recalled = recall
            .recalled
            .checked_sub(of_recalled)
            .ok_or_else(|| Violation::new("it gives results that it was not asked for"))?;
        let ends_recall = recall.kept == 0 && recall.recalled == 0;
        let (mut ran, mut bytes) = (0, 0);
        for number in 0..count {
            let is_run = records.pass_one()? != Status::NotRun;
            if is_run && (number >= of_kept || ran < number) {
                return Err(Violation::new("it has run a task that was taken back from it"));
            }
            if is_run {
                (ran, bytes) = (number + 1, records.taken());
            }
        }
        if ends_recall {
            self.recall = None;
        }
        Ok(ResultBatch { not_run: of_kept - ran, ends_recall, ..ResultBatch::new(ran, records.rewound(bytes), None) })
    }

    /// How many of so many tasks that have begun are the worker's.
    pub(super) fn kept_of(&self, begun: u32) -> u32 {
        self.recall.map_or(begun, |recall| begun.min(recall.kept))
    }
}

#[cfg(test)]
mod tests;
