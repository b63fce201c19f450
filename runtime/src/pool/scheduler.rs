//! The scheduler: calls, their chunks, and the workers that hold them. Pure bookkeeping: no I/O, no clock, no process.
//!
//! 1. A worker holds chunks of one call at a time, so that ending a call early never costs another call's task.
//! 2. A worker runs the tasks of its chunks in order, and its results come in that order. So when it dies, only the first task
//!    without a result can have been running; the others had not begun, and go to another worker.
//! 3. A task has one outcome. It is given to the call when it arrives, and the task is forgotten here.
//! 4. A worker that is free goes to the call with the fewest workers, and among those to the one that has waited longest;
//!    and no call fills up the workers it has while another has none.
//! 5. A free worker must be woken, which is worth it only for as much work as it saves. So while the tasks of a call are known
//!    to be short, its workers get more before another is woken; and while nothing is known of them, some get one each, and
//!    the others once these have taken a while.
//! 6. No task waits behind a long one while a worker is free: what a worker has not claimed is taken back from it, and where
//!    that cannot be done a worker gets no more than what is short. Nothing is given behind a chunk of a millisecond or more, nor,
//!    where tasks were asked to go one by one, behind a task that is not known to take 20 µs or less.
//! 7. The arguments of tasks, and the memory that they name, are held here as long as a worker may run one of them: until its
//!    results are there, or it is reaped. So it never reads others in their place, and whoever else holds the memory knows by
//!    that when nobody writes there any more.
//! 8. First come, first served: what waits is in the order of its tasks, and the first of it goes to the worker that is free next.
//!    Before that is given what waits, what a worker has not claimed is taken back from one that is at a task for long, and goes
//!    first. Tasks that it has claimed and not begun are recalled as well, if a worker is free for it. It claims one task at once
//!    where they were asked to go one by one or have a limit, else as many as were asked for, or as take 50 µs by its clock.
//! 9. Blame needs evidence. A death before a task is begun counts against it only if its worker has finished nothing since it was
//!    given it, and had nothing before it. Then the task is a suspect, and is tried alone: by itself, on a worker that has nothing
//!    else and gets nothing behind it. It is blamed only for deaths in which it was alone, and after several of them (one execution).
//! 10. Of the tasks that wait, those of a higher priority go first, whatever their call. While one waits, no worker is given one of a
//!     lower priority behind what it has, and what was given so and is not claimed is taken back. A task that has begun goes on.

mod call;
mod lifecycle_calls;
mod order;
mod own_tasks;
mod pinned;
mod recall;
mod remote;
mod termination;
mod totals;
mod worker;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::chunk_size::Revocation;
use crate::task::Limits;
use crate::transport::{Chunk, ResultBatch};
use crate::transport::{CompletedTasks, Outcomes};
use crate::wire::Violation;
use call::OpenCall;
pub(crate) use call::{CallFailure, CallRules, Consumer, Placement};
use lifecycle_calls::Hooks;
use remote::Remote;
pub(super) use remote::travels;
pub(crate) use remote::{Parcel, ParcelId, RemoteAbort, RemoteEnd, RemoteEnded};
pub(crate) use termination::deaths;
use totals::Totals;
pub(super) use worker::Hook;
use worker::{InFlight, Worker};

/// A call that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallId(u64);

impl CallId {
    /// Its number, as other machines name it.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The call of a number.
    pub(crate) fn of_number(number: u64) -> Self {
        Self(number)
    }
}

/// A worker's place in the pool.
pub(super) type Slot = usize;

/// A chunk to give to a worker.
pub(super) struct Assignment {
    pub(super) slot: Slot,
    pub(super) chunk: Chunk,
    /// How many tasks the worker claims at a time; 0 leaves it to its clock.
    pub(super) claim_batch: u32,
}

/// How a call's end treats the workers that hold chunks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnCancel {
    Kill,
    Finish,
}

/// A worker is woken when those that a call has are busy for this long: a wake-up costs the waker 10 µs, and takes 40.
const WAKE_MIN: Duration = Duration::from_micros(50);

