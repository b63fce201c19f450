//! The scheduler under random orders of events, against a model of the workers: every task has one outcome, nothing is given to a
//! worker that is gone, and no bytes are lost from the account.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::error::TaskErrorKind;
use crate::pool::chunk_size::Revocation;
use crate::pool::scheduler::{Assignment, CallId, CallRules, OnCancel, Scheduler, Slot};
use crate::task::{Origin, WorkerIdentity};
use crate::transport::{Arena, Chunk, ChunkHead, ResultBatch, SOLITARY_DEATHS_MAX, SOLITARY_KILLS_MAX};
use crate::transport::{CompletedTasks, Outcomes};
use crate::wire::{self, Records, Status};

mod ends;
mod remote;

const SLOTS: usize = 4;

/// What can happen.
#[derive(Clone, Debug)]
enum Event {
    Open { fixed: Option<usize>, attempts: u32, priority: i32 },
    Push { call: usize, weights: Vec<usize> },
    Claim { slot: Slot, count: usize },
    Answer { slot: Slot, count: usize, nanos: u64 },
    TakeBack { slot: Slot, count: usize },
    Recall { slot: Slot, kept: usize },
    AssignToIdle { call: usize },
    Lose { slot: Slot, has_begun: bool, origin: Origin },
    Suspend { slot: Slot },
    Abort { slot: Slot, task: usize, has_begun: bool },
    Start { slot: Slot },
    Close { call: usize, on_cancel: OnCancel },
    Remote(remote::RemoteEvent),
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![Just(Origin::Itself), Just(Origin::Outside)]
}

fn event() -> impl Strategy<Value = Event> {
    let slot = 0..SLOTS;
    let on_cancel = prop_oneof![Just(OnCancel::Kill), Just(OnCancel::Finish)];
    prop_oneof![
        1 => (proptest::option::of(1..4usize), 1..4u32, -1..2i32)
            .prop_map(|(fixed, attempts, priority)| Event::Open { fixed, attempts, priority }),
        6 => (0..6usize, prop_oneof![vec(0..50usize, 1..20), vec(0..50usize, 1)]).prop_map(|(call, weights)| Event::Push { call, weights }),
        8 => (slot.clone(), 1..20usize).prop_map(|(slot, count)| Event::Claim { slot, count }),
        12 => (slot.clone(), 1..30usize, prop_oneof![0..200u64, 0..5_000_000u64])
            .prop_map(|(slot, count, nanos)| Event::Answer { slot, count, nanos }),
        3 => (slot.clone(), 1..20usize).prop_map(|(slot, count)| Event::TakeBack { slot, count }),
        3 => (slot.clone(), 0..4usize).prop_map(|(slot, kept)| Event::Recall { slot, kept }),
        1 => (0..6usize).prop_map(|call| Event::AssignToIdle { call }),
        4 => (slot.clone(), any::<bool>(), origin())
            .prop_map(|(slot, has_begun, origin)| Event::Lose { slot, has_begun, origin }),
        1 => slot.clone().prop_map(|slot| Event::Suspend { slot }),
        3 => (slot.clone(), 0..9usize, any::<bool>())
            .prop_map(|(slot, task, has_begun)| Event::Abort { slot, task, has_begun }),
        3 => slot.prop_map(|slot| Event::Start { slot }),
        1 => (0..6usize, on_cancel).prop_map(|(call, on_cancel)| Event::Close { call, on_cancel }),
        13 => remote::remote_event().prop_map(Event::Remote),
    ]
}

/// What a worker would do with what it was given.
#[derive(Default)]
struct ModelWorker {
    alive: bool,
    ready: bool,
    /// It was asked to give back what it has, and has not.
    revoked: bool,
    /// What it had not begun was recalled, and it has not told of all of that.
    is_recalled: bool,
    pid: u32,
    call: Option<CallId>,
    /// Its tasks without a result, in order, and how many of them are the worker's for good.
    tasks: VecDeque<usize>,
    claimed: usize,
    /// The tasks that it has given results of.
    served: usize,
    /// All that it was given since it last had nothing is one task.
    is_alone: bool,
    /// Its task was aborted: it is killed for it, and nothing of it counts.
    is_aborted: bool,
}

