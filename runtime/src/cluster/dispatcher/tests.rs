//! The dispatcher against a scripted engine that gives outcomes in any order, repeats them, loses nodes and messages, is full, and
//! invents outcomes: each task has one outcome, and it is that of the task.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Dispatcher, SessionNote, Tasks};
use crate::cluster::engine::{Capacity, ClusterEngine, EngineEvent, NodeId, SendOutcome};
use crate::cluster::messages::{CallTask, Done, Setup, Work};
use crate::error::TaskErrorKind;
use crate::pool::{CallId, CallRules, OnCancel, Parcel, ParcelId, RemoteEnd, RemoteEnded};
use crate::shared::Segment;
use crate::transport::{Arena, Chunk, ChunkHead, CompletedTasks, Outcomes};
use crate::wire::{self, Status};

/// The pool, as the dispatcher sees it.
pub(in crate::cluster) struct FakePool {
    arena: Arc<Arena>,
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Tasks that wait, by their call.
    waiting: BTreeMap<CallId, VecDeque<usize>>,
    held: BTreeMap<u64, (CallId, BTreeSet<usize>)>,
    outcomes: BTreeMap<(CallId, usize), &'static str>,
    room: usize,
    ended: RemoteEnded,
    next: u64,
}

fn chunk(arena: &Arc<Arena>, first: usize, count: usize) -> Chunk {
    let tasks: Vec<u8> = (0..count).flat_map(|_| 0u32.to_le_bytes()).collect();
    let length = tasks.len();
    let head = ChunkHead { function: 0, attempt: 1, first_index: first as u64 };
    Chunk::new(head, u32::try_from(count).unwrap(), arena.block(tasks).unwrap(), length)
}

impl Tasks for FakePool {
    fn set_remote(&self, room: usize, _workers: usize) {
        self.inner.borrow_mut().room = room;
    }

    fn take_parcel(&self) -> Option<Parcel> {
        let inner = &mut *self.inner.borrow_mut();
        assert!(inner.room > 0, "asked for what is not wanted");
        let (&call, waiting) = inner.waiting.iter_mut().find(|(_, waiting)| !waiting.is_empty())?;
        inner.room -= 1;
        let id = inner.next;
        inner.next += 1;
        // Two chunks, not one behind the other where tasks have come back.
        let mut chunks = Vec::new();
        let mut tasks = BTreeSet::new();
        for _ in 0..2 {
            let Some(first) = waiting.pop_front() else {
                break;
            };
            let mut count = 1;
            while count < 4 && waiting.front() == Some(&(first + count)) {
                waiting.pop_front();
                count += 1;
            }
            tasks.extend(first..first + count);
            chunks.push(chunk(&self.arena, first, count));
        }
        inner.held.insert(id, (call, tasks));
        Some(Parcel { id: ParcelId(id), call, rules: CallRules::default(), chunks })
    }

    fn done(&self, parcel: ParcelId, done: CompletedTasks, _per_task: Option<Duration>) -> Option<usize> {
        let inner = &mut *self.inner.borrow_mut();
        let (call, left) = inner.held.get_mut(&parcel.0)?;
        let outcome = match &done.outcomes {
            Outcomes::Records(_) => "output",
            Outcomes::Error(TaskErrorKind::Crashed { note: Some(note), .. }) => {
                assert!(note.contains("nodes that had the task were lost"), "{note}");
                "poison"
            }
            Outcomes::Error(other) => panic!("{other:?}"),
        };
        if let Outcomes::Records(mut records) = done.outcomes {
            for index in done.first_index..done.first_index + done.count {
                assert_eq!(records.next().unwrap(), (Status::Output, &(index as u64).to_le_bytes()[..]));
            }
        }
        for index in done.first_index..done.first_index + done.count {
            assert!(left.remove(&index), "task {index} is not of parcel {parcel:?}");
            let before = inner.outcomes.insert((*call, index), outcome);
            assert_eq!(before, None, "task {index} has two outcomes");
        }
        let count = left.len();
        if count == 0 {
            inner.held.remove(&parcel.0);
        }
        Some(count)
    }

