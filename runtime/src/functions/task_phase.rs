//! The phase of a task, and the work at its end. Plain data.

use crate::error::CodecError;

/// Whose code of the program's is running, should it panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunningCode {
    /// The Deserialize of an argument.
    Arguments,
    /// The function, or whatever is none of the others.
    Function,
    /// The Serialize of the output.
    Output,
    /// The Deserialize of the output, where outputs are folded.
    Folded,
}

/// When the output that the tasks printed is written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// It is done before each result, so that what a task printed stands before it.
    EachTask,
    /// The worker does it soon after: it would take longer than the tasks do.
    Later,
    /// The same, and the end of each task is more than its result: it is measured, or reported.
    LaterNoted,
    /// It is done at the end of each, and what a task printed is kept (see `output`).
    Kept,
}

/// Why a call gave no output. The bytes of a failure are in the sink.
pub enum TaskAbort {
    /// An argument did not decode.
    Decode(CodecError),
    /// The output did not encode.
    Encode(CodecError),
    /// The function returned an `Err`.
    Failed,
}