impl ModelWorker {
    fn is_busy(&self) -> bool {
        !self.tasks.is_empty() || self.is_recalled
    }
}

/// What a worker dies of.
pub(super) fn crash() -> TaskErrorKind {
    TaskErrorKind::Crashed { signal: Some(11), exit_code: None, note: None }
}

/// What is known of a call.
#[derive(Default)]
struct ModelCall {
    rules: CallRules,
    tasks: usize,
    bytes: usize,
    bytes_done: usize,
    done: BTreeSet<usize>,
    failed: BTreeSet<usize>,
    /// The process that gave each result.
    finished_by: BTreeMap<usize, u32>,
    /// How many workers died that had begun a task, and how many that were alone with it and had not.
    died_with: BTreeMap<usize, u32>,
    died_alone: BTreeMap<(usize, bool), u32>,
}

pub(super) struct Model {
    pub(super) scheduler: Scheduler,
    revocation: Revocation,
    tasks_max: Option<usize>,
    arena: Arc<Arena>,
    workers: Vec<ModelWorker>,
    open: Vec<CallId>,
    calls: BTreeMap<CallId, ModelCall>,
    next_pid: u32,
    parcels: Vec<remote::ModelParcel>,
}

/// The results of these tasks: each is its index.
pub(super) fn records(indices: Range<usize>) -> Vec<u8> {
    let result = |index: usize| [&wire::head(Status::Output, 8)[..], &(index as u64).to_le_bytes()].concat();
    indices.flat_map(result).collect()
}

impl Model {
    pub(super) fn new(slots: usize, revocation: Revocation) -> Self {
        Self::with_tasks_max(slots, revocation, None)
    }

    /// Workers are given no more than so many tasks.
    pub(super) fn with_tasks_max(slots: usize, revocation: Revocation, tasks_max: Option<usize>) -> Self {
        Self {
            scheduler: Scheduler::new(slots, revocation, tasks_max),
            revocation,
            tasks_max,
            arena: Arc::new(Arena::private().unwrap()),
            workers: (0..slots).map(|_| ModelWorker::default()).collect(),
            open: Vec::new(),
            calls: BTreeMap::new(),
            next_pid: 100,
            parcels: Vec::new(),
        }
    }

    pub(super) fn open(&mut self, fixed: Option<usize>) -> CallId {
        self.open_for(CallRules { chunk_size: fixed, ..CallRules::default() })
    }

    pub(super) fn open_for(&mut self, rules: CallRules) -> CallId {
        let call = self.scheduler.open(rules);
        self.open.push(call);
        self.calls.insert(call, ModelCall { rules, ..ModelCall::default() });
        call
    }

    /// A chunk of tasks with so many bytes of arguments.
    pub(super) fn chunk(&mut self, first: usize, weights: &[usize]) -> Chunk {
        let mut tasks = Vec::new();
        for &weight in weights {
            tasks.extend(u32::try_from(weight).unwrap().to_le_bytes());
            tasks.resize(tasks.len() + weight, 0);
        }
        let mut room = self.arena.first_room().expect("chunks are small");
        room[..tasks.len()].copy_from_slice(&tasks);
        let head = ChunkHead { function: 0, attempt: 1, first_index: first as u64 };
        Chunk::new(head, weights.len() as u32, room.into_block(tasks.len()), tasks.len())
    }

    /// Adds tasks to a call, and gives out what there is to give.
    pub(super) fn push(&mut self, call: CallId, weights: &[usize]) {
        let chunk = self.chunk(self.calls[&call].tasks, weights);
        let known = self.calls.get_mut(&call).unwrap();
        known.tasks += weights.len();
        known.bytes += chunk.weight;
        self.scheduler.push(call, chunk);
        self.dispatch();
    }

    pub(super) fn dispatch(&mut self) {
        while let Some(given) = self.scheduler.assign() {
            self.assigned(&given);
        }
    }