    fn returned(&self, parcel: ParcelId) {
        let inner = &mut *self.inner.borrow_mut();
        if let Some((call, left)) = inner.held.remove(&parcel.0)
            && let Some(waiting) = inner.waiting.get_mut(&call)
        {
            left.into_iter().rev().for_each(|index| waiting.push_front(index));
        }
    }

    fn is_open(&self, call: CallId) -> bool {
        self.inner.borrow().waiting.contains_key(&call)
    }

    fn take_ended(&self) -> RemoteEnded {
        std::mem::take(&mut self.inner.borrow_mut().ended)
    }
}

impl FakePool {
    pub(in crate::cluster) fn new(calls: &[usize]) -> Self {
        let waiting =
            calls.iter().enumerate().map(|(call, &tasks)| (CallId::of_number(call as u64), (0..tasks).collect()));
        let inner = Inner { waiting: waiting.collect(), ..Inner::default() };
        Self { arena: Arc::new(Arena::private().unwrap()), inner: RefCell::new(inner) }
    }

    fn close(&self, call: CallId) {
        let inner = &mut *self.inner.borrow_mut();
        inner.waiting.remove(&call);
        let had = inner.held.values().any(|(of, _)| *of == call);
        inner.held.retain(|_, (of, _)| *of != call);
        if had {
            inner.ended.calls.push(RemoteEnd { call, on_cancel: OnCancel::Kill });
        }
    }
}

/// Nodes that do as the script says.
#[derive(Default)]
pub(in crate::cluster) struct FakeEngine {
    nodes: BTreeMap<u64, VecDeque<Work>>,
    room: usize,
    /// Whether it tells where work goes, and what a lost node held.
    is_precise: bool,
    ended: BTreeSet<u64>,
    next: u64,
}

impl FakeEngine {
    /// Makes an engine whose nodes take `room` works each.
    pub(in crate::cluster) fn with_room(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    pub(in crate::cluster) fn play(&mut self, act: Act, pool: &FakePool, dispatcher: &mut Dispatcher) {
        play(act, pool, self, dispatcher);
    }

    /// The first work of the first node.
    pub(in crate::cluster) fn first_work(&self) -> &Work {
        &self.nodes.values().next().unwrap()[0]
    }
}

impl ClusterEngine for FakeEngine {
    fn capacity(&self) -> Capacity {
        let free = self.nodes.values().map(|works| self.room.saturating_sub(works.len())).sum();
        Capacity { room: free, nodes: self.nodes.len(), workers: self.nodes.len() }
    }

    fn may_grow(&self) -> bool {
        true
    }

    fn try_send(&mut self, work: Work, _segments: &[Arc<Segment>]) -> SendOutcome {
        assert!(!work.chunks.is_empty(), "work without tasks");
        assert!(!self.ended.contains(&work.call), "work of a call that has ended");
        let free = self.nodes.iter_mut().filter(|(_, works)| works.len() < self.room);
        match free.min_by_key(|(_, works)| works.len()) {
            Some((&node, works)) => {
                works.push_back(work);
                SendOutcome::To(Some(NodeId(node)))
            }
            None => SendOutcome::Full,
        }
    }

    fn set_up(&mut self, _setup: Setup) {}

    fn end_call(&mut self, call: u64, _kills: bool) {
        self.ended.insert(call);
        self.nodes.values_mut().for_each(|works| works.retain(|work| work.call != call));
    }

    fn abort(&mut self, _task: CallTask) {}

    fn poll(&mut self, _wait: Duration) -> Option<EngineEvent> {
        None
    }

    fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        Arc::new(|| {})
    }

    fn close(self: Box<Self>, _code: i32) {}
}

