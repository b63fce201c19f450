//! Tasks that other machines run. What waits is taken from here in parcels, and comes back as outcomes, or as it was.
//!
//! 1. A parcel is chunks of one call. Its tasks are held here until each has its outcome (rule 7 of the scheduler), so that a machine that
//!    is lost loses none of them.
//! 2. The first outcome of a task counts. Another, of a machine that was taken to be lost, finds no task here.
//! 3. As many tasks are in a parcel as keep a machine busy for a while, and fewer towards the end of the call: a message to it takes long.
//! 4. A task that names memory which processes of this machine share and write, or a descriptor, can run on no other. On a cluster it is an
//!    error of the task, also where a worker of this machine would be free: what works must not depend on that.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use super::{CallId, CallRules, OnCancel, OpenCall, Scheduler};
use crate::error::TaskErrorKind;
use crate::functions;
use crate::transport::{Chunk, CompletedTasks, take_tasks};

/// A parcel that was taken and not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ParcelId(pub(crate) u64);

/// Tasks of one call that travel together to another machine.
pub(crate) struct Parcel {
    pub(crate) id: ParcelId,
    pub(crate) call: CallId,
    pub(crate) rules: CallRules,
    pub(crate) chunks: Vec<Chunk>,
}

/// The end of a call of which other machines have tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemoteEnd {
    pub(crate) call: CallId,
    pub(crate) on_cancel: OnCancel,
}

/// A task that another machine has, and that has ended here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemoteAbort {
    pub(crate) call: CallId,
    pub(crate) index: usize,
}

/// What has ended here of which other machines have tasks.
#[derive(Debug, Default)]
pub(crate) struct RemoteEnded {
    pub(crate) calls: Vec<RemoteEnd>,
    pub(crate) tasks: Vec<RemoteAbort>,
}

/// A parcel aims at so much work.
const PARCEL_TIME: Duration = Duration::from_millis(20);
/// It has no more chunks, so that what it holds and encodes has a bound.
const PARCEL_CHUNKS_MAX: usize = 64;
/// Nor more bytes of arguments, beyond its first chunk.
const PARCEL_BYTES_MAX: usize = 8 << 20;

/// What other machines have, and how much more they take.
#[derive(Default)]
pub(super) struct Remote {
    held: BTreeMap<ParcelId, HeldParcel>,
    /// How many parcels more are wanted.
    room: usize,
    /// How many workers the other machines have.
    workers: usize,
    next: u64,
    ended: RemoteEnded,
}

struct HeldParcel {
    call: CallId,
    /// The tasks without an outcome.
    left: Vec<Chunk>,
    /// When it left this machine.
    left_nanos: u64,
}

impl Remote {
    /// How many workers other machines have.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }
}

impl Scheduler {
    /// Sets how many parcels other machines take now, and how many workers they have.
    pub(in crate::pool) fn set_remote(&mut self, room: usize, workers: usize) {
        self.remote.room = room;
        self.remote.workers = workers;
    }

    /// Whether another machine would take a parcel.
    pub(in crate::pool) fn has_remote_room(&self) -> bool {
        self.remote.room > 0
    }

    /// Notes how many tasks of a call are still to be read, if that is known.
    pub(in crate::pool) fn set_left(&mut self, id: CallId, left: Option<usize>) {
        if self.remote.workers > 0
            && let Some(call) = self.calls.get_mut(&id)
        {
            call.left = left;
        }
    }

    /// Whether a call is open.
    pub(in crate::pool) fn is_open(&self, id: CallId) -> bool {
        self.calls.contains_key(&id)
    }

    /// Whether other machines have tasks of a call.
    pub(super) fn is_remote(&self, id: CallId) -> bool {
        self.remote.held.values().any(|held| held.call == id)
    }

    /// How many chunks of a call are to wait for other machines.
    pub(super) fn chunks_for_remote(&self, call: &OpenCall) -> usize {
        if self.remote.room == 0 || !call.is_unpinned() {
            return 0;
        }
        let chunk = call.chunk_size.next(None, self.size + self.remote.workers, self.revocation).max(1);
        let chunks = self.tasks_of_parcel(call).div_ceil(chunk);
        self.remote.room.saturating_mul(chunks.clamp(1, PARCEL_CHUNKS_MAX))
    }

