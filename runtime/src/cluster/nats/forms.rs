//! What drivers and agents tell each other beside the messages of all engines.

use crate::cluster::messages::{CallEnd, CallTask, FromAgent, Hello};
use crate::codec::{message_enum, message_struct};

/// What others say is printed up to so many characters.
const PRINTED_MAX: usize = 400;

message_struct! {
    /// What the bucket says of a running session.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub(super) struct SessionEntry {
        /// The driver's machine, and the hash of its table of worker functions.
        pub(super) host: String,
        pub(super) table: u64,
        /// Milliseconds: how long a work is an agent's without a sign of life.
        pub(super) lease: u64,
        /// How often the server was lost: each time, works may have been given out again that nobody had lost.
        pub(super) outages: u32,
        /// The number of what the pools are made with; 0 before there is any.
        pub(super) generation: u64,
        pub(super) setup: SetupForm,
    }
}

message_enum! {
    /// What the pools are made with.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) enum SetupForm {
        0 => Here(Vec<u8>),
        /// It is too large for the bucket: the name of a stored object.
        1 => Stored(String),
    }
}

impl Default for SetupForm {
    fn default() -> Self {
        Self::Here(Vec::new())
    }
}

message_struct! {
    /// What an agent says each second, to the driver of its session, or to all drivers where it has none.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct AgentBeat {
        pub(super) agent: u64,
        pub(super) hello: Hello,
        /// The works that it has.
        pub(super) held: Vec<u64>,
        /// It ends in order, and has given back what it had.
        pub(super) is_leaving: bool,
    }
}

message_struct! {
    /// An agent's message that must not be lost.
    #[derive(Clone, Debug, PartialEq)]
    pub(super) struct AgentLetter {
        pub(super) agent: u64,
        pub(super) host: String,
        pub(super) message: FromAgent,
    }
}

message_enum! {
    /// What a driver tells all of its agents at once. Whoever misses it learns it from the bucket, or by the answer to its results.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) enum ControlForm {
        /// The session is new, or its entry has changed.
        0 => Changed(()),
        1 => End(CallEnd),
        /// The session is over.
        2 => Stop(()),
        /// The segments that no task will name any more.
        3 => Forget(Vec<u64>),
        /// A task has ended.
        4 => Abort(CallTask),
    }
}

/// What another machine says, as it may be printed: nothing that commands a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(PRINTED_MAX).collect()
}
