//! What a driver and its agents tell each other, as plain data. It knows no engine and no pool.
//!
//! 1. An agent says hello with what it is. It is welcome, and gets work; or it is refused, with the reason, and ends.
//! 2. Work is a parcel: tasks of one call, as bytes that the workers of the agent read as they stand. Its outcomes come in any order, some
//!    tasks at a time.
//! 3. Every message is read with the limits of the codec, and nothing in it is believed: indices, counts and records are checked by whoever
//!    applies it.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::forms::{ChunkForm, OutcomeForm, RulesForm};
use super::identity::ProgramIdentity;
use crate::codec::{self, message_enum, message_struct};
use crate::error::CodecError;

message_struct! {
    /// What an agent is.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct Hello {
        /// The build of its program, and the hash of its table of worker functions.
        pub(super) build: String,
        pub(super) table: u64,
        pub(super) host: String,
        /// How it was called.
        pub(super) program: String,
        /// How many workers it has, where the program does not say it.
        pub(super) workers: u32,
    }
}

impl Hello {
    /// That of a process with so many workers.
    pub(super) fn new(identity: ProgramIdentity, workers: usize) -> Self {
        let ProgramIdentity { build, table, host, program } = identity;
        Self { build, table, host, program, workers: u32::try_from(workers).unwrap_or(u32::MAX) }
    }

    /// The program that it is.
    pub(super) fn identity(&self) -> ProgramIdentity {
        let Self { build, table, host, program, .. } = self.clone();
        ProgramIdentity { build, table, host, program }
    }
}

message_struct! {
    /// What an agent's pool is made with, beside its own surroundings.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub(super) struct Setup {
        /// Grows by one with each pool that the driver makes.
        pub(super) generation: u64,
        pub(super) options: Vec<u8>,
    }
}

message_struct! {
    /// Tasks for an agent.
    #[derive(Clone, Debug, PartialEq)]
    pub(super) struct Work {
        pub(super) id: u64,
        pub(super) call: u64,
        pub(super) rules: RulesForm,
        pub(super) chunks: Vec<ChunkForm>,
    }
}

message_struct! {
    /// Memory that tasks name. It comes before the first of them.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct SegmentForm {
        pub(super) id: u64,
        pub(super) bytes: Vec<u8>,
    }
}

message_struct! {
    /// Outcomes of tasks of one parcel.
    #[derive(Clone, Debug, PartialEq)]
    pub(super) struct Done {
        pub(super) work: u64,
        pub(super) call: u64,
        /// What one task takes there, if that is known.
        pub(super) per_task: Option<Duration>,
        pub(super) outcomes: Vec<OutcomeForm>,
        /// Every task of the work has its outcome by now.
        pub(super) is_last: bool,
    }
}

message_struct! {
    /// What an agent says each second.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct Beat {
        /// The parcels that it has.
        pub(super) held: Vec<u64>,
    }
}

message_struct! {
    /// The end of a call. What runs of it is killed, or finished.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct CallEnd {
        pub(super) call: u64,
        pub(super) kills: bool,
    }
}

message_struct! {
    /// A task of a call.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct CallTask {
        pub(super) call: u64,
        pub(super) index: u64,
    }
}

message_enum! {
    /// A message to an agent.
    #[derive(Clone, Debug, PartialEq)]
    pub(super) enum ToAgent {
        /// The host of the driver.
        0 => Welcome(String),
        /// Why it may not take part.
        1 => Refused(String),
        2 => Setup(Setup),
        3 => Work(Work),
        4 => End(CallEnd),
        /// The session is over.
        5 => Stop(()),
        6 => Segment(SegmentForm),
        /// The segments that no task will name any more.
        7 => Forget(Vec<u64>),
        /// A task has ended. What runs of it is killed.
        8 => Abort(CallTask),
    }
}

message_enum! {
    /// A message from an agent.
    #[derive(Clone, Debug, PartialEq)]
    pub(super) enum FromAgent {
        0 => Hello(Hello),
        1 => Done(Done),
        /// It gives back work that it has not begun, or cannot run.
        2 => Returned(Vec<u64>),
        3 => Beat(Beat),
        /// Why it could not make its pool, or has lost it. It gives back what it has, and takes nothing more until it makes another.
        4 => Failed(String),
        /// It has ended in order, and gives back what it has.
        5 => Goodbye(()),
        /// The agent has made its pool, with this number of workers.
        6 => Ready(u32),
    }
}

/// A message as bytes. It may be as large as memory is: an engine that cannot carry so much at once carries it in parts.
pub(super) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(message, &mut bytes, isize::MAX as usize)
        .expect("the messages are forms of this crate, which have no value that is refused");
    bytes
}

/// The message that these bytes are.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    codec::decode(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::cluster::forms::{SharingForm, TaskRulesForm};

    fn work() -> Work {
        let chunk = ChunkForm {
            function: 3,
            attempt: 1,
            first_index: 40,
            count: 2,
            seed: 7,
            merge: None,
            rules: Some(TaskRulesForm {
                timeout: None,
                cpu_limit: Some(Duration::from_secs(1)),
                attempts: 2,
                priority: -1,
            }),
            tasks: vec![0; 8],
            sharing: SharingForm { parameters: 1, segments: vec![5], grants: vec![0; 48] },
        };
        Work { id: 1, call: 2, rules: RulesForm::default(), chunks: vec![chunk] }
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        let hello =
            Hello { build: "8f3a".into(), table: 1, host: "node17".into(), program: "./app".into(), workers: 64 };
        let messages = [FromAgent::Hello(hello), FromAgent::Returned(vec![1, 2]), FromAgent::Goodbye(())];
        for message in messages {
            assert_eq!(decode::<FromAgent>(&encode(&message)).unwrap(), message);
        }
        let message = ToAgent::Work(work());
        assert_eq!(decode::<ToAgent>(&encode(&message)).unwrap(), message);
    }

    #[test]
    fn a_message_that_is_cut_short_or_goes_on_is_refused() {
        let whole = encode(&ToAgent::Work(work()));
        for cut in 0..whole.len() {
            assert!(decode::<ToAgent>(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert!(decode::<ToAgent>(&[whole, vec![0]].concat()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
            let _ = decode::<ToAgent>(&bytes);
            let _ = decode::<FromAgent>(&bytes);
        }
    }
}