#[derive(Clone, Debug)]
pub(in crate::cluster) enum Act {
    Join,
    /// The work at a place of a node has outcomes from one task on, and stays there if it is to be told twice.
    Answer {
        node: usize,
        work: usize,
        from: usize,
        count: usize,
        twice: bool,
    },
    /// A node is lost, with or without word of what it held.
    Lose {
        node: usize,
    },
    /// A node gives back what it has.
    Return {
        node: usize,
    },
    /// A node is out of service, and gives back what it has before or after that.
    Fail {
        node: usize,
        is_first: bool,
    },
    /// Outcomes of nobody's tasks.
    Invent {
        work: u64,
        first: u64,
        count: u64,
    },
    Refuse,
    EngineLost,
    Close {
        call: usize,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => Just(Act::Join),
        12 => (0..4usize, 0..4usize, 0..8usize, 1..5usize, any::<bool>())
            .prop_map(|(node, work, from, count, twice)| Act::Answer { node, work, from, count, twice }),
        2 => (0..4usize).prop_map(|node| Act::Lose { node }),
        2 => (0..4usize).prop_map(|node| Act::Return { node }),
        1 => (0..4usize, any::<bool>()).prop_map(|(node, is_first)| Act::Fail { node, is_first }),
        2 => (0..20u64, 0..60u64, 0..5u64).prop_map(|(work, first, count)| Act::Invent { work, first, count }),
        1 => Just(Act::Refuse),
        1 => Just(Act::EngineLost),
        1 => (0..2usize).prop_map(|call| Act::Close { call }),
    ]
}

/// Outcomes of tasks of some work, each its index.
pub(in crate::cluster) fn answer(work: &Work, from: usize, count: usize) -> Option<Done> {
    let chunk = work.chunks.iter().find(|chunk| (from as u32) < chunk.count)?;
    let first = chunk.first_index as usize + from;
    let count = count.min(chunk.count as usize - from);
    Some(Done {
        work: work.id,
        call: work.call,
        per_task: None,
        outcomes: vec![outputs(first, count).into()],
        is_last: false,
    })
}

fn outputs(first: usize, count: usize) -> CompletedTasks {
    let record = |index: usize| [&wire::head(Status::Output, 8)[..], &(index as u64).to_le_bytes()].concat();
    CompletedTasks::of_test(first, count, (first..first + count).flat_map(record).collect())
}

fn run(acts: Vec<Act>, is_precise: bool, losses_max: u32) -> (FakePool, Dispatcher) {
    let pool = FakePool::new(&[30, 20]);
    let mut engine = FakeEngine { room: 2, is_precise, ..FakeEngine::default() };
    let mut dispatcher = Dispatcher::new(losses_max, 0);
    for act in acts {
        play(act, &pool, &mut engine, &mut dispatcher);
        dispatcher.feed(&mut engine, &pool);
    }
    // A node that is not lost runs what is left.
    play(Act::Join, &pool, &mut engine, &mut dispatcher);
    for _ in 0..1000 {
        dispatcher.feed(&mut engine, &pool);
        let Some((&node, _)) = engine.nodes.iter().find(|(_, works)| !works.is_empty()) else {
            break;
        };
        let work = engine.nodes.get_mut(&node).and_then(VecDeque::pop_front).unwrap();
        for chunk in &work.chunks {
            for index in 0..chunk.count as usize {
                let done = outputs(chunk.first_index as usize + index, 1).into();
                let done =
                    Done { work: work.id, call: work.call, per_task: None, outcomes: vec![done], is_last: false };
                dispatcher.apply(EngineEvent::Done(done), &mut engine, &pool);
            }
        }
    }
    (pool, dispatcher)
}

