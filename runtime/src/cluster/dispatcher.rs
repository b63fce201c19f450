//! The dispatcher takes tasks that wait in the pool, assigns them to an engine, and ensures that each has one outcome, whatever the engine
//! does. It asks no clock and does no I/O by itself.
//!
//! 1. A task is held by the pool until it has an outcome. What is known here is which work has it, so whatever the engine loses,
//!    repeats or gives in another order, no task is lost, and none has two outcomes.
//! 2. The first outcome of a task counts. Others are counted and dropped.
//! 3. Work whose node is lost goes to another, in two halves: if one of its tasks is what ends nodes, it is found. Each loss counts, and
//!    the tasks fail after the number that `POOLMAP_TRIES` sets.
//! 4. Work that a node gives back is nobody's fault: it counts for nothing.
//! 5. Where no node is left, all of it goes back to the pool, whose own workers run it.
//! 6. A node that cannot run tasks is no lost node: what it gives back counts for nothing (rule 4).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::engine::{Capacity, ClusterEngine, EngineEvent, NodeId, SendOutcome};
use super::forms::{ChunkForm, RulesForm};
use super::messages::{CallTask, Done, Work};
use crate::error::TaskErrorKind;
use crate::pool::{CallId, CallRules, OnCancel, Parcel, ParcelId, RemoteAbort, RemoteEnd, RemoteEnded};
use crate::shared::Segment;
use crate::transport::{Chunk, CompletedTasks, take_tasks};

/// The source of the tasks, which also takes their outcomes.
pub(super) trait Tasks {
    /// Sets how many parcels the nodes take now, and how many workers they have.
    fn set_remote(&self, room: usize, workers: usize);
    fn take_parcel(&self) -> Option<Parcel>;
    /// Gives outcomes of tasks of a parcel; returns how many of its tasks have none yet, or none if nothing of it counts.
    fn done(&self, parcel: ParcelId, done: CompletedTasks, per_task: Option<Duration>) -> Option<usize>;
    /// Gives back what has no outcome of a parcel.
    fn returned(&self, parcel: ParcelId);
    fn is_open(&self, call: CallId) -> bool;
    /// What has ended since this was asked, of which parcels were taken.
    fn take_ended(&self) -> RemoteEnded;
}

/// A generation has so many numbers, as a power of two.
pub(super) const GENERATION_SHIFT: u32 = 40;

/// So much dropped work is known by its numbers.
const DROPPED_MAX: usize = 65536;

/// Keeps the account of the work that nodes have.
pub(super) struct Dispatcher {
    works: BTreeMap<u64, HeldWork>,
    /// Work that is to be sent, the oldest first.
    waiting: VecDeque<u64>,
    next: u64,
    /// What the numbers of calls begin with.
    base: u64,
    losses_max: u32,
    duplicates: u64,
    /// Work that was dropped before all of it had outcomes, the latest of it: what comes of it late is no second outcome.
    dropped: BTreeSet<u64>,
    told: (usize, usize),
    /// It was said that no node is left.
    is_alone: bool,
}

/// Work without all of its outcomes.
struct HeldWork {
    parcel: ParcelId,
    call: CallId,
    rules: CallRules,
    left: Vec<Chunk>,
    /// The hosts of the nodes that were lost with it.
    lost: Vec<String>,
    /// Where it is, if the engine has said so.
    node: Option<NodeId>,
}

/// An event that a person may want to know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SessionNote {
    Down {
        host: String,
        why: String,
        tasks: usize,
    },
    OutOfService {
        host: String,
        why: String,
    },
    Refused {
        why: String,
    },
    /// No node is left.
    Alone,
    EngineLost {
        why: String,
    },
    EngineBack,
}

impl Dispatcher {
    /// Tasks fail once that many nodes were lost with them. The numbers of calls and of work are those of a generation.
    pub(super) fn new(losses_max: u32, generation: u64) -> Self {
        let base = generation << GENERATION_SHIFT;
        Self {
            works: BTreeMap::new(),
            waiting: VecDeque::new(),
            next: base,
            base,
            losses_max: losses_max.max(1),
            duplicates: 0,
            dropped: BTreeSet::new(),
            told: (0, 0),
            is_alone: false,
        }
    }

    /// How many outcomes came that were there already, since this was asked.
    pub(super) fn take_duplicates(&mut self) -> u64 {
        std::mem::take(&mut self.duplicates)
    }

