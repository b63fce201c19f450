//! Time limits of tasks: how long each worker is at its task, and the end of those that are over their limit.
//!
//! 1. A worker tells when it begins and ends a task, and not when: a clock for each would take longer than a short task. So the
//!    supervisor looks, while a call with a limit is open, and counts from when it has first seen the task. A limit is never
//!    applied too early, and late by no more than the interval of the looks.
//! 2. Tasks of such a call are claimed one by one. Before a worker is killed, all that it has not claimed is taken back, and
//!    only then is it looked at once more: the task that is over its limit is the only one that can end with it.
//! 3. A task that ends between that look and its worker's end has its result: what stands there is taken before the death is
//!    judged.

use std::time::{Duration, Instant};

use super::core::Core;
use super::queue::Slot;
use super::seat::{Cause, State};

/// A limit is looked after so many times before it is over, within these bounds.
const LOOKS: u32 = 8;
const LOOK_MIN: Duration = Duration::from_millis(1);
const LOOK_MAX: Duration = Duration::from_millis(20);
/// Between two looks no more than so many intervals count: this process was stopped then (Ctrl-Z), or had no processor, and
/// the task may have been in the same state.
const LOOKS_COUNTED_MAX: u32 = 4;
/// A worker that does not begin a task that it has claimed, or that it could claim, is ended after this, or after the task's
/// limit if that is longer: it was stopped. It costs no task if it was not, but had no processor for so long.
const BEGIN_TIME_MAX: Duration = Duration::from_millis(1500);

/// How long a worker is at a task.
pub(super) struct Stint {
    /// Changes when it gets on.
    mark: u64,
    /// As far as is known.
    time: Duration,
    looked: Instant,
}

fn interval(limit: Duration) -> Duration {
    (limit / LOOKS).clamp(LOOK_MIN, LOOK_MAX)
}

impl Core {
    /// How often the workers must be looked at, if a task has a limit.
    pub(super) fn look_interval(&self) -> Option<Duration> {
        self.queue.shortest_timeout().map(interval)
    }

    /// Ends a worker whose task is over its limit.
    pub(super) fn keep_to_limit(&mut self, slot: Slot, now: Instant) {
        let limit = self.queue.timeout_of(slot);
        let Some(live) = &mut self.seats[slot].worker else {
            return;
        };
        let Some(limit) = limit.filter(|_| matches!(live.state, State::Ready)) else {
            live.stint = None;
            return;
        };
        let mark = live.link.mark();
        let stint = match &mut live.stint {
            Some(stint) if stint.mark == mark => stint,
            other => {
                *other = Some(Stint { mark, time: Duration::ZERO, looked: now });
                return;
            }
        };
        stint.time += (now - stint.looked).min(interval(limit) * LOOKS_COUNTED_MAX);
        stint.looked = now;
        let has_begun = live.link.has_begun();
        let time_max = if has_begun { limit } else { limit.max(BEGIN_TIME_MAX) };
        if stint.time < time_max {
            return;
        }
        self.exchange(slot);
        let mut is_over = false;
        self.with_link(slot, |live, queue| {
            let count = live.link.take_back(u32::MAX)?;
            queue.took_back(slot, count as usize);
            is_over = live.link.mark() == mark && (queue.is_busy(slot) || !has_begun);
            Ok(())
        });
        if is_over {
            self.doom(slot, Cause::TimedOut(limit));
        }
    }
}
