//! The messages of both directions, and their payloads.

use std::ops::Range;

use super::chunk::{ChunkHeader, TaskFrames};
use super::fields::{Fields, Violation, finish};
use super::{HEADER_BYTES, PROTOCOL_VERSION};
use crate::codec::{Encoder, decode};

const WELCOME: u8 = 1;
pub(super) const CHUNK: u8 = 2;
const REVOKE: u8 = 3;
const HELLO: u8 = 17;
const REPLY: u8 = 18;
const NOTE: u8 = 19;
const RETURNED: u8 = 20;
const BEGUN: u8 = 21;

/// What each side says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) version: u32,
    pub(crate) fingerprint: u64,
}

impl Greeting {
    /// That of this process.
    pub(crate) fn new(fingerprint: u64) -> Self {
        Self { version: PROTOCOL_VERSION, fingerprint }
    }
}

/// What a worker is told at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) greeting: Greeting,
    /// The worker's place in its pool.
    pub(crate) index: u64,
    pub(crate) frame_bytes_max: u64,
    pub(crate) stack_bytes: u64,
}

/// What the parent sends.
#[derive(Debug)]
pub(crate) enum ToWorker<'a> {
    Welcome(Welcome),
    Chunk(ChunkHeader, TaskFrames<'a>),
    Revoke,
}

/// What a worker sends.
#[derive(Debug)]
pub(crate) enum ToParent<'a> {
    Hello(Greeting),
    Reply {
        chunk: u64,
        position: u32,
        elapsed_nanos: u64,
        status: Status,
        payload: &'a [u8],
    },
    Note(PanicNote),
    Returned,
    /// The worker has taken up the chunk with this id.
    Begun(u64),
}

/// What a reply's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// The encoded output.
    Output = 0,
    /// The encoded error that the function returned.
    Failure = 1,
    /// A text: why the output did not encode.
    Encode = 2,
    /// A text: why the arguments did not decode.
    Decode = 3,
    /// An encoded [`PanicNote`].
    Panic = 4,
}

/// What is known of a panic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PanicNote {
    pub(crate) message: String,
    pub(crate) location: Option<String>,
    pub(crate) backtrace: Option<String>,
}

impl PanicNote {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Violation> {
        let (message, location, backtrace) =
            decode(bytes).map_err(|error| Violation::new(format!("a panic's note: {error}")))?;
        Ok(Self { message, location, backtrace })
    }

    /// Appends the note, without its backtrace where that does not fit into `bytes_max`.
    pub(crate) fn encode(&self, buffer: &mut Vec<u8>, bytes_max: usize) {
        let start = buffer.len();
        let whole = (&self.message, &self.location, &self.backtrace);
        if Encoder::new(buffer, bytes_max).value(&whole).is_err() {
            buffer.truncate(start);
            let most = self.message.floor_char_boundary(bytes_max / 2);
            let short = (&self.message[..most], None::<&str>, None::<&str>);
            Encoder::new(buffer, bytes_max)
                .value(&short)
                .expect("half the limit and two absent values fit into the limit");
        }
    }
}