/// So many workers are given a task of a call before it is known how long one takes.
const FIRST_WORKERS: usize = 8;

/// A driver spins for tasks that take less, and does not sleep.
const SPIN_BELOW: Duration = Duration::from_micros(20);

/// The word for a pool in errors.
pub(super) const POOL: &str = "the pool";

pub(super) struct Scheduler {
    calls: BTreeMap<CallId, OpenCall>,
    workers: Vec<Worker>,
    /// How many of them there are to be: the first ones.
    size: usize,
    totals: Totals,
    /// Ready workers without chunks, the longest idle first.
    idle: VecDeque<Slot>,
    /// Workers that hold chunks, be it of a call that has ended.
    busy: BTreeSet<Slot>,
    /// How many of the calls are not for any worker.
    placed: usize,
    hooks: Hooks,
    next_call: u64,
    /// How often a call was given a free worker.
    served: u64,
    revocation: Revocation,
    /// How many tasks a worker is given in its life.
    tasks_max: Option<usize>,
    /// Whether a worker is given one task and no other, also where that is taken back: it may have read the arguments.
    is_single_use: bool,
    /// Workers that are free, and are to be given nothing more.
    drained: Vec<Slot>,
    /// Whether a task ever had another priority than 0.
    has_priorities: bool,
    remote: Remote,
}

impl Scheduler {
    /// A scheduler for so many workers, none of them there yet.
    pub(super) fn new(slots: usize, revocation: Revocation, tasks_max: Option<usize>) -> Self {
        Self {
            calls: BTreeMap::new(),
            workers: (0..slots).map(|_| Worker::default()).collect(),
            size: slots,
            totals: Totals::default(),
            idle: VecDeque::new(),
            busy: BTreeSet::new(),
            placed: 0,
            hooks: Hooks::default(),
            next_call: 0,
            served: 0,
            revocation,
            tasks_max,
            is_single_use: false,
            drained: Vec::new(),
            has_priorities: false,
            remote: Remote::default(),
        }
    }

    /// Opens a call.
    pub(super) fn open(&mut self, rules: CallRules) -> CallId {
        // The tasks of a worker cannot be taken from it there, and must not end with the task whose time is over.
        let chunk_size = match rules.limits.shortest() {
            Some(_) if self.revocation == Revocation::Unsupported => Some(1),
            _ => rules.chunk_size,
        };
        self.has_priorities |= rules.priority != 0;
        self.placed += usize::from(rules.placement == Placement::OneForEach);
        let id = CallId(self.next_call);
        self.next_call += 1;
        let call = OpenCall::new(rules, chunk_size);
        self.calls.insert(id, call);
        id
    }

    /// The workers that hold chunks of a call.
    pub(super) fn workers_of(&self, id: CallId) -> &[Slot] {
        self.calls.get(&id).map_or(&[], |call| &call.workers)
    }

    /// Adds a worker that waits for chunks.
    pub(super) fn add_worker(&mut self, slot: Slot, pid: u32) {
        self.workers[slot] = Worker { pid, quota: self.tasks_max, ..Worker::default() };
        self.busy.remove(&slot);
        if !self.initialize(slot) {
            self.put_into_service(slot);
        }
    }

    /// Whether a worker holds chunks, be it of a call that has ended.
    pub(super) fn is_busy(&self, slot: Slot) -> bool {
        self.busy.contains(&slot)
    }

    /// The workers that hold chunks, be it of a call that has ended.
    pub(super) fn busy(&self) -> impl Iterator<Item = Slot> {
        self.busy.iter().copied()
    }

    /// Whether a worker has more than one task.
    pub(super) fn has_queued_tasks(&self, slot: Slot) -> bool {
        self.workers.get(slot).is_some_and(|worker| worker.tasks > 1)
    }

    /// Whether there is a free worker.
    pub(super) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Whether there is a free worker, and a call without chunks for it.
    pub(super) fn is_short_of_chunks(&self, id: CallId) -> bool {
        !self.idle.is_empty() && self.calls.get(&id).is_some_and(|call| call.backlog.is_empty() && call.is_unpinned())
    }