    fn assigned(&mut self, given: &Assignment) {
        let worker = &mut self.workers[given.slot];
        assert!(worker.alive && worker.ready, "a chunk for a worker that takes none");
        assert!(!worker.revoked, "a chunk for a worker that was asked to begin nothing");
        let call = self.scheduler.workers[given.slot].call.expect("a worker that was given a chunk has its call");
        assert!(self.open.contains(&call), "a chunk of a call that has ended");
        assert!(worker.tasks.is_empty() || worker.call == Some(call), "chunks of two calls at one worker");
        let rules = self.calls[&call].rules;
        assert_eq!(
            given.claim_batch as usize,
            if rules.limits.shortest().is_some() { 1 } else { rules.chunk_size.unwrap_or(0) }
        );
        assert!(given.chunk.len() > 0, "a chunk without tasks");
        worker.call = Some(call);
        worker.is_alone = worker.tasks.is_empty() && given.chunk.len() == 1;
        worker.tasks.extend((0..given.chunk.len()).map(|position| given.chunk.index(position)));
        if self.revocation == Revocation::Unsupported {
            worker.claimed = worker.tasks.len();
        }
    }

    pub(super) fn claim(&mut self, slot: Slot, count: usize) {
        let worker = &mut self.workers[slot];
        worker.claimed = (worker.claimed + count).min(worker.tasks.len());
    }

    /// The worker gives results of at most so many tasks.
    pub(super) fn answer(&mut self, slot: Slot, count: usize, elapsed: Duration) {
        let worker = &mut self.workers[slot];
        let count = count.min(worker.claimed);
        if !worker.alive || worker.is_aborted {
            return;
        }
        if worker.is_recalled {
            return self.answer_recalled(slot, count);
        }
        if count > 0 {
            let mut written = Vec::new();
            for index in worker.tasks.drain(..count) {
                written.extend(records(index..index + 1));
                if let Some(known) = worker.call.and_then(|call| self.calls.get_mut(&call)) {
                    known.finished_by.insert(index, worker.pid);
                }
            }
            worker.claimed -= count;
            worker.served += count;
            let timed = (elapsed > Duration::ZERO).then_some((count as u32, elapsed));
            self.scheduler.on_results(slot, ResultBatch::new(count as u32, Records::new(written), timed)).unwrap();
        }
        if worker.revoked {
            // The task that was running has its result; the rest is given back.
            (worker.revoked, worker.claimed) = (false, 0);
            worker.tasks.clear();
            self.scheduler.returned(slot).unwrap();
        }
    }

    pub(super) fn take_back(&mut self, slot: Slot, count: usize) {
        let worker = &mut self.workers[slot];
        if worker.is_aborted {
            return;
        }
        let count = count.min(worker.tasks.len() - worker.claimed);
        worker.tasks.truncate(worker.tasks.len() - count);
        self.scheduler.reclaimed(slot, count);
    }

    pub(super) fn lose(&mut self, slot: Slot, has_begun: bool) {
        self.lose_by(slot, has_begun, Origin::Itself);
    }

    pub(super) fn lose_by(&mut self, slot: Slot, has_begun: bool, origin: Origin) {
        let worker = std::mem::take(&mut self.workers[slot]);
        if !worker.alive {
            return;
        }
        let has_begun = has_begun && worker.claimed > 0;
        if let (Some(first), Some(known)) =
            (worker.tasks.front(), worker.call.and_then(|call| self.calls.get_mut(&call)))
        {
            if has_begun {
                *known.died_with.entry(*first).or_default() += 1;
            } else if worker.is_alone {
                *known.died_alone.entry((*first, origin == Origin::Itself)).or_default() += 1;
            }
        }
        self.scheduler.lost(slot, u32::from(has_begun), Some((crash(), origin)));
    }

    pub(super) fn start(&mut self, slot: Slot) {
        if !self.workers[slot].alive {
            self.next_pid += 1;
            let pid = self.next_pid;
            self.workers[slot] = ModelWorker { alive: true, ready: true, pid, ..ModelWorker::default() };
            self.scheduler.add_worker(slot, pid);
        }
    }

    fn suspend(&mut self, slot: Slot) {
        self.scheduler.suspend(slot);
        self.workers[slot].ready = false;
    }