fn play(act: Act, pool: &FakePool, engine: &mut FakeEngine, dispatcher: &mut Dispatcher) {
    let nth = |engine: &FakeEngine, node: usize| engine.nodes.keys().nth(node).copied();
    let event = match act {
        Act::Join => {
            engine.next += 1;
            engine.nodes.insert(engine.next, VecDeque::new());
            EngineEvent::Up { node: NodeId(engine.next), workers: 1 }
        }
        Act::Answer { node, work, from, count, twice } => {
            let Some(node) = nth(engine, node) else { return };
            let works = engine.nodes.get_mut(&node).unwrap();
            let Some(done) = works.get(work).and_then(|work| answer(work, from, count)) else { return };
            if !twice && from + count >= 8 {
                works.remove(work);
            }
            EngineEvent::Done(done)
        }
        Act::Lose { node } => {
            let Some(node) = nth(engine, node) else { return };
            let works = engine.nodes.remove(&node).unwrap();
            let held = (!engine.is_precise).then(|| works.iter().map(|work| work.id).collect());
            EngineEvent::Down { node: NodeId(node), host: "n".into(), why: "it is silent".into(), held }
        }
        Act::Return { node } => {
            let Some(node) = nth(engine, node) else { return };
            let works = std::mem::take(engine.nodes.get_mut(&node).unwrap());
            EngineEvent::Returned { works: works.iter().map(|work| work.id).collect() }
        }
        Act::Fail { node, is_first } => {
            let Some(node) = nth(engine, node) else { return };
            let works = engine.nodes.remove(&node).unwrap().iter().map(|work| work.id).collect();
            let out = EngineEvent::OutOfService { node: NodeId(node), host: "n".into(), why: "it has no pool".into() };
            let events = [EngineEvent::Returned { works }, out];
            let in_order: Vec<EngineEvent> =
                if is_first { events.into_iter().collect() } else { events.into_iter().rev().collect() };
            for event in in_order {
                dispatcher.apply(event, engine, pool);
            }
            return;
        }
        Act::Invent { work, first, count } => {
            let done = CompletedTasks { outcomes: Outcomes::Error(TaskErrorKind::Cancelled), ..outputs(0, 1) };
            let mut outcome = crate::cluster::forms::OutcomeForm::from(done);
            (outcome.first_index, outcome.count) = (first, count);
            // Tasks that it has would get it: these are of work that is not there.
            let work = work + 1_000_000;
            let done = Done { work, call: 0, per_task: None, outcomes: vec![outcome], is_last: false };
            EngineEvent::Done(done)
        }
        Act::Refuse => EngineEvent::Refused { why: "another build".into() },
        Act::EngineLost => EngineEvent::Lost { why: "the broker is gone".into() },
        Act::Close { call } => return pool.close(CallId::of_number(call as u64)),
    };
    dispatcher.apply(event, engine, pool);
}

proptest! {
    #[test]
    fn every_task_has_one_outcome_whatever_the_engine_does(
        acts in vec(act(), 0..if cfg!(miri) { 20 } else { 120 }),
        is_precise in any::<bool>(),
        losses_max in 1..4u32,
    ) {
        let (pool, _) = run(acts, is_precise, losses_max);
        let inner = pool.inner.borrow();
        prop_assert!(inner.held.is_empty(), "held: {:?}", inner.held);
        for (call, tasks) in [(0u64, 30usize), (1, 20)] {
            let call = CallId::of_number(call);
            let count = inner.outcomes.keys().filter(|(of, _)| *of == call).count();
            if inner.waiting.contains_key(&call) {
                prop_assert_eq!(count, tasks, "an open call has an outcome for each task");
            }
        }
    }
}

#[test]
fn tasks_that_nodes_are_lost_with_fail_and_the_others_of_their_work_do_not() {
    let pool = FakePool::new(&[8]);
    let mut engine = FakeEngine::with_room(1);
    let mut dispatcher = Dispatcher::new(3, 0);
    let poison = 5;
    for _ in 0..20 {
        if engine.nodes.is_empty() {
            play(Act::Join, &pool, &mut engine, &mut dispatcher);
        }
        dispatcher.feed(&mut engine, &pool);
        let Some(node) = engine.nodes.keys().next().copied() else { break };
        let works = engine.nodes.get_mut(&node).unwrap();
        let Some(work) = works.pop_front() else { break };
        let has_it = |work: &Work| {
            let holds = |chunk: &crate::cluster::forms::ChunkForm| {
                (chunk.first_index..chunk.first_index + u64::from(chunk.count)).contains(&poison)
            };
            work.chunks.iter().any(holds)
        };
        if has_it(&work) {
            works.clear();
            engine.nodes.clear();
            // Another is there, so the work is not given back to the pool.
            play(Act::Join, &pool, &mut engine, &mut dispatcher);
            let event = EngineEvent::Down {
                node: NodeId(node),
                host: "n".into(),
                why: "gone".into(),
                held: Some(vec![work.id]),
            };
            dispatcher.apply(event, &mut engine, &pool);
        } else {
            for chunk in &work.chunks {
                let outcomes = vec![outputs(chunk.first_index as usize, chunk.count as usize).into()];
                let done = Done { work: work.id, call: work.call, per_task: None, outcomes, is_last: true };
                dispatcher.apply(EngineEvent::Done(done), &mut engine, &pool);
            }
        }
    }
    let inner = pool.inner.borrow();
    assert_eq!(inner.outcomes.len(), 8);
    let failed: Vec<usize> =
        inner.outcomes.iter().filter(|(_, outcome)| **outcome == "poison").map(|((_, index), _)| *index).collect();
    assert!(failed.contains(&(poison as usize)) && failed.len() <= 2, "{failed:?}");
}