    /// Whether the workers of a call will soon have done all that they have, as far as is known.
    pub(super) fn should_spin(&self, id: CallId) -> bool {
        let Some(call) = self.calls.get(&id) else {
            return false;
        };
        let Some(per_task) = call.chunk_size.per_task() else {
            return true;
        };
        call.workers.iter().all(|&slot| self.workers[slot].time(per_task) < SPIN_BELOW)
    }

    /// The time that so many tasks of a call take, if it is known.
    pub(super) fn time_of(&self, id: CallId, tasks: u32) -> Option<Duration> {
        Some(self.calls.get(&id)?.chunk_size.per_task()?.saturating_mul(tasks))
    }

    /// How many tasks the call's next chunk should have, if one is wanted now. `left` is how many are still to be read.
    pub(super) fn wanted(&self, id: CallId, left: Option<usize>) -> Option<usize> {
        let call = self.calls.get(&id)?;
        let depth = call.chunk_size.depth(self.revocation);
        let room_behind: usize = call
            .workers
            .iter()
            .map(|&slot| &self.workers[slot])
            .filter(|worker| worker.takes_more(depth, self.revocation))
            .map(|worker| depth - worker.chunks.len())
            .sum();
        let idle = self.idle.len().min(self.idle_to_wake(call));
        let wanted = idle.saturating_add(room_behind + self.chunks_ahead(call) + self.chunks_for_remote(call));
        let workers = self.size + self.remote.workers();
        (call.backlog.len() < wanted).then(|| call.chunk_size.next(left, workers, self.revocation))
    }

    /// Adds a chunk to a call's backlog.
    pub(super) fn push(&mut self, id: CallId, chunk: Chunk) {
        if let Some(call) = self.calls.get_mut(&id) {
            self.has_priorities |= call.priority_of(&chunk) != 0;
            self.totals.retried += u64::from(chunk.attempt() > 1);
            call.line_up(chunk);
        }
    }

    /// Gives a chunk that waits to a worker that takes one, if there are both.
    pub(super) fn assign(&mut self) -> Option<Assignment> {
        if let Some(assignment) = self.hook_assignment() {
            return Some(assignment);
        }
        let placed = self.placed_assignment();
        let (id, slot) = placed.or_else(|| self.idle_assignment()).or_else(|| self.next_in_line())?;
        self.give(id, slot)
    }

    /// Gives a chunk of this call to a worker that is free, if there are both.
    pub(super) fn assign_to_idle(&mut self, id: CallId) -> Option<Assignment> {
        let &slot = self.idle.back()?;
        self.give(id, slot)
    }

    fn give(&mut self, id: CallId, slot: Slot) -> Option<Assignment> {
        let call = self.calls.get_mut(&id)?;
        let mut chunk = call.backlog.pop_front()?;
        let worker = &mut self.workers[slot];
        if let Some(quota) = &mut worker.quota {
            if chunk.len() > *quota {
                call.line_up(chunk.split(*quota));
            }
            *quota -= chunk.len();
            worker.is_draining |= self.is_single_use;
        }
        let is_first = worker.chunks.is_empty();
        if is_first {
            if self.idle.back() == Some(&slot) {
                self.idle.pop_back();
            } else {
                self.idle.retain(|&idle| idle != slot);
            }
            self.busy.insert(slot);
            worker.call = Some(id);
            call.workers.push(slot);
            self.served += 1;
            call.served = self.served;
        }
        worker.tasks += chunk.len();
        worker.chunks.push_back(InFlight { chunk: chunk.clone(), next: 0, is_first, is_aborted: false });
        let claim_batch = match call.limits_of(&chunk).shortest() {
            // Only the task that is running must be the worker's when it is ended.
            Some(_) => 1,
            None => match call.chunk_size.fixed() {
                Some(fixed) => u32::try_from(fixed).unwrap_or(u32::MAX),
                None if call.rules.is_folded => chunk.count(),
                None => 0,
            },
        };
        Some(Assignment { slot, chunk, claim_batch })
    }

