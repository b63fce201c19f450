//! What a driver and its agents tell each other, as plain data. It knows no engine and no pool.
//!
//! 1. An agent says hello with what it is. It is welcome, and gets work; or it is refused, with the reason, and ends.
//! 2. Work is a parcel: tasks of one call, as bytes that the workers of the agent read as they stand. Its outcomes come in any order, some
//!    tasks at a time.
//! 3. Every message is read with the limits of the codec, and nothing in it is believed: indices, counts and records are checked by whoever
//!    applies it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::forms::{OutcomeForm, RulesForm, TaskRulesForm};
use crate::codec;
use crate::error::CodecError;

/// A message is no larger: what a pool's frame may have at most, and the fields around it.
const MESSAGE_BYTES_MAX: usize = u32::MAX as usize;

/// What an agent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The build of its program, and the hash of its table of worker functions.
    pub(super) build: String,
    pub(super) table: u64,
    pub(super) host: String,
    pub(super) pid: u32,
    /// How many workers it has.
    pub(super) workers: u32,
}

/// What an agent's pool is made with, beside its own surroundings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setup {
    /// Grows by one with each pool that the driver makes.
    pub(super) generation: u64,
    pub(super) settings: Vec<u8>,
}

/// Tasks for an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Work {
    pub(super) id: u64,
    pub(super) call: u64,
    pub(super) rules: RulesForm,
    pub(super) chunks: Vec<ChunkForm>,
}

/// Tasks one behind the other, with what they have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ChunkForm {
    pub(super) function: u32,
    pub(super) attempt: u32,
    pub(super) first_index: u64,
    pub(super) count: u32,
    pub(super) seed: u64,
    pub(super) merge: Option<u32>,
    pub(super) rules: Option<TaskRulesForm>,
    pub(super) tasks: Vec<u8>,
}

/// Outcomes of tasks of one parcel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) work: u64,
    /// What one task takes there, if that is known.
    pub(super) per_task: Option<Duration>,
    pub(super) outcomes: Vec<OutcomeForm>,
}

/// What an agent says each second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    /// The parcels that it has.
    pub(super) held: Vec<u64>,
}

/// A message to an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum ToAgent {
    Welcome {
        driver: String,
    },
    Refused {
        why: String,
    },
    Setup(Setup),
    Work(Work),
    /// A call has ended. What runs of it is killed, or finished.
    End {
        call: u64,
        kills: bool,
    },
    /// The session is over.
    Stop,
}

/// A message from an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum FromAgent {
    Hello(Hello),
    Done(Done),
    /// It gives back what it has not begun, and what it cannot run.
    Returned {
        works: Vec<u64>,
    },
    Beat(Beat),
    /// It could not make its pool, or lost it.
    Failed {
        why: String,
    },
    /// It has ended in order, and gives back what it has.
    Goodbye,
}

/// A message as bytes.
pub(super) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    codec::encode(message, &mut bytes, MESSAGE_BYTES_MAX)?;
    Ok(bytes)
}

/// The message that these bytes are.
pub(super) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    codec::decode(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

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
        };
        Work { id: 1, call: 2, rules: RulesForm::default(), chunks: vec![chunk] }
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        let hello = Hello { build: "8f3a".into(), table: 1, host: "node17".into(), pid: 2, workers: 64 };
        let messages = [FromAgent::Hello(hello), FromAgent::Returned { works: vec![1, 2] }, FromAgent::Goodbye];
        for message in messages {
            assert_eq!(decode::<FromAgent>(&encode(&message).unwrap()).unwrap(), message);
        }
        let message = ToAgent::Work(work());
        assert_eq!(decode::<ToAgent>(&encode(&message).unwrap()).unwrap(), message);
    }

    #[test]
    fn a_message_that_is_cut_short_or_goes_on_is_refused() {
        let whole = encode(&ToAgent::Work(work())).unwrap();
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
