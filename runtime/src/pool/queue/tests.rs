//! The queue under random orders of events: every task has one outcome, and nothing is sent to a worker that is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire;

const SLOTS: usize = 4;

/// What can happen.
#[derive(Clone, Debug)]
enum Event {
    Open { fixed: Option<usize> },
    Push { call: usize, tasks: usize },
    Answer { slot: usize, micros: u64 },
    Lose { slot: usize },
    Suspend { slot: usize },
    Start { slot: usize },
    Close { call: usize, running: Running },
}

fn event() -> impl Strategy<Value = Event> {
    let slot = 0..SLOTS;
    prop_oneof![
        1 => proptest::option::of(1..4usize).prop_map(|fixed| Event::Open { fixed }),
        6 => (0..8usize, 1..5usize).prop_map(|(call, tasks)| Event::Push { call, tasks }),
        12 => (slot.clone(), 0..5000u64).prop_map(|(slot, micros)| Event::Answer { slot, micros }),
        1 => slot.clone().prop_map(|slot| Event::Lose { slot }),
        1 => slot.clone().prop_map(|slot| Event::Suspend { slot }),
        3 => slot.prop_map(|slot| Event::Start { slot }),
        1 => (0..8usize, prop_oneof![Just(Running::Kill), Just(Running::Finish)])
            .prop_map(|(call, running)| Event::Close { call, running }),
    ]
}

/// What a worker would do with what it was sent.
#[derive(Default)]
struct ModelWorker {
    alive: bool,
    ready: bool,
    revoked: bool,
    chunks: VecDeque<ModelChunk>,
    call: Option<CallId>,
}

/// A chunk that a worker was sent.
struct ModelChunk {
    id: u64,
    begun: bool,
    left: usize,
    position: u32,
}

struct Model {
    queue: Queue,
    workers: Vec<ModelWorker>,
    open: Vec<CallId>,
    pushed: BTreeMap<CallId, usize>,
    done: BTreeMap<CallId, BTreeSet<usize>>,
}

impl Model {
    fn new() -> Self {
        Self {
            queue: Queue::new(SLOTS),
            workers: (0..SLOTS).map(|_| ModelWorker::default()).collect(),
            open: Vec::new(),
            pushed: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Open { fixed } => {
                let call = self.queue.open(ChunkSize::new(fixed));
                self.open.push(call);
            }
            Event::Push { call, tasks } => {
                if let Some(&call) = self.open.get(call) {
                    self.push(call, tasks);
                }
            }
            Event::Answer { slot, micros } => self.answer(slot, Duration::from_micros(micros)),
            Event::Lose { slot } => self.lose(slot),
            Event::Suspend { slot } => {
                self.queue.suspend(slot);
                self.workers[slot].ready = false;
            }
            Event::Start { slot } => self.start(slot),
            Event::Close { call, running } => {
                if call < self.open.len() {
                    let call = self.open.remove(call);
                    self.close(call, running);
                }
            }
        }
        self.dispatch();
        self.collect();
    }

    fn push(&mut self, call: CallId, tasks: usize) {
        let first = self.pushed.entry(call).or_default();
        let mut chunk = Chunk::new(0, 1, *first as u64);
        for _ in 0..tasks {
            let Ok(()) = chunk.push(|_| Ok::<(), Infallible>(()));
        }
        *first += tasks;
        self.queue.push(call, chunk);
    }

    fn dispatch(&mut self) {
        while let Some(Assignment { slot, frame }) = self.queue.assign() {
            let worker = &mut self.workers[slot];
            assert!(worker.alive && worker.ready, "a chunk for a worker that takes none");
            assert!(!worker.revoked, "a chunk for a worker that was asked to begin nothing");
            let payload = &frame[wire::HEADER_BYTES..frame.len() - wire::TRAILER_BYTES];
            let parsed = wire::ToWorker::parse((frame[wire::HEADER_BYTES - 1], payload));
            let Ok(wire::ToWorker::Chunk(header, _)) = parsed else {
                panic!("an assignment is a chunk");
            };
            let left = header.count as usize;
            worker.chunks.push_back(ModelChunk { id: header.id, begun: false, left, position: 0 });
            let call = self.queue.workers[slot].call;
            assert!(worker.call.is_none() || worker.call == call, "chunks of two calls at one worker");
            worker.call = call;
        }
    }

    fn answer(&mut self, slot: usize, elapsed: Duration) {
        let worker = &mut self.workers[slot];
        if !worker.alive {
            return;
        }
        if worker.revoked {
            // The task that was running has its answer; the rest goes back.
            worker.revoked = false;
            worker.chunks.clear();
            worker.call = None;
            self.queue.returned(slot).unwrap();
            return;
        }
        let Some(chunk) = worker.chunks.front_mut() else {
            return;
        };
        if !chunk.begun {
            chunk.begun = true;
            self.queue.begun(slot, chunk.id).unwrap();
            return;
        }
        self.queue.answered(slot, reply(chunk.id, chunk.position, elapsed)).unwrap();
        chunk.left -= 1;
        chunk.position += 1;
        if chunk.left == 0 {
            worker.chunks.pop_front();
            if worker.chunks.is_empty() {
                worker.call = None;
            }
        }
    }

