//! Limits of tasks, in time and in processor time: how long each worker is at its task, and the end of those that are over
//! their limit.
//!
//! 1. A worker tells when it begins and ends a task, and not when: a clock for each would take longer than a short task. So the
//!    supervisor looks, while a call with a limit is open, and counts from when it has first seen the task. A limit is never
//!    applied too early, and late by no more than the interval of the looks.
//! 2. Tasks of such a call are claimed one by one. Before a worker is killed, all that it has not claimed is taken back, and
//!    only then is it looked at once more: the task that is over its limit is the only one that can end with it.
//! 3. A task that ends between that look and its worker's end has its result: what stands there is taken before the death is
//!    judged.
//! 4. A worker that waits for room for a result is at no task. So where it does not get on, and its caller takes nothing, the
//!    supervisor takes what is finished.

use std::time::{Duration, Instant};

use super::core::Core;
use super::queue::Slot;
use super::seat::{Cause, Live, State};
use crate::sys;

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

/// What a task of a call may take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) timeout: Option<Duration>,
    /// The processor time of its worker.
    pub(crate) cpu_limit: Option<Duration>,
}

impl Limits {
    /// The one that may be over first; none where there is no limit.
    pub(super) fn shortest(&self) -> Option<Duration> {
        self.timeout.into_iter().chain(self.cpu_limit).min()
    }
}

/// How long a worker is at a task.
pub(super) struct Stint {
    /// Changes when it gets on.
    mark: u64,
    /// As far as is known.
    time: Duration,
    looked: Instant,
    /// The processor time that the worker had taken before.
    cpu_before: Option<Duration>,
}

impl Stint {
    /// Why it is over, if it is.
    fn end(&self, limits: &Limits, has_begun: bool, pid: u32) -> Option<Cause> {
        if !has_begun {
            let limit = limits.timeout.unwrap_or_default().max(BEGIN_TIME_MAX);
            return (self.time >= limit).then_some(Cause::TimedOut(limit));
        }
        if let Some(limit) = limits.timeout.filter(|limit| self.time >= *limit) {
            return Some(Cause::TimedOut(limit));
        }
        let limit = limits.cpu_limit?;
        let taken = sys::cpu_time(pid)?.saturating_sub(self.cpu_before?);
        (taken >= limit).then_some(Cause::CpuLimit(limit))
    }
}

impl Live {
    /// Whether it does not get on, and results stand there that nobody has taken.
    fn stands_behind_results(&self) -> bool {
        self.link.has_results() && self.stint.as_ref().is_some_and(|stint| stint.mark == self.link.mark())
    }
}

fn interval(limit: Duration) -> Duration {
    (limit / LOOKS).clamp(LOOK_MIN, LOOK_MAX)
}

impl Core {
    /// How often the workers must be looked at, if a task has a limit.
    pub(super) fn look_interval(&self) -> Option<Duration> {
        self.queue.shortest_limit().map(interval)
    }

    /// Ends a worker whose task is over its limit.
    pub(super) fn keep_to_limit(&mut self, slot: Slot, now: Instant) {
        if self.seats[slot].worker.as_ref().is_some_and(Live::stands_behind_results) {
            self.with_link(slot, |live, queue| live.take(slot, queue));
        }
        let limits = self.queue.limits_of(slot);
        let Some(live) = &mut self.seats[slot].worker else {
            return;
        };
        let Some((limits, shortest)) = limits.filter(|_| matches!(live.state, State::Ready)) else {
            live.stint = None;
            return;
        };
        let pid = live.process.pid();
        let mark = live.link.mark();
        let stint = match &mut live.stint {
            Some(stint) if stint.mark == mark => stint,
            other => {
                let cpu_before = limits.cpu_limit.and_then(|_| sys::cpu_time(pid));
                *other = Some(Stint { mark, time: Duration::ZERO, looked: now, cpu_before });
                return;
            }
        };
        stint.time += (now - stint.looked).min(interval(shortest) * LOOKS_COUNTED_MAX);
        stint.looked = now;
        let has_begun = live.link.has_begun();
        let Some(cause) = stint.end(&limits, has_begun, pid) else {
            return;
        };
        self.exchange(slot);
        let mut is_over = false;
        self.with_link(slot, |live, queue| {
            live.take_back(slot, queue, u32::MAX)?;
            is_over = live.link.mark() == mark && (queue.is_busy(slot) || !has_begun);
            Ok(())
        });
        if is_over {
            self.doom(slot, cause);
        }
    }
}