impl<'a> ToWorker<'a> {
    pub(crate) fn parse((kind, payload): (u8, &'a [u8])) -> Result<Self, Violation> {
        let mut fields = Fields(payload);
        match kind {
            WELCOME => Ok(Self::Welcome(Welcome {
                greeting: greeting(&mut fields)?,
                index: fields.u64()?,
                frame_bytes_max: fields.u64()?,
                stack_bytes: fields.u64()?,
            })),
            CHUNK => TaskFrames::parse(payload).map(|(header, tasks)| Self::Chunk(header, tasks)),
            REVOKE => Ok(Self::Revoke),
            other => Err(Violation::new(format!("a frame of unknown kind {other}"))),
        }
    }
}

impl<'a> ToParent<'a> {
    pub(crate) fn parse((kind, payload): (u8, &'a [u8])) -> Result<Self, Violation> {
        let mut fields = Fields(payload);
        match kind {
            HELLO => greeting(&mut fields).map(Self::Hello),
            REPLY => Ok(Self::Reply {
                chunk: fields.u64()?,
                position: fields.u32()?,
                elapsed_nanos: fields.u64()?,
                status: status(fields.u8()?)?,
                payload: fields.0,
            }),
            NOTE => PanicNote::decode(payload).map(Self::Note),
            RETURNED => Ok(Self::Returned),
            BEGUN => fields.u64().map(Self::Begun),
            other => Err(Violation::new(format!("a frame of unknown kind {other}"))),
        }
    }
}

fn greeting(fields: &mut Fields<'_>) -> Result<Greeting, Violation> {
    Ok(Greeting { version: fields.u32()?, fingerprint: fields.u64()? })
}

fn status(byte: u8) -> Result<Status, Violation> {
    [Status::Output, Status::Failure, Status::Encode, Status::Decode, Status::Panic]
        .into_iter()
        .find(|&status| status as u8 == byte)
        .ok_or_else(|| Violation::new(format!("a reply of unknown status {byte}")))
}

fn begin(buffer: &mut Vec<u8>, kind: u8) {
    buffer.clear();
    buffer.extend_from_slice(&[0; HEADER_BYTES - 1]);
    buffer.push(kind);
}

fn push_greeting(frame: &mut Vec<u8>, greeting: Greeting) {
    frame.extend_from_slice(&greeting.version.to_le_bytes());
    frame.extend_from_slice(&greeting.fingerprint.to_le_bytes());
}

fn frame(kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Vec::new();
    begin(&mut frame, kind);
    write(&mut frame);
    finish(&mut frame);
    frame
}

/// The parent's first frame.
pub(crate) fn welcome(welcome: &Welcome) -> Vec<u8> {
    frame(WELCOME, |frame| {
        push_greeting(frame, welcome.greeting);
        frame.extend_from_slice(&welcome.index.to_le_bytes());
        frame.extend_from_slice(&welcome.frame_bytes_max.to_le_bytes());
        frame.extend_from_slice(&welcome.stack_bytes.to_le_bytes());
    })
}

/// The worker's first frame.
pub(crate) fn hello(greeting: Greeting) -> Vec<u8> {
    frame(HELLO, |frame| push_greeting(frame, greeting))
}

/// A panic's note.
pub(crate) fn note(note: &PanicNote, frame_bytes_max: usize) -> Vec<u8> {
    frame(NOTE, |frame| note.encode(frame, frame_bytes_max))
}

/// The request to begin no more tasks.
pub(crate) fn revoke() -> Vec<u8> {
    frame(REVOKE, |_| ())
}

/// The word that a chunk is begun.
pub(crate) fn begun(chunk: u64) -> Vec<u8> {
    frame(BEGUN, |frame| frame.extend_from_slice(&chunk.to_le_bytes()))
}

/// The answer to [`revoke`].
pub(crate) fn returned() -> Vec<u8> {
    frame(RETURNED, |_| ())
}

const STATUS: usize = HEADER_BYTES + 20;
const ELAPSED: Range<usize> = HEADER_BYTES + 12..STATUS;

/// Begins the reply of a task in `buffer`; the payload is appended behind it.
pub(crate) fn reply_begin(buffer: &mut Vec<u8>, chunk: u64, position: u32) {
    begin(buffer, REPLY);
    buffer.extend_from_slice(&chunk.to_le_bytes());
    buffer.extend_from_slice(&position.to_le_bytes());
    buffer.resize(STATUS + 1, 0);
}

/// Ends the reply that stands in `buffer`. With a text, that takes the place of the payload so far.
pub(crate) fn reply_end(buffer: &mut Vec<u8>, status: Status, elapsed_nanos: u64, text: Option<&str>) {
    if let Some(text) = text {
        buffer.truncate(STATUS + 1);
        buffer.extend_from_slice(text.as_bytes());
    }
    buffer[ELAPSED].copy_from_slice(&elapsed_nanos.to_le_bytes());
    buffer[STATUS] = status as u8;
    finish(buffer);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(frame: &[u8]) -> (u8, &[u8]) {
        (frame[HEADER_BYTES - 1], &frame[HEADER_BYTES..frame.len() - crate::wire::TRAILER_BYTES])
    }

    #[test]
    fn messages_come_back_as_they_went() {
        let sent = Welcome { greeting: Greeting::new(7), index: 3, frame_bytes_max: 1 << 31, stack_bytes: 8 << 20 };
        let frame = welcome(&sent);
        let Ok(ToWorker::Welcome(received)) = ToWorker::parse(payload(&frame)) else {
            panic!("no welcome");
        };
        assert_eq!(received, sent);
    }

    #[test]
    fn a_reply_carries_payload_or_text() {
        let mut buffer = Vec::new();
        reply_begin(&mut buffer, 5, 2);
        buffer.extend_from_slice(b"half an outp");
        reply_end(&mut buffer, Status::Encode, 77, Some("too large"));
        let Ok(ToParent::Reply { chunk: 5, position: 2, elapsed_nanos: 77, status: Status::Encode, payload }) =
            ToParent::parse(payload(&buffer))
        else {
            panic!("another message");
        };
        assert_eq!(payload, b"too large");
    }

    #[test]
    fn frames_cut_short_and_unknown_kinds_are_violations() {
        let mut buffer = Vec::new();
        reply_begin(&mut buffer, 5, 2);
        reply_end(&mut buffer, Status::Output, 0, None);
        for length in HEADER_BYTES..STATUS + 1 {
            assert!(ToParent::parse((REPLY, &buffer[HEADER_BYTES..length])).is_err());
        }
        assert!(ToParent::parse((99, &[])).is_err());
        assert!(ToWorker::parse((99, &[])).is_err());
        assert!(ToParent::parse((REPLY, &[9; 21])).is_err());
    }

    #[test]
    fn a_note_too_large_for_its_frame_loses_its_backtrace() {
        let long =
            PanicNote { message: "ä".repeat(100), location: Some("here".into()), backtrace: Some("b".repeat(1000)) };
        let mut buffer = Vec::new();
        long.encode(&mut buffer, 100);
        let note = PanicNote::decode(&buffer).unwrap();
        assert!(buffer.len() <= 100 && note.message == "ä".repeat(25) && note.backtrace.is_none());
    }
}
