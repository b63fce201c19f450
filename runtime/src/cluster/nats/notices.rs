//! What the tasks of a driver and of an agent tell the thread that owns their engine or link.

use async_nats::Message;
use bytes::Bytes;

use super::forms::{AgentBeat, AgentLetter, ControlForm, SessionEntry};

/// What the tasks of a driver tell it.
pub(super) enum DriverNotice {
    /// A letter, or none where it cannot be read; its number, and the stored object that it was.
    Letter {
        sequence: u64,
        object: Option<String>,
        letter: Option<AgentLetter>,
    },
    Beat(AgentBeat),
    /// An agent that finds no session.
    Stranger(AgentBeat),
    /// The server has a send of a work.
    Posted {
        send: u64,
        sequence: u64,
    },
    Lost,
    Back,
    /// The stream of works was made anew.
    Remade,
    /// The stream does not have these.
    Missing(Vec<SentWork>),
}

/// A work that was sent, and where it is in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SentWork {
    pub(super) work: u64,
    pub(super) send: u64,
    pub(super) sequence: u64,
}

/// What the tasks of an agent tell it.
pub(super) enum AgentNotice {
    /// The session that it has found, or none any more.
    Session(Option<FoundSession>),
    /// A driver of this build tells its agents something.
    Control {
        session: String,
        form: ControlForm,
    },
    /// Something has come for a request for works of a session.
    Pulled {
        session: String,
        message: Message,
    },
    /// The body of a work that was stored.
    Body {
        session: String,
        work: u64,
        send: u64,
        is_poison: bool,
        body: std::result::Result<Bytes, String>,
    },
    /// What pools are made with, which was stored.
    SetUp {
        session: String,
        generation: u64,
        settings: Vec<u8>,
    },
    /// Memory that tasks share, which was stored.
    Segment {
        session: String,
        id: u64,
        body: std::result::Result<Bytes, String>,
    },
    /// A letter is in the stream.
    Posted {
        letter: u64,
    },
    /// Whether the connection stands.
    Connected(bool),
    Refused(String),
}

/// A running session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundSession {
    pub(super) session: String,
    pub(super) entry: SessionEntry,
}
