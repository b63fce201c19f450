//! Bytes of a hostile process of a cluster, read as a driver and an agent read them: for the fuzz target `messages`, and for random bytes in
//! tests.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::dispatcher::{Dispatcher, Tasks};
use super::engine::{Capacity, ClusterEngine, EngineEvent, NodeId, SendOutcome};
use super::messages::{CallTask, FromAgent, Setup, ToAgent, Work, decode, encode};
use super::node::check_tasks;
use crate::pool::{CallId, CallRules, Parcel, ParcelId, RemoteEnded};
use crate::shared::{Segment, read_grants};
use crate::transport::{Arena, Chunk, ChunkHead, CompletedTasks, Outcomes};
use crate::wire::Status;

/// The tasks of the one call there is.
const TASKS: usize = 12;
const TASKS_OF_PARCEL: usize = 4;
const NODE: NodeId = NodeId(0);

/// Reads messages that the bytes make, each behind its length: a driver, which has given away the tasks of a call, and an agent.
///
/// # Panics
///
/// If a task gets two outcomes or one of another task, or a message is not what it is made of.
pub(crate) fn fuzz(mut bytes: &[u8]) {
    let Ok(pool) = FuzzedPool::new() else {
        return;
    };
    let mut engine = FuzzedEngine;
    let mut dispatcher = Dispatcher::new(2, 0);
    dispatcher.feed(&mut engine, &pool);
    while let Some((&[low, high], rest)) = bytes.split_first_chunk() {
        let (message, rest) = rest.split_at(rest.len().min(u16::from_le_bytes([low, high]).into()));
        bytes = rest;
        if let Some(ToAgent::Work(work)) = message_of::<ToAgent>(message) {
            read_as_agent(&work);
        }
        let event = match message_of::<FromAgent>(message) {
            Some(FromAgent::Done(done)) => EngineEvent::Done(done),
            Some(FromAgent::Returned(works)) => EngineEvent::Returned { works },
            Some(FromAgent::Beat(beat)) => {
                EngineEvent::Down { node: NODE, host: String::new(), why: String::new(), held: Some(beat.held) }
            }
            _ => continue,
        };
        dispatcher.apply(event, &mut engine, &pool);
        dispatcher.feed(&mut engine, &pool);
    }
}

/// The message that the bytes are. It comes out as it goes in.
fn message_of<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<T> {
    let message: T = decode(bytes).ok()?;
    let again = encode(&message);
    assert_eq!(decode::<T>(&again).expect("what was written can be read"), message);
    Some(message)
}

fn read_as_agent(work: &Work) {
    for chunk in &work.chunks {
        if check_tasks(chunk).is_ok() {
            assert!(chunk.count as usize <= chunk.tasks.len(), "each task has a length");
            assert!(chunk.first_index.checked_add(chunk.count.into()).is_some(), "each task has an index");
        }
        if let Some(grants) = read_grants(&chunk.sharing.grants) {
            assert!(grants.len() <= chunk.sharing.grants.len(), "each grant has bytes");
        }
    }
}

/// The pool of a driver: which tasks wait, and which have an outcome.
struct FuzzedPool {
    arena: Arc<Arena>,
    room: Cell<usize>,
    /// The first tasks of the parcels that are given away, by their numbers.
    parcels: RefCell<Vec<usize>>,
    waiting: RefCell<Vec<usize>>,
    done: RefCell<[bool; TASKS]>,
}

impl FuzzedPool {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            arena: Arc::new(Arena::private()?),
            room: Cell::new(0),
            parcels: RefCell::default(),
            waiting: RefCell::new((0..TASKS).step_by(TASKS_OF_PARCEL).collect()),
            done: RefCell::default(),
        })
    }
}

impl Tasks for FuzzedPool {
    fn set_remote(&self, room: usize, _workers: usize) {
        self.room.set(room);
    }