    /// Gives the engine what it takes.
    pub(super) fn feed(&mut self, engine: &mut dyn ClusterEngine, tasks: &dyn Tasks) {
        let ended = tasks.take_ended();
        if !ended.calls.is_empty() || !ended.tasks.is_empty() {
            self.drop_ended(ended, engine);
        }
        while let Some(id) = self.waiting.pop_front() {
            if !self.send(id, engine) {
                self.waiting.push_front(id);
                break;
            }
        }
        loop {
            self.tell_room(engine.capacity(), tasks);
            if self.told.0 == 0 {
                break;
            }
            let Some(Parcel { id: parcel, call, rules, chunks }) = tasks.take_parcel() else {
                break;
            };
            // It is one less for the pool, too.
            self.told.0 -= 1;
            let work = HeldWork { parcel, call, rules, left: chunks, lost: Vec::new(), node: None };
            let id = self.hold(work);
            if !self.send(id, engine) {
                self.waiting.push_back(id);
            }
        }
    }

    /// Drops the work of what has ended, and has the engine do the same.
    fn drop_ended(&mut self, ended: RemoteEnded, engine: &mut dyn ClusterEngine) {
        for RemoteEnd { call, on_cancel } in ended.calls {
            let of_call = self.works.extract_if(.., |_, work| work.call == call);
            self.dropped.extend(of_call.map(|(id, _)| id));
            engine.end_call(self.base + call.number(), on_cancel == OnCancel::Kill);
        }
        for RemoteAbort { call, index } in ended.tasks {
            let mut of_call = self.works.values_mut().filter(|work| work.call == call);
            if of_call.any(|work| take_tasks(&mut work.left, index, 1).is_some()) {
                engine.abort(CallTask { call: self.base + call.number(), index: index as u64 });
            }
        }
        self.dropped.extend(self.works.extract_if(.., |_, work| work.left.is_empty()).map(|(id, _)| id));
        self.forget_dropped();
        let works = &self.works;
        self.waiting.retain(|id| works.contains_key(id));
    }

    fn forget_dropped(&mut self) {
        while self.dropped.len() > DROPPED_MAX {
            self.dropped.pop_first();
        }
    }

    /// Tells the pool what the nodes take, if that has changed.
    fn tell_room(&mut self, capacity: Capacity, tasks: &dyn Tasks) {
        let room = if self.waiting.is_empty() && capacity.nodes > 0 { capacity.room } else { 0 };
        if self.told != (room, capacity.workers) {
            self.told = (room, capacity.workers);
            tasks.set_remote(room, capacity.workers);
        }
    }

    fn hold(&mut self, work: HeldWork) -> u64 {
        let id = self.next;
        self.next += 1;
        self.works.insert(id, work);
        id
    }

    fn send(&mut self, id: u64, engine: &mut dyn ClusterEngine) -> bool {
        let Some(held) = self.works.get_mut(&id) else {
            return true;
        };
        let chunks = held.left.iter().map(|chunk| ChunkForm::new(chunk, &held.rules)).collect();
        let work = Work { id, call: self.base + held.call.number(), rules: RulesForm::from(&held.rules), chunks };
        let mut segments: Vec<Arc<Segment>> = held.left.iter().flat_map(Chunk::named_memory).cloned().collect();
        segments.sort_by_key(|segment| segment.id);
        segments.dedup_by_key(|segment| segment.id);
        match engine.try_send(work, &segments) {
            SendOutcome::To(node) => {
                held.node = node;
                true
            }
            SendOutcome::Full => false,
        }
    }

    /// Applies what an engine tells; returns what a person may want to know of it.
    pub(super) fn apply(
        &mut self,
        event: EngineEvent,
        engine: &mut dyn ClusterEngine,
        tasks: &dyn Tasks,
    ) -> Vec<SessionNote> {
        let mut notes = Vec::new();
        match event {
            EngineEvent::Up { .. } => self.is_alone = false,
            EngineEvent::OutOfService { host, why, .. } => {
                notes.push(SessionNote::OutOfService { host, why });
                notes.extend(self.give_back_where_alone(engine, tasks));
            }
            EngineEvent::Refused { why } => notes.push(SessionNote::Refused { why }),
            EngineEvent::Lost { why } => notes.push(SessionNote::EngineLost { why }),
            EngineEvent::Back => notes.push(SessionNote::EngineBack),
            EngineEvent::Done(done) => {
                let call = done.call;
                self.done(done, tasks);
                if !call.checked_sub(self.base).is_some_and(|number| tasks.is_open(CallId::of_number(number))) {
                    // A node that came late, or did not hear of its end, runs it for nobody.
                    engine.end_call(call, true);
                }
            }
            EngineEvent::Returned { works } => {
                let known = works.into_iter().filter(|id| self.works.contains_key(id));
                let back: Vec<u64> = known.filter(|id| !self.waiting.contains(id)).collect();
                self.waiting.extend(back);
                notes.extend(self.give_back_where_alone(engine, tasks));
            }
            EngineEvent::Down { node, host, why, held } => {
                let at_node = |work: &HeldWork| work.node == Some(node);
                let lost: Vec<u64> = match held {
                    Some(held) => held.into_iter().filter(|id| self.works.contains_key(id)).collect(),
                    None => self.works.iter().filter(|(_, work)| at_node(work)).map(|(&id, _)| id).collect(),
                };
                let before = |id: &u64| self.works[id].tasks();
                let count = lost.iter().map(before).sum();
                lost.into_iter().for_each(|id| self.lost(id, &host, tasks));
                notes.push(SessionNote::Down { host, why, tasks: count });
                notes.extend(self.give_back_where_alone(engine, tasks));
            }
        }
        notes
    }