    /// How many tasks keep a machine busy for a while; one where nothing is known of them.
    fn tasks_of_parcel(&self, call: &OpenCall) -> usize {
        let fixed = call.chunk_size.fixed().unwrap_or(1);
        let Some(per_task) = call.chunk_size.per_task() else {
            return fixed;
        };
        let fitting = PARCEL_TIME.as_nanos() / per_task.as_nanos().max(1);
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX).max(fixed);
        // Smaller towards the end, so that the machines end together.
        let share = call.left.map_or(usize::MAX, |left| {
            let waiting: usize = call.backlog.iter().map(Chunk::len).sum();
            left.saturating_add(waiting).div_ceil(2 * (self.size + self.remote.workers).max(1))
        });
        fitting.min(share.max(1))
    }

    /// Takes tasks that wait, if another machine wants some: of the call that has the fewest workers among those of the highest priority.
    pub(in crate::pool) fn take_parcel(&mut self) -> Option<Parcel> {
        if self.remote.room == 0 {
            return None;
        }
        let waiting = self.calls.iter().filter(|(_, call)| call.is_unpinned() && !call.backlog.is_empty());
        let (&id, call) =
            waiting.min_by_key(|(_, call)| (Reverse(call.waiting_priority()), call.workers.len(), call.served))?;
        let tasks_max = self.tasks_of_parcel(call);
        self.served += 1;
        let served = self.served;
        let call = self.calls.get_mut(&id)?;
        call.served = served;
        call.is_remote = true;
        let mut chunks: Vec<Chunk> = Vec::new();
        let (mut tasks, mut bytes) = (0, 0);
        while tasks < tasks_max && chunks.len() < PARCEL_CHUNKS_MAX && bytes < PARCEL_BYTES_MAX {
            let Some(mut chunk) = call.backlog.pop_front() else {
                break;
            };
            if chunk.len() > tasks_max - tasks {
                call.line_up(chunk.split(tasks_max - tasks));
            }
            tasks += chunk.len();
            bytes += chunk.tasks().len();
            chunks.push(chunk);
        }
        self.remote.room -= 1;
        let parcel = ParcelId(self.remote.next);
        self.remote.next += 1;
        self.remote.held.insert(parcel, HeldParcel { call: id, left: chunks.clone(), left_nanos: 0 });
        Some(Parcel { id: parcel, call: id, rules: call.rules, chunks })
    }

    /// Notes when a parcel leaves this machine.
    pub(in crate::pool) fn parcel_leaves(&mut self, parcel: ParcelId, now_nanos: u64) {
        if let Some(held) = self.remote.held.get_mut(&parcel) {
            held.left_nanos = now_nanos;
        }
    }

    /// How long a task of a parcel has waited before it left this machine.
    pub(in crate::pool) fn waited_here(&self, parcel: ParcelId, index: usize) -> u64 {
        let held = self.remote.held.get(&parcel);
        let has_task = |chunk: &&Chunk| chunk.index(0) <= index && index < chunk.index(chunk.len());
        let waited = held.and_then(|held| {
            let chunk = held.left.iter().find(has_task)?;
            Some(held.left_nanos.saturating_sub(chunk.handed_nanos()))
        });
        waited.unwrap_or(0)
    }

    /// Gives a call outcomes of tasks of a parcel, and notes how long one takes there; returns how many tasks of it have none yet. None
    /// where the parcel has ended or never had these tasks: nothing of it counts.
    pub(in crate::pool) fn remote_done(
        &mut self,
        parcel: ParcelId,
        mut done: CompletedTasks,
        per_task: Option<Duration>,
    ) -> Option<usize> {
        let held = self.remote.held.get_mut(&parcel)?;
        let chunk = take_tasks(&mut held.left, done.first_index, done.count)?;
        done.argument_bytes = chunk.weight;
        let mut done = done.with_arguments(functions::is_measured(chunk.head().function), || chunk.arguments());
        // The other machine knows the executions there alone.
        done.earlier.splice(..0, chunk.earlier().iter().cloned());
        let left = held.left.iter().map(Chunk::len).sum();
        self.totals.ended_elsewhere(&done);
        if let Some(call) = self.calls.get_mut(&held.call) {
            if let Some(per_task) = per_task {
                let tasks = u32::try_from(done.count).unwrap_or(u32::MAX);
                call.chunk_size.observe(tasks, per_task.saturating_mul(tasks));
            }
            call.done.push(done);
        }
        if left == 0 {
            self.remote.held.remove(&parcel);
        }
        Some(left)
    }

    /// Ends a task that another machine has with this error. It may have begun it.
    pub(in crate::pool) fn abort_remote(
        &mut self,
        id: CallId,
        index: usize,
        error: &TaskErrorKind,
    ) -> Option<CompletedTasks> {
        let mut of_call = self.remote.held.values_mut().filter(|held| held.call == id);
        let chunk = of_call.find_map(|held| take_tasks(&mut held.left, index, 1))?;
        self.remote.held.retain(|_, held| !held.left.is_empty());
        self.totals.finished += 1;
        self.remote.ended.tasks.push(RemoteAbort { call: id, index });
        Some(chunk.begun(error.clone()))
    }

    /// The tasks of a call that other machines have.
    pub(super) fn remote_indices(&self, id: CallId) -> impl Iterator<Item = usize> {
        let of_call = self.remote.held.values().filter(move |held| held.call == id);
        of_call.flat_map(|held| &held.left).flat_map(|chunk| (0..chunk.len()).map(|position| chunk.index(position)))
    }

    /// Lines up what has no outcome of a parcel: its machine is lost, or gives it back.
    pub(in crate::pool) fn remote_returned(&mut self, parcel: ParcelId) {
        let Some(held) = self.remote.held.remove(&parcel) else {
            return;
        };
        if let Some(call) = self.calls.get_mut(&held.call) {
            held.left.into_iter().for_each(|chunk| call.line_up(chunk));
        }
    }

    /// Notes that a call has ended, of which other machines have had tasks; those without an outcome get this error, if the call is still to
    /// hear of them.
    pub(super) fn end_remote(&mut self, id: CallId, on_cancel: OnCancel, error: Option<&TaskErrorKind>) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.is_remote) else {
            return;
        };
        let ended = self.remote.held.extract_if(.., |_, held| held.call == id);
        let left: Vec<Chunk> = ended.flat_map(|(_, held)| held.left).collect();
        if let Some(error) = error {
            call.done.extend(left.iter().map(|chunk| chunk.not_begun(error.clone()).of_deadline(error)));
        }
        self.remote.ended.calls.push(RemoteEnd { call: id, on_cancel });
    }

    /// Takes tasks one behind the other out of those that wait, if all of them do; returns whether they did.
    pub(in crate::pool) fn withdraw_waiting(&mut self, id: CallId, first_index: usize, count: usize) -> bool {
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        let end = first_index + count;
        let is_inside = |chunk: &Chunk| first_index <= chunk.index(0) && chunk.index(chunk.len()) <= end;
        let waiting: usize = call.backlog.iter().filter(|chunk| is_inside(chunk)).map(Chunk::len).sum();
        if waiting == count {
            call.backlog.retain(|chunk| !is_inside(chunk));
        }
        waiting == count
    }

    /// What has ended since this was asked, of which other machines have had tasks.
    pub(in crate::pool) fn take_remote_ended(&mut self) -> RemoteEnded {
        std::mem::take(&mut self.remote.ended)
    }

    /// How many tasks other machines have.
    pub(super) fn remote_tasks(&self) -> usize {
        self.remote.held.values().flat_map(|held| &held.left).map(Chunk::len).sum()
    }
}

/// Whether the tasks of a chunk can run on another machine (rule 4).
pub(in crate::pool) fn travels(chunk: &Chunk) -> bool {
    chunk.named_memory().iter().all(|segment| segment.can_be_copied())
}