    /// As the pool does it: what can be taken back is taken back first.
    fn close(&mut self, call: CallId, on_cancel: OnCancel) {
        for slot in self.scheduler.workers_of(call).to_vec() {
            if self.revocation == Revocation::Supported {
                self.take_back(slot, usize::MAX);
            }
        }
        let held = self.scheduler.close(call, on_cancel);
        let holders: Vec<Slot> = (0..self.workers.len())
            .filter(|&slot| self.workers[slot].call == Some(call) && !self.workers[slot].tasks.is_empty())
            .collect();
        assert_eq!(held.iter().copied().collect::<BTreeSet<_>>(), holders.into_iter().collect());
        self.calls.remove(&call);
        self.forget_parcels(call);
        for slot in held {
            match on_cancel {
                OnCancel::Kill => {
                    assert!(!self.scheduler.is_busy(slot));
                    self.workers[slot].tasks.clear();
                    self.lose(slot, true);
                }
                OnCancel::Finish => self.workers[slot].revoked |= self.revocation == Revocation::Unsupported,
            }
        }
    }

    pub(super) fn collect(&mut self) {
        for &call in &self.open {
            for done in self.scheduler.take_done(call) {
                self.calls.get_mut(&call).unwrap().apply(done);
            }
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Open { fixed, attempts, priority } => {
                self.open_for(CallRules { chunk_size: fixed, attempts, priority, ..CallRules::default() });
            }
            Event::Push { call, weights } => {
                if let Some(&call) = self.open.get(call) {
                    assert_ne!(self.scheduler.wanted(call, None), Some(0));
                    self.push(call, &weights);
                }
            }
            Event::Claim { slot, count } => self.claim(slot, count),
            Event::Answer { slot, count, nanos } => self.answer(slot, count, Duration::from_nanos(nanos)),
            Event::TakeBack { slot, count } if self.revocation == Revocation::Supported => self.take_back(slot, count),
            Event::Recall { slot, kept } if self.revocation == Revocation::Supported => self.recall(slot, kept),
            Event::TakeBack { .. } | Event::Recall { .. } => {}
            Event::AssignToIdle { call } => {
                if let Some(&call) = self.open.get(call)
                    && let Some(given) = self.scheduler.assign_to_idle(call)
                {
                    self.assigned(&given);
                }
            }
            Event::Lose { slot, has_begun, origin } => self.lose_by(slot, has_begun, origin),
            Event::Suspend { slot } => self.suspend(slot),
            Event::Abort { slot, task, has_begun } => self.abort(slot, task, has_begun),
            Event::Start { slot } => self.start(slot),
            Event::Close { call, on_cancel } => {
                if call < self.open.len() {
                    let call = self.open.remove(call);
                    self.close(call, on_cancel);
                }
            }
            Event::Remote(event) => self.apply_remote(event),
        }
        self.retire();
        self.dispatch();
        self.retire();
        self.check();
        self.collect();
    }

    /// As the pool does it: a worker that is to be given nothing more ends.
    fn retire(&mut self) {
        for slot in self.scheduler.take_drained() {
            let worker = &self.workers[slot];
            assert!(worker.alive && worker.tasks.is_empty(), "worker {slot} is retired with tasks");
            assert_eq!(Some(worker.served), self.tasks_max, "worker {slot} is retired too early");
            self.lose(slot, false);
        }
    }

    /// What holds after every event.
    fn check(&self) {
        for (slot, worker) in self.workers.iter().enumerate() {
            let known = &self.scheduler.workers[slot];
            assert!(worker.served <= self.tasks_max.unwrap_or(usize::MAX), "worker {slot} serves too long");
            assert_eq!(known.tasks, worker.tasks.len());
            assert_eq!(known.chunks.iter().map(|held| held.left()).sum::<usize>(), known.tasks);
            assert_eq!(self.scheduler.is_busy(slot), worker.is_busy());
            assert_eq!(self.scheduler.has_queued_tasks(slot), worker.tasks.len() > 1);
            let is_free = worker.alive && worker.ready && !worker.revoked && worker.tasks.is_empty();
            let idle = self.scheduler.idle.iter().filter(|&&idle| idle == slot).count();
            assert_eq!(idle, usize::from(is_free), "worker {slot} is idle {idle} times");
            let calls = self.scheduler.calls.values().filter(|call| call.workers.contains(&slot)).count();
            assert_eq!(calls, usize::from(known.call.is_some()), "worker {slot} is of {calls} calls");
        }
        for call in self.scheduler.calls.values() {
            let waiting: Vec<usize> = call.backlog.iter().map(|chunk| chunk.index(0)).collect();
            assert!(waiting.is_sorted(), "what waits is not in order: {waiting:?}");
        }
        let starved = self.scheduler.calls.values().any(|call| !call.backlog.is_empty() && call.workers.is_empty());
        assert!(!starved || self.scheduler.idle.is_empty(), "a call waits, and a worker is free");
    }

