//! Rows that were read: encoded one behind the other, or never given to a worker.

use crate::error::{CodecError, TaskErrorKind};
use crate::transport::{CompletedTasks, Outcomes};
use crate::wire::Records;

/// Rows that were encoded one behind the other: how many, and where the last ends.
pub(super) struct EncodedRows {
    pub(super) count: u32,
    pub(super) end: usize,
    pub(super) then: NextAction,
}

/// The next step of the engine.
pub(in crate::map) enum NextAction {
    /// More rows may be read.
    GoOn,
    /// Enough was read for now.
    Stop,
    /// More rows may be read behind one that did not encode: the indices of a chunk follow one another.
    GoOnBehind(CodecError),
    /// The last row found no room, and is sent by itself.
    SendAlone,
}

pub(super) const FIRST_ATTEMPT: u32 = 1;

pub(super) fn not_encoded(index: usize, error: CodecError) -> CompletedTasks {
    never_begun(index, 1, TaskErrorKind::Encode(error))
}

/// Tasks whose outputs, in these records, an earlier run of the program has computed.
pub(super) fn taken(first_index: usize, count: usize, records: Vec<u8>) -> CompletedTasks {
    CompletedTasks {
        first_index,
        count,
        outcomes: Outcomes::Records(Records::new(records)),
        attempts: FIRST_ATTEMPT,
        earlier: Vec::new(),
        worker: None,
        argument_bytes: 0,
        printed: None,
        native: None,
        is_late: false,
        ran: None,
        arguments: None,
    }
}

/// Tasks that no worker was given.
pub(super) fn never_begun(first_index: usize, count: usize, error: TaskErrorKind) -> CompletedTasks {
    CompletedTasks {
        first_index,
        count,
        outcomes: Outcomes::Error(error),
        attempts: 0,
        earlier: Vec::new(),
        worker: None,
        argument_bytes: 0,
        printed: None,
        native: None,
        is_late: false,
        ran: None,
        arguments: None,
    }
}
