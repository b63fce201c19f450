//! One task on the worker's side: arguments out of bytes, the function's result into bytes. It knows nothing of frames.

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, Decoder, Encoder};
use crate::error::{CodecError, RemoteError, TypedValue};

/// One call of a worker function, as its expansion sees it.
pub struct TaskCall<'a> {
    arguments: Decoder<'a>,
    reply: &'a mut Vec<u8>,
    bytes_max: usize,
}

/// Why a call gave no output. The bytes of a failure stand in the reply.
pub enum Stop {
    /// An argument did not decode.
    Decode(CodecError),
    /// The output did not encode.
    Encode(CodecError),
    /// The function returned an `Err`.
    Failed,
}

/// What a call gave; the bytes stand in the reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Output,
    Failure,
    Encode(CodecError),
    Decode(CodecError),
}

/// Texts of an error are cut here, and at a part of the frame, so that an error always fits into it.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The part of a frame for the message, the debug text and the type's name, each.
const TEXT_PART: usize = 8;
/// The part of a frame for the error as a value.
const TYPED_PART: usize = 4;
/// The part of a frame for one link of the chain of sources: all of them take a quarter, their lengths included.
const LINK_PART: usize = 5 * CHAIN_LENGTH_MAX;
/// A chain of sources is cut here; one that points to itself would have no end.
const CHAIN_LENGTH_MAX: usize = 32;

impl<'a> TaskCall<'a> {
    /// A call with these arguments, whose output or failure is appended to `reply`, `bytes_max` bytes at most.
    pub(crate) fn new(arguments: &'a [u8], reply: &'a mut Vec<u8>, bytes_max: usize) -> Self {
        Self { arguments: Decoder::new(arguments), reply, bytes_max }
    }

    /// Takes the next argument.
    pub(super) fn argument<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Stop> {
        self.arguments.value().map_err(|error| Stop::Decode(CodecError::new(format!("argument `{name}`: {error}"))))
    }

    /// Checks that every argument was taken.
    pub fn end_of_arguments(&self) -> Result<(), Stop> {
        self.arguments.end().map_err(|error| Stop::Decode(CodecError::new(format!("the arguments: {error}"))))
    }

    /// Writes the output.
    pub(super) fn output<T: Serialize>(&mut self, output: &T) -> Result<(), Stop> {
        Encoder::new(self.reply, self.bytes_max)
            .value(output)
            .map_err(|error| Stop::Encode(CodecError::new(format!("the result: {error}"))))
    }

    /// How large an error may be as a value.
    pub fn failure_bytes_max(&self) -> usize {
        self.bytes_max / TYPED_PART
    }

    /// Writes the error that the function returned, and itself as a value where it is serde.
    pub(super) fn failed(
        &mut self,
        type_name: &str,
        error: &(dyn Error + Send + Sync),
        typed: Option<(u64, Vec<u8>)>,
    ) -> Stop {
        let chain: Vec<String> = std::iter::successors(error.source(), |&cause| cause.source())
            .take(CHAIN_LENGTH_MAX)
            .map(|cause| cut(&cause.to_string(), self.bytes_max / LINK_PART))
            .collect();
        let text = |text: &str| cut(text, self.bytes_max / TEXT_PART);
        let failure = (text(&error.to_string()), chain, text(&format!("{error:?}")), text(type_name), typed);
        match Encoder::new(self.reply, self.bytes_max).value(&failure) {
            Ok(()) => Stop::Failed,
            Err(error) => Stop::Encode(CodecError::new(format!("the returned error: {error}"))),
        }
    }

    /// What a call that came back with `result` gave.
    pub(crate) fn reply(result: Result<(), Stop>) -> Reply {
        match result {
            Ok(()) => Reply::Output,
            Err(Stop::Failed) => Reply::Failure,
            Err(Stop::Encode(error)) => Reply::Encode(error),
            Err(Stop::Decode(error)) => Reply::Decode(error),
        }
    }
}

/// Reads what [`TaskCall::failed`] wrote.
pub(crate) fn decode_failure(bytes: &[u8]) -> Result<RemoteError, CodecError> {
    type Failure = (String, Vec<String>, String, String, Option<(u64, Vec<u8>)>);
    let (message, chain, debug, type_name, typed): Failure = codec::decode(bytes)?;
    let typed = typed.map(|(type_hash, bytes)| TypedValue { type_hash, bytes });
    Ok(RemoteError::new(message, chain, debug, type_name, typed))
}

/// Cuts a text at so many bytes, and at [`TEXT_BYTES_MAX`].
fn cut(text: &str, bytes_max: usize) -> String {
    let bytes_max = bytes_max.min(TEXT_BYTES_MAX);
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{} …", &text[..text.floor_char_boundary(bytes_max)])
}