    /// Gives everything back to the pool, if no node is left (rule 5).
    fn give_back_where_alone(&mut self, engine: &dyn ClusterEngine, tasks: &dyn Tasks) -> Option<SessionNote> {
        if engine.capacity().nodes > 0 {
            return None;
        }
        self.tell_room(Capacity::default(), tasks);
        for (id, work) in std::mem::take(&mut self.works) {
            tasks.returned(work.parcel);
            self.dropped.insert(id);
        }
        self.forget_dropped();
        self.waiting.clear();
        let is_new = !std::mem::replace(&mut self.is_alone, true);
        is_new.then_some(SessionNote::Alone)
    }

    fn done(&mut self, Done { work, per_task, outcomes, .. }: Done, tasks: &dyn Tasks) {
        for outcome in outcomes {
            let count = outcome.count;
            let Some(done) = outcome.into_completed() else {
                continue;
            };
            let (first, tasks_done) = (done.first_index, done.count);
            let held = self.works.get_mut(&work);
            let Some(held) = held.and_then(|held| take_tasks(&mut held.left, first, tasks_done).map(|_| held)) else {
                // Nor is an outcome of work that was never sent.
                if (self.base..self.next).contains(&work) && !self.dropped.contains(&work) {
                    self.duplicates = self.duplicates.saturating_add(count);
                }
                continue;
            };
            // The pool may have dropped the call meanwhile.
            tasks.done(held.parcel, done, per_task);
            if held.left.is_empty() {
                self.works.remove(&work);
            }
        }
    }

    /// A node was lost with work (rule 3).
    fn lost(&mut self, id: u64, host: &str, tasks: &dyn Tasks) {
        let Some(mut work) = self.works.remove(&id) else {
            return;
        };
        self.waiting.retain(|waiting| *waiting != id);
        work.node = None;
        work.lost.push(host.to_owned());
        if work.lost.len() >= self.losses_max as usize {
            let error = poison(&work.lost);
            for chunk in &work.left {
                tasks.done(work.parcel, chunk.begun(error.clone()), None);
            }
            return;
        }
        let second = work.split_half();
        let first = self.hold(work);
        self.waiting.push_back(first);
        if let Some(second) = second {
            let second = self.hold(second);
            self.waiting.push_back(second);
        }
    }
}

/// The error of tasks with which so many nodes were lost.
fn poison(hosts: &[String]) -> TaskErrorKind {
    let note = format!(
        "{} nodes that had the task were lost ({}): it may be what ends them, by the memory that it takes, for example; POOLMAP_TRIES \
         sets how many may be",
        hosts.len(),
        hosts.join(", "),
    );
    TaskErrorKind::Crashed { signal: None, exit_code: None, note: Some(note) }
}

impl HeldWork {
    fn tasks(&self) -> usize {
        self.left.iter().map(Chunk::len).sum()
    }

    /// Takes the second half of its tasks out, where there are two.
    fn split_half(&mut self) -> Option<Self> {
        let half = self.tasks() / 2;
        if half == 0 {
            return None;
        }
        let (mut left, mut taken) = (Vec::new(), 0);
        for mut chunk in std::mem::take(&mut self.left) {
            let room = half.saturating_sub(taken);
            let second = (chunk.len() > room).then(|| chunk.split(room));
            taken += chunk.len();
            self.left.extend(Some(chunk).filter(|chunk| chunk.len() > 0));
            left.extend(second);
        }
        Some(Self { lost: self.lost.clone(), left, ..*self })
    }
}

#[cfg(test)]
pub(super) mod tests;