    pub(super) fn tasks_of(&self, slot: Slot) -> Vec<usize> {
        self.workers[slot].tasks.iter().copied().collect()
    }

    pub(super) fn done_of(&self, call: CallId) -> Vec<usize> {
        self.calls[&call].done.iter().copied().collect()
    }

    pub(super) fn failed_of(&self, call: CallId) -> Vec<usize> {
        self.calls[&call].failed.iter().copied().collect()
    }
}

impl ModelCall {
    fn apply(&mut self, done: CompletedTasks) {
        let indices = done.first_index..done.first_index + done.count;
        let pid = done.worker.map_or(remote::PID, |WorkerIdentity { pid, .. }| pid);
        match done.outcomes {
            Outcomes::Records(mut records) => {
                for index in indices.clone() {
                    let (status, payload) = records.next().unwrap();
                    assert_eq!((status, payload), (Status::Output, &(index as u64).to_le_bytes()[..]));
                    assert_eq!(self.finished_by.get(&index), Some(&pid), "the worker of task {index}");
                }
                assert_eq!(records.drop_rest(), 0, "results of other tasks");
            }
            Outcomes::Error(_) if pid == remote::PID => self.failed.extend(indices.clone()),
            Outcomes::Error(_) => {
                assert_eq!(done.count, 1);
                assert!(done.attempts <= self.rules.attempts, "task {} runs too often", done.first_index);
                assert_eq!(done.earlier.len() + 1, done.attempts as usize, "the causes of task {}", done.first_index);
                let index = done.first_index;
                let count = |by_itself| self.died_alone.get(&(index, by_itself)).copied().unwrap_or_default();
                let solitary = count(true) / SOLITARY_DEATHS_MAX + count(false) / SOLITARY_KILLS_MAX;
                let begun = self.died_with.get(&index).copied().unwrap_or_default();
                assert!(begun + solitary >= done.attempts, "task {index} is blamed without evidence");
                self.failed.insert(done.first_index);
            }
        }
        for index in indices {
            assert!(self.done.insert(index), "task {index} has two outcomes");
        }
        self.bytes_done += done.argument_bytes;
    }
}

proptest! {
    #[test]
    fn deaths_before_a_task_begins_never_cost_it_unless_it_was_alone(
        taken in any::<bool>(),
        tasks in 1..40usize,
        chunk in 1..9usize,
        deaths in vec((0..SLOTS, 0..4usize, origin()), 0..if cfg!(miri) { 20 } else { 200 }),
    ) {
        let mut model = Model::new(SLOTS, if taken { Revocation::Supported } else { Revocation::Unsupported });
        let call = model.open(Some(chunk));
        let mut left = tasks;
        while left > 0 {
            let count = left.min(chunk);
            model.push(call, &vec![1; count]);
            left -= count;
        }
        for (slot, finished, origin) in deaths {
            (0..SLOTS).for_each(|slot| model.start(slot));
            model.dispatch();
            model.claim(slot, finished);
            model.answer(slot, finished, Duration::from_millis(1));
            // It dies between two tasks.
            model.lose_by(slot, false, origin);
            model.dispatch();
            model.check();
            model.collect();
        }
        model.settle();
        model.check_all_done();
    }

    #[test]
    fn every_task_has_one_outcome_in_any_order_of_events(
        taken in any::<bool>(),
        tasks_max in proptest::option::of(1..12usize),
        events in vec(event(), 0..if cfg!(miri) { 40 } else { 200 }),
    ) {
        let mut model = Model::with_tasks_max(SLOTS, if taken { Revocation::Supported } else { Revocation::Unsupported }, tasks_max);
        for event in events {
            model.apply(event);
        }
        model.settle();
        model.check_all_done();
    }
}