    /// The worker that became idle last, and so sleeps the least, and the call with the fewest workers among those of the highest
    /// priority that wait for one.
    fn idle_assignment(&self) -> Option<(CallId, Slot)> {
        let &slot = self.idle.back()?;
        let (&id, _) = self
            .calls
            .iter()
            .filter(|(_, call)| !call.backlog.is_empty() && call.is_unpinned() && self.idle_to_wake(call) > 0)
            .min_by_key(|(_, call)| (Reverse(call.waiting_priority()), call.workers.len(), call.served))?;
        Some((id, slot))
    }

    /// How many workers it is worth to wake for a call (rule 5).
    fn idle_to_wake(&self, call: &OpenCall) -> usize {
        if self.revocation == Revocation::Unsupported {
            return usize::MAX;
        }
        let Some(per_task) = call.chunk_size.per_task() else {
            return if call.is_ramped_up { usize::MAX } else { FIRST_WORKERS.saturating_sub(call.workers.len()) };
        };
        let depth = call.chunk_size.depth(self.revocation);
        let are_busy = call.workers.iter().all(|&slot| {
            let worker = &self.workers[slot];
            worker.time(per_task) >= WAKE_MIN || !worker.takes_more(depth, self.revocation)
        });
        if are_busy { usize::MAX } else { 0 }
    }

    /// Whether workers are kept from a call because nothing is known of its tasks.
    pub(super) fn is_ramping(&self, id: CallId) -> bool {
        let call = self.calls.get(&id).filter(|call| !call.is_ramped_up && call.chunk_size.per_task().is_none());
        call.is_some_and(|call| !self.idle.is_empty() && self.idle_to_wake(call) == 0)
    }

