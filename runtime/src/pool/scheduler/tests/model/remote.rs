//! Other machines in the model: they give outcomes of their tasks in any order, some twice, and are lost.

use std::time::Duration;

use proptest::prelude::*;

use super::{Model, crash, records};
use crate::pool::scheduler::{CallId, ParcelId};
use crate::transport::CompletedTasks;

/// What can happen at other machines.
#[derive(Clone, Debug)]
pub(super) enum RemoteEvent {
    SetRoom { room: usize, workers: usize },
    Take,
    Answer { parcel: usize, from: usize, count: usize, nanos: Option<u64> },
    End { parcel: usize, fails: bool },
}

pub(super) fn remote_event() -> impl Strategy<Value = RemoteEvent> {
    prop_oneof![
        2 => (0..3usize, 0..5usize).prop_map(|(room, workers)| RemoteEvent::SetRoom { room, workers }),
        4 => Just(RemoteEvent::Take),
        6 => (0..4usize, 0..30usize, 1..20usize, proptest::option::of(1..1_000_000u64))
            .prop_map(|(parcel, from, count, nanos)| RemoteEvent::Answer { parcel, from, count, nanos }),
        1 => (0..4usize, any::<bool>()).prop_map(|(parcel, fails)| RemoteEvent::End { parcel, fails }),
    ]
}

/// Stands for the workers of other machines.
pub(super) const PID: u32 = 1;

/// Tasks that another machine has.
pub(super) struct ModelParcel {
    id: ParcelId,
    call: CallId,
    /// Those without an outcome.
    left: Vec<usize>,
}

impl Model {
    pub(super) fn apply_remote(&mut self, event: RemoteEvent) {
        match event {
            RemoteEvent::SetRoom { room, workers } => self.scheduler.set_remote(room, workers),
            RemoteEvent::Take => self.take_parcel(),
            RemoteEvent::Answer { parcel, from, count, nanos } => self.answer_parcel(parcel, from, count, nanos),
            RemoteEvent::End { parcel, fails } => self.end_parcel(parcel, fails),
        }
    }

    pub(super) fn take_parcel(&mut self) {
        let had_room = self.scheduler.has_remote_room();
        let Some(parcel) = self.scheduler.take_parcel() else {
            let waits = self.scheduler.calls.values().any(|call| !call.backlog.is_empty());
            assert!(!had_room || !waits, "there is room, and a task waits");
            return;
        };
        assert!(had_room, "a parcel that nobody wants");
        assert!(self.open.contains(&parcel.call), "a parcel of a call that has ended");
        assert_eq!(parcel.rules.attempts, self.calls[&parcel.call].rules.attempts);
        let indices = |chunk: &crate::transport::Chunk| (0..chunk.len()).map(|at| chunk.index(at)).collect::<Vec<_>>();
        let left: Vec<usize> = parcel.chunks.iter().flat_map(indices).collect();
        assert!(!left.is_empty(), "a parcel without tasks");
        self.parcels.push(ModelParcel { id: parcel.id, call: parcel.call, left });
    }

    /// It gives outcomes of tasks one behind the other, which may have one already, or be of another machine.
    pub(super) fn answer_parcel(&mut self, parcel: usize, from: usize, count: usize, nanos: Option<u64>) {
        let Some(known) = self.parcels.get_mut(parcel) else {
            return;
        };
        let first = from;
        let written: Vec<u8> = records(first..first + count);
        let done = CompletedTasks::of_test(first, count, written);
        let left = self.scheduler.remote_done(known.id, done, nanos.map(Duration::from_nanos));
        let Some(left) = left else {
            return;
        };
        let before = known.left.len();
        known.left.retain(|index| !(first..first + count).contains(index));
        assert_eq!(before - known.left.len(), count, "outcomes of tasks that it did not have");
        assert_eq!(left, known.left.len());
        let call = self.calls.get_mut(&known.call).expect("the parcels of a call end with it");
        (first..first + count).for_each(|index| {
            call.finished_by.insert(index, PID);
        });
        self.parcels.retain(|parcel| !parcel.left.is_empty());
    }

    pub(super) fn end_parcel(&mut self, parcel: usize, fails: bool) {
        if parcel >= self.parcels.len() {
            return;
        }
        let ended = self.parcels.remove(parcel);
        if fails {
            for &index in &ended.left {
                let chunk = self.chunk(index, &[1]);
                let left = self.scheduler.remote_done(ended.id, chunk.begun(crash()), None);
                assert!(left.is_some(), "task {index} was there");
            }
        }
        self.scheduler.remote_returned(ended.id);
        // The second time there is nothing left.
        self.scheduler.remote_returned(ended.id);
    }

    pub(super) fn forget_parcels(&mut self, call: CallId) {
        let has_one = self.parcels.iter().any(|parcel| parcel.call == call);
        self.parcels.retain(|parcel| parcel.call != call);
        let is_told = self.scheduler.take_remote_ended().calls.iter().any(|end| end.call == call);
        assert!(is_told || !has_one, "other machines are not told of the end of a call");
    }
}