#[test]
fn outcomes_that_come_twice_count_once() {
    let pool = FakePool::new(&[4]);
    let mut engine = FakeEngine::with_room(1);
    let mut dispatcher = Dispatcher::new(3, 0);
    play(Act::Join, &pool, &mut engine, &mut dispatcher);
    dispatcher.feed(&mut engine, &pool);
    for _ in 0..3 {
        play(Act::Answer { node: 0, work: 0, from: 0, count: 4, twice: true }, &pool, &mut engine, &mut dispatcher);
    }
    assert_eq!(pool.inner.borrow().outcomes.len(), 4);
    assert_eq!(dispatcher.take_duplicates(), 8);
}

#[test]
fn the_work_of_a_node_that_has_no_pool_goes_to_others_and_counts_for_nothing() {
    let pool = FakePool::new(&[8]);
    let mut engine = FakeEngine::with_room(1);
    // One loss would have the tasks fail.
    let mut dispatcher = Dispatcher::new(1, 0);
    let event = |node| EngineEvent::OutOfService { node: NodeId(node), host: "n17".into(), why: "no memory".into() };
    let told = SessionNote::OutOfService { host: "n17".into(), why: "no memory".into() };
    for node in 1..=3 {
        play(Act::Join, &pool, &mut engine, &mut dispatcher);
        dispatcher.feed(&mut engine, &pool);
        let works = engine.nodes.remove(&node).unwrap();
        assert_eq!(works.len(), 1, "the work is at node {node}");
        // Another is there, so the work stays with the nodes.
        engine.nodes.insert(100, VecDeque::from(vec![works[0].clone()]));
        assert_eq!(dispatcher.apply(event(node), &mut engine, &pool), std::slice::from_ref(&told));
        let works = works.iter().map(|work| work.id).collect();
        assert_eq!(dispatcher.apply(EngineEvent::Returned { works }, &mut engine, &pool), []);
        engine.nodes.remove(&100);
    }
    play(Act::Join, &pool, &mut engine, &mut dispatcher);
    dispatcher.feed(&mut engine, &pool);
    assert_eq!((engine.nodes[&4].len(), pool.inner.borrow().outcomes.len()), (1, 0));
    let late = answer(&engine.nodes[&4][0], 0, 8).unwrap();
    engine.nodes.clear();
    // None is left: that is said once.
    assert_eq!(dispatcher.apply(event(4), &mut engine, &pool), [told.clone(), SessionNote::Alone]);
    assert_eq!(dispatcher.apply(event(5), &mut engine, &pool), [told]);
    // A late outcome of that work is no second outcome.
    dispatcher.apply(EngineEvent::Done(late), &mut engine, &pool);
    assert_eq!(dispatcher.take_duplicates(), 0);
    assert_eq!(pool.inner.borrow().waiting[&CallId::of_number(0)].len(), 8);
}

#[test]
fn a_driver_without_nodes_goes_on_alone() {
    let pool = FakePool::new(&[8]);
    let mut engine = FakeEngine::with_room(1);
    let mut dispatcher = Dispatcher::new(3, 0);
    play(Act::Join, &pool, &mut engine, &mut dispatcher);
    dispatcher.feed(&mut engine, &pool);
    engine.nodes.clear();
    let event = EngineEvent::Down { node: NodeId(1), host: "n1".into(), why: "it is silent".into(), held: None };
    let notes = dispatcher.apply(event, &mut engine, &pool);
    assert!(matches!(&notes[..], [SessionNote::Down { tasks: 8, .. }, SessionNote::Alone]), "{notes:?}");
    assert_eq!(pool.inner.borrow().waiting[&CallId::of_number(0)].len(), 8);
}