    fn lose(&mut self, slot: usize) {
        if self.workers[slot].alive {
            self.workers[slot] = ModelWorker::default();
            self.queue.lost(slot, Some(TaskErrorKind::Cancelled));
        }
    }

    fn start(&mut self, slot: usize) {
        if !self.workers[slot].alive {
            self.workers[slot] = ModelWorker { alive: true, ready: true, ..ModelWorker::default() };
            self.queue.add_worker(slot, 1);
        }
    }

    fn close(&mut self, call: CallId, running: Running) {
        let held = self.queue.close(call, running);
        for slot in held {
            match running {
                Running::Kill => self.lose(slot),
                Running::Finish => self.workers[slot].revoked = true,
            }
        }
    }

    fn collect(&mut self) {
        for &call in &self.open {
            for done in self.queue.take_done(call) {
                let first = self.done.entry(call).or_default().insert(done.index);
                assert!(first, "task {} has two outcomes", done.index);
            }
        }
    }

    /// Lets every call end, as a pool with living workers would.
    fn settle(&mut self) {
        for slot in 0..SLOTS {
            if !self.workers[slot].ready {
                self.lose(slot);
            }
            self.start(slot);
        }
        for _ in 0..10_000 {
            self.dispatch();
            self.collect();
            if self.workers.iter().all(|worker| worker.chunks.is_empty()) {
                return;
            }
            (0..SLOTS).for_each(|slot| self.answer(slot, Duration::from_micros(1)));
        }
    }
}

fn reply(chunk: u64, position: u32, elapsed: Duration) -> Answer {
    Answer { chunk, position, elapsed, outcome: Outcome::Output(Vec::new()), result_bytes: 0 }
}

proptest! {
    #[test]
    fn every_task_has_one_outcome_in_any_order_of_events(events in vec(event(), 0..200)) {
        let mut model = Model::new();
        for event in events {
            model.apply(&event);
        }
        model.settle();
        for call in &model.open {
            let pushed = model.pushed.get(call).copied().unwrap_or(0);
            let done = model.done.get(call).map_or(0, BTreeSet::len);
            prop_assert_eq!(pushed, done, "call {:?}", call);
        }
    }
}

#[test]
fn a_death_costs_the_running_task_and_the_rest_moves_on() {
    let mut model = Model::new();
    let call = model.queue.open(ChunkSize::new(Some(4)));
    model.open.push(call);
    model.start(0);
    model.push(call, 4);
    model.dispatch();
    model.answer(0, Duration::ZERO);
    model.answer(0, Duration::ZERO);
    model.queue.lost(0, Some(TaskErrorKind::Cancelled));
    let done = model.queue.take_done(call);
    let failed: Vec<_> =
        done.iter().filter(|done| matches!(done.outcome, Outcome::Error(_))).map(|done| done.index).collect();
    assert_eq!((done.len(), failed), (2, vec![1]));
    model.workers[0] = ModelWorker::default();
    model.settle();
    assert_eq!(model.done[&call], BTreeSet::from([2, 3]));
}

#[test]
fn a_death_before_a_chunk_is_begun_costs_no_task_unless_it_happens_again_and_again() {
    let mut model = Model::new();
    let call = model.queue.open(ChunkSize::new(Some(4)));
    model.open.push(call);
    model.push(call, 4);
    for deaths in 0..=MOVES_MAX {
        assert!(model.queue.take_done(call).is_empty(), "a task was blamed after {deaths} deaths");
        model.start(0);
        model.dispatch();
        model.lose(0);
    }
    let done = model.queue.take_done(call);
    assert_eq!(done.iter().map(|done| done.index).collect::<Vec<_>>(), [0]);
}

#[test]
fn an_answer_out_of_turn_is_a_violation() {
    let mut model = Model::new();
    let call = model.queue.open(ChunkSize::new(None));
    model.start(0);
    model.push(call, 2);
    model.dispatch();
    let held = model.workers[0].chunks[0].id;
    assert!(model.queue.answered(0, reply(held, 0, Duration::ZERO)).is_err(), "it was not begun");
    assert!(model.queue.begun(0, held + 1).is_err());
    model.queue.begun(0, held).unwrap();
    assert!(model.queue.begun(0, held).is_err());
    for (chunk, position) in [(held, 1), (held + 7, 0)] {
        assert!(model.queue.answered(0, reply(chunk, position, Duration::ZERO)).is_err());
    }
    assert!(model.queue.returned(0).is_err());
}

#[test]
fn a_call_without_a_worker_goes_before_one_that_has_them() {
    let mut model = Model::new();
    let first = model.queue.open(ChunkSize::new(Some(1)));
    let second = model.queue.open(ChunkSize::new(Some(1)));
    model.start(0);
    model.push(first, 1);
    model.push(first, 1);
    model.dispatch();
    model.push(second, 1);
    model.answer(0, Duration::ZERO);
    model.answer(0, Duration::ZERO);
    model.dispatch();
    assert_eq!(model.queue.workers[0].call, Some(second));
}