    fn take_parcel(&self) -> Option<Parcel> {
        let first = self.waiting.borrow_mut().pop()?;
        let tasks = [0; TASKS_OF_PARCEL].map(u32::to_le_bytes).concat();
        let length = tasks.len();
        let head = ChunkHead { function: 0, attempt: 1, first_index: first as u64 };
        let chunk = Chunk::new(head, TASKS_OF_PARCEL as u32, self.arena.block(tasks).ok()?, length);
        let mut parcels = self.parcels.borrow_mut();
        let id = ParcelId(parcels.len() as u64);
        parcels.push(first);
        Some(Parcel { id, call: CallId::of_number(0), rules: CallRules::default(), chunks: vec![chunk] })
    }

    fn done(&self, ParcelId(parcel): ParcelId, done: CompletedTasks, _per_task: Option<Duration>) -> Option<usize> {
        let first = self.parcels.borrow()[usize::try_from(parcel).expect("its own number")];
        let end = done.first_index.checked_add(done.count).expect("an index of a task");
        assert!(first <= done.first_index && end <= first + TASKS_OF_PARCEL, "tasks of another parcel");
        for is_done in &mut self.done.borrow_mut()[done.first_index..end] {
            assert!(!std::mem::replace(is_done, true), "a task has two outcomes");
        }
        if let Outcomes::Records(mut records) = done.outcomes {
            // The caller reads as many as there are tasks, and takes what is no record as a broken worker.
            (0..done.count).all(|_| matches!(records.next(), Ok((Status::Output, _))));
        }
        Some(self.done.borrow()[first..first + TASKS_OF_PARCEL].iter().filter(|&&is_done| !is_done).count())
    }

    fn returned(&self, _parcel: ParcelId) {}

    fn is_open(&self, call: CallId) -> bool {
        call.number() == 0
    }

    fn take_ended(&self) -> RemoteEnded {
        RemoteEnded::default()
    }
}

/// A node that takes everything.
struct FuzzedEngine;

impl ClusterEngine for FuzzedEngine {
    fn capacity(&self) -> Capacity {
        Capacity { room: 1, nodes: 1, workers: 1 }
    }

    fn may_grow(&self) -> bool {
        false
    }

    fn try_send(&mut self, work: Work, _segments: &[Arc<Segment>]) -> SendOutcome {
        assert!(!work.chunks.is_empty(), "work without tasks");
        SendOutcome::To(Some(NODE))
    }

    fn set_up(&mut self, _setup: Setup) {}

    fn end_call(&mut self, _call: u64, _kills: bool) {}

    fn abort(&mut self, _task: CallTask) {}

    fn poll(&mut self, _wait: Duration) -> Option<EngineEvent> {
        None
    }

    fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        Arc::new(|| {})
    }

    fn close(self: Box<Self>, _code: i32) {}
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::cluster::forms::OutcomeForm;
    use crate::cluster::messages::Done;

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let length = |message: &[u8]| u16::try_from(message.len()).unwrap().to_le_bytes();
        messages.iter().flat_map(|message| [&length(message)[..], message].concat()).collect()
    }

    proptest! {
        #[test]
        fn any_bytes_are_messages_or_refused(messages in vec(vec(any::<u8>(), 0..60), 0..8)) {
            fuzz(&framed(&messages));
        }

        #[test]
        fn outcomes_of_any_tasks_count_for_their_own_alone(
            outcomes in vec((0..5u64, 0..TASKS as u64 + 2, prop_oneof![0..6u64, Just(u64::MAX)]), 0..12),
            returned in vec(0..5u64, 0..4),
        ) {
            let done = |&(work, first, count): &(u64, u64, u64)| {
                let error = OutcomeForm::failed(first, count, "lost".to_owned());
                let done = Done { work, call: 0, per_task: None, outcomes: vec![error], is_last: false };
                encode(&FromAgent::Done(done))
            };
            let mut messages: Vec<_> = outcomes.iter().map(done).collect();
            messages.insert(messages.len() / 2, encode(&FromAgent::Returned(returned)));
            fuzz(&framed(&messages));
        }
    }
}