    /// The first tasks of a call have taken a while: it may have all workers.
    pub(super) fn ramp_up(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.is_ramped_up = true;
        }
    }

    /// A worker that takes another chunk of the call whose chunks it holds, unless a call waits for a worker (rules 4 and 10).
    fn next_in_line(&self) -> Option<(CallId, Slot)> {
        let first = self.calls.values().filter_map(OpenCall::waiting_priority).max()?;
        let is_starving = |call: &OpenCall| match call.waiting_priority() {
            Some(priority) => call.workers.is_empty() && priority == first,
            None => !call.backlog.is_empty(),
        };
        if self.calls.values().any(is_starving) {
            return None;
        }
        let takes_its_turn = |call: &OpenCall| call.waiting_priority() == Some(first) && !call.next_goes_alone();
        self.calls.iter().filter(|(_, call)| takes_its_turn(call)).find_map(|(&id, call)| {
            let depth = call.chunk_size.depth(self.revocation);
            let slot = call
                .workers
                .iter()
                .copied()
                .filter(|&slot| self.workers[slot].takes_more(depth, self.revocation))
                .min_by_key(|&slot| self.workers[slot].chunks.len())?;
            Some((id, slot))
        })
    }

    /// Handles results of a worker, in the order of its tasks.
    pub(super) fn on_results(&mut self, slot: Slot, taken: ResultBatch) -> Result<(), Violation> {
        if let Some(hook) = self.workers[slot].hook {
            return self.on_hook_results(slot, hook, taken);
        }
        let worker = &mut self.workers[slot];
        let mut call = worker.call.and_then(|id| self.calls.get_mut(&id));
        if let (Some(call), Some((tasks, elapsed))) = (&mut call, taken.timed) {
            call.chunk_size.observe(tasks, elapsed);
        }
        if taken.count > 0 {
            worker.answered = worker.call;
            worker.is_stalled = false;
        }
        let mut left = taken.count as usize;
        self.totals.arrived(&taken);
        let identity = worker.identity(slot);
        let mut records = taken.records;
        while left > 0 {
            let first = worker.chunks.front_mut().ok_or_else(|| Violation::new("it gives results of no task"))?;
            let count = left.min(first.left());
            left -= count;
            let of_chunk = if left == 0 { std::mem::take(&mut records).into_rest() } else { records.split(count)? };
            let is_aborted = first.is_aborted;
            let done = first.done(count, Outcomes::Records(of_chunk), identity);
            worker.tasks -= count;
            self.totals.argument_bytes += done.argument_bytes as u64;
            // One that was aborted has its outcome.
            if let Some(call) = call.as_mut().filter(|_| !is_aborted) {
                call.done.push(done);
            }
            if first.left() == 0 {
                worker.chunks.pop_front();
            }
        }
        if taken.not_run > 0 {
            self.reclaimed(slot, taken.not_run as usize);
        }
        if taken.ends_recall {
            return self.returned(slot);
        }
        if taken.not_run > 0 {
            // It is free by now, if it has nothing left.
            return Ok(());
        }
        let worker = &self.workers[slot];
        if worker.chunks.is_empty() && !worker.revoked {
            self.release(slot);
        }
        Ok(())
    }

    fn release(&mut self, slot: Slot) {
        self.busy.remove(&slot);
        let worker = &mut self.workers[slot];
        if let Some(call) = worker.call.take().and_then(|id| self.calls.get_mut(&id)) {
            call.workers.retain(|&other| other != slot);
        }
        if worker.ready && worker.quota == Some(0) {
            worker.ready = false;
            self.drained.push(slot);
        } else if worker.ready {
            self.idle.push_back(slot);
        }
    }

    /// Gives a worker nothing more: it is drained once it has finished what it has.
    pub(super) fn assign_no_more(&mut self, slot: Slot) {
        let worker = &mut self.workers[slot];
        worker.quota = Some(0);
        worker.is_draining = true;
        if worker.ready && worker.chunks.is_empty() && !worker.revoked {
            worker.ready = false;
            self.idle.retain(|&idle| idle != slot);
            self.drained.push(slot);
        }
    }

    /// The workers that are free and are to be given nothing more, each once.
    pub(super) fn take_drained(&mut self) -> Vec<Slot> {
        std::mem::take(&mut self.drained)
    }

    /// How many calls are open.
    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Takes a worker out of service; it keeps its chunks until it is known how it ended.
    pub(super) fn suspend(&mut self, slot: Slot) {
        if let Some(worker) = self.workers.get_mut(slot) {
            worker.ready = false;
            self.idle.retain(|&idle| idle != slot);
        }
    }

    /// Returns the limits of the task that a worker runs, if it has any.
    pub(super) fn limits_of(&self, slot: Slot) -> Option<Limits> {
        let worker = self.workers.get(slot)?;
        let chunk = &worker.chunks.front()?.chunk;
        let of_call = worker.call.and_then(|id| self.calls.get(&id)).map(|call| call.limits_of(chunk));
        // An initializer or a finalizer is of no call.
        let limits = of_call.or_else(|| worker.hook.and(chunk.rules()).map(|rules| rules.limits));
        limits.filter(|limits| limits.shortest().is_some())
    }

    /// Whether a worker holds a task for which something else holds than for its call.
    pub(super) fn has_own_rules(&self, slot: Slot) -> bool {
        self.workers.get(slot).is_some_and(|worker| worker.chunks.iter().any(|held| held.chunk.rules().is_some()))
    }

    /// The shortest limit of a task: of those of the open calls, and of each that a worker holds and that has its own.
    pub(super) fn shortest_limit(&self) -> Option<Duration> {
        let of_calls = self.calls.values().filter_map(|call| call.rules.limits.shortest());
        let held = self.busy.iter().flat_map(|&slot| &self.workers[slot].chunks);
        of_calls.chain(held.filter_map(|held| held.chunk.rules()?.limits.shortest())).min()
    }

    /// Takes what has been done of a call.
    pub(super) fn take_done(&mut self, id: CallId) -> Vec<CompletedTasks> {
        self.calls.get_mut(&id).map(|call| std::mem::take(&mut call.done)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
