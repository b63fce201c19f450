//! The messages of both directions, and their payloads.

use std::sync::Arc;

use super::chunk::{ChunkHeader, TaskFrames};
use super::crash::{CRASH, DENIED_PATH, STACK, crash, denied_path, stack};
use super::fields::{CHUNK, FieldReader, Violation, begin, finish};
use super::{FRAME_BYTES_MAX, FRAME_BYTES_MIN, PROTOCOL_VERSION};
use crate::codec::{decode, encode};
use crate::shared::{GRANT_BYTES, Grant, SegmentHead, SegmentKind};
use crate::sys::{Crash, NativeStack};
use crate::task::Output;

const WELCOME: u8 = 1;
const REVOKE: u8 = 3;
const BELL: u8 = 4;
const SEGMENT: u8 = 5;
const FORGET: u8 = 6;
const GRANTS: u8 = 7;
const COPY: u8 = 8;
const HELLO: u8 = 17;
const REPLY: u8 = 18;
const NOTE: u8 = 19;
const RETURNED: u8 = 20;
const BEGUN: u8 = 21;
const DECODED: u8 = 23;
const PRELOADED: u8 = 24;
const COPIED: u8 = 25;
const TABLE: u8 = 26;

/// The identity that each side sends first.
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

/// The first message to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) greeting: Greeting,
    /// The worker's place in its pool.
    pub(crate) index: u64,
    pub(crate) frame_bytes_max: u64,
    pub(crate) stack_bytes: u64,
    /// The bytes that the worker may allocate; 0 where they are not limited.
    pub(crate) memory_bytes: u64,
    /// The bytes of the memory that all workers read, whose descriptor comes with this, as does that of the worker's own; 0
    /// where chunks and results go over the socket.
    pub(crate) arena_bytes: u64,
    /// Whether the descriptor of memory for its arguments alone comes with this, behind those: no other worker reads that.
    pub(crate) has_own_arguments: bool,
    /// Whether the standard output's descriptor comes with this, as the last.
    pub(crate) has_stdout: bool,
    /// Where its printed output goes; where that is not inherited, the descriptors of three files come behind that.
    pub(crate) output: Output,
    /// Whether outputs in memory of their own are written as what they are: they travel on to another machine.
    pub(crate) copies_outputs: bool,
    /// What it adds to its nice value.
    pub(crate) nice: i32,
    /// The name that it is shown by; none where it keeps the program's.
    pub(crate) name: Option<String>,
    /// The sandbox that it enters, as its module reads it; empty where it enters none.
    pub(crate) sandbox: Arc<[u8]>,
    /// Whether it enters that behind its first call, which initializes it.
    pub(crate) is_initialized: bool,
    /// Whether the descriptor of the file comes with this, as the last, in which it notes system calls.
    pub(crate) has_notes: bool,
    /// Which descriptors of namespaces come with this, before all others: a bit for each, as `sys::Namespaces` has them.
    pub(crate) namespaces: u8,
}

/// A message of the parent.
#[derive(Debug)]
pub(crate) enum ToWorker<'a> {
    Welcome(Welcome),
    Chunk(ChunkHeader, TaskFrames<'a>),
    Revoke,
    /// There is something new in the shared memory.
    Bell,
    /// The descriptor of memory, or another, comes with this.
    Segment(SegmentHead),
    /// The grants of the next chunk's tasks, or some of them.
    Grants(&'a [u8]),
    /// The memory of this name is used no more.
    Forget(u64),
    /// A fork server is to make a worker, whose end of its channel comes with this.
    Copy(CopyRequest),
}

/// What a worker that a fork server makes has by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CopyRequest {
    /// The CPUs that it may use; all that the server may where there are none here.
    pub(crate) cpus: Vec<u64>,
    /// As `name=value`.
    pub(crate) variables: Vec<Vec<u8>>,
}

/// A message of a worker.
#[derive(Debug)]
pub(crate) enum ToParent<'a> {
    Hello(Greeting),
    /// A part of the text of the worker's table of functions, which is not the parent's.
    Table(&'a [u8]),
    /// The result of one task, as a record.
    Reply {
        chunk: u64,
        position: u32,
        elapsed_nanos: u64,
        record: &'a [u8],
    },
    Note(PanicNote),
    Returned,
    /// The worker has taken up the chunk with this id.
    Begun(u64),
    /// A signal is about to end the worker.
    Crash(Crash),
    /// A process has decoded the arguments of its one call, which came as the chunk with this id.
    Decoded(u64),
    /// A fork server makes workers from now on; or, with the names of its threads, it cannot, as there are too many.
    Preloaded(Option<String>),
    /// A fork server has made a worker with this process id; or the number of the system's error.
    Copied(Result<u32, i32>),
    /// The stack of a worker that a signal is about to end; none where it is not to be understood.
    Stack(Option<NativeStack>),
    /// The path of a system call that was denied; none where it is not to be understood.
    DeniedPath(Option<Vec<u8>>),
}

/// The record of a panic.
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

    /// The note as bytes, without its backtrace where that does not fit into `bytes_max`.
    pub(crate) fn encode(&self, bytes_max: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        if encode(&(&self.message, &self.location, &self.backtrace), &mut bytes, bytes_max).is_err() {
            let most = self.message.floor_char_boundary(bytes_max / 2);
            let short = (&self.message[..most], None::<&str>, None::<&str>);
            encode(&short, &mut bytes, bytes_max).expect("half the limit and two absent values fit into the limit");
        }
        bytes
    }
}

impl<'a> ToWorker<'a> {
    pub(crate) fn parse((kind, payload): (u8, &'a [u8])) -> Result<Self, Violation> {
        let mut fields = FieldReader(payload);
        match kind {
            WELCOME => Ok(Self::Welcome(Welcome {
                greeting: greeting_of_own_version(&mut fields)?,
                index: fields.u64()?,
                frame_bytes_max: fields.u64()?,
                stack_bytes: fields.u64()?,
                memory_bytes: fields.u64()?,
                arena_bytes: fields.u64()?,
                has_own_arguments: fields.u8()? != 0,
                has_stdout: fields.u8()? != 0,
                output: output(fields.u8()?)?,
                copies_outputs: fields.u8()? != 0,
                nice: fields.u32()?.cast_signed(),
                is_initialized: fields.u8()? != 0,
                has_notes: fields.u8()? != 0,
                namespaces: fields.u8()?,
                sandbox: sandbox(&mut fields)?.into(),
                name: Some(String::from_utf8_lossy(fields.0).into_owned()).filter(|name| !name.is_empty()),
            })),
            CHUNK => TaskFrames::parse(payload).map(|(header, tasks)| Self::Chunk(header, tasks)),
            REVOKE => Ok(Self::Revoke),
            BELL => Ok(Self::Bell),
            SEGMENT => segment_head(&mut fields).map(Self::Segment),
            GRANTS => Ok(Self::Grants(payload)),
            FORGET => fields.u64().map(Self::Forget),
            COPY => {
                let (cpus, variables) =
                    decode(payload).map_err(|error| Violation::new(format!("a request for a copy: {error}")))?;
                Ok(Self::Copy(CopyRequest { cpus, variables }))
            }
            other => Err(Violation::new(format!("a frame of unknown kind {other}"))),
        }
    }
}

impl<'a> ToParent<'a> {
    pub(crate) fn parse((kind, payload): (u8, &'a [u8])) -> Result<Self, Violation> {
        let mut fields = FieldReader(payload);
        match kind {
            HELLO => greeting(&mut fields).map(Self::Hello),
            TABLE => Ok(Self::Table(payload)),
            REPLY => Ok(Self::Reply {
                chunk: fields.u64()?,
                position: fields.u32()?,
                elapsed_nanos: fields.u64()?,
                record: fields.0,
            }),
            NOTE => PanicNote::decode(payload).map(Self::Note),
            RETURNED => Ok(Self::Returned),
            BEGUN => fields.u64().map(Self::Begun),
            CRASH => crash(&mut fields).map(Self::Crash),
            DECODED => fields.u64().map(Self::Decoded),
            PRELOADED => Ok(Self::Preloaded(
                Some(String::from_utf8_lossy(payload).into_owned()).filter(|names| !names.is_empty()),
            )),
            COPIED => {
                let (pid, error) = (fields.u32()?, fields.u32()?.cast_signed());
                Ok(Self::Copied(if error == 0 { Ok(pid) } else { Err(error) }))
            }
            STACK => stack(payload).map(Self::Stack),
            DENIED_PATH => denied_path(payload).map(Self::DeniedPath),
            other => Err(Violation::new(format!("a frame of unknown kind {other}"))),
        }
    }
}

fn segment_head(fields: &mut FieldReader<'_>) -> Result<SegmentHead, Violation> {
    let (id, bytes) = (fields.u64()?, fields.u64()?);
    let kind = SegmentKind::of(fields.u8()?).ok_or_else(|| Violation::new("invalid kind of segment"))?;
    let mut runs = Vec::new();
    while !fields.0.is_empty() {
        runs.push((fields.u64()?, fields.u64()?));
    }
    Ok(SegmentHead { id, bytes, kind, runs })
}

const OUTPUTS: [Output; 3] = [Output::Inherited, Output::Tagged, Output::Captured];

fn sandbox<'a>(fields: &mut FieldReader<'a>) -> Result<&'a [u8], Violation> {
    let count = usize::try_from(fields.u64()?).unwrap_or(usize::MAX);
    fields.bytes(count)
}

fn output(place: u8) -> Result<Output, Violation> {
    OUTPUTS.get(usize::from(place)).copied().ok_or_else(|| Violation::new("invalid output mode"))
}

fn greeting(fields: &mut FieldReader<'_>) -> Result<Greeting, Violation> {
    Ok(Greeting { version: fields.u32()?, fingerprint: fields.u64()? })
}

/// What follows the greeting may be different in another version.
fn greeting_of_own_version(fields: &mut FieldReader<'_>) -> Result<Greeting, Violation> {
    match greeting(fields)? {
        greeting @ Greeting { version: PROTOCOL_VERSION, .. } => Ok(greeting),
        Greeting { version, .. } => Err(Violation::new(format!(
            "its parent has another version of poolmap, whose protocol is {version}, and its own is {PROTOCOL_VERSION}"
        ))),
    }
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
        frame.extend_from_slice(&welcome.memory_bytes.to_le_bytes());
        frame.extend_from_slice(&welcome.arena_bytes.to_le_bytes());
        frame.push(u8::from(welcome.has_own_arguments));
        frame.push(u8::from(welcome.has_stdout));
        frame.push(OUTPUTS.iter().position(|&output| output == welcome.output).map_or(0, |place| place as u8));
        frame.push(u8::from(welcome.copies_outputs));
        frame.extend_from_slice(&welcome.nice.to_le_bytes());
        frame.push(u8::from(welcome.is_initialized));
        frame.push(u8::from(welcome.has_notes));
        frame.push(welcome.namespaces);
        frame.extend_from_slice(&(welcome.sandbox.len() as u64).to_le_bytes());
        frame.extend_from_slice(&welcome.sandbox);
        frame.extend_from_slice(welcome.name.as_deref().unwrap_or_default().as_bytes());
    })
}

/// The worker's first frame.
pub(crate) fn hello(greeting: Greeting) -> Vec<u8> {
    frame(HELLO, |frame| push_greeting(frame, greeting))
}

/// The text of the worker's table of functions: as many frames as it takes, of which each is within any limit.
pub(crate) fn table(text: &str) -> impl Iterator<Item = Vec<u8>> {
    text.as_bytes().chunks(FRAME_BYTES_MIN / 2).map(|part| frame(TABLE, |frame| frame.extend_from_slice(part)))
}

/// A panic's note.
pub(crate) fn note(note: &PanicNote, frame_bytes_max: usize) -> Vec<u8> {
    frame(NOTE, |frame| frame.extend(note.encode(frame_bytes_max)))
}

/// The request to begin no more tasks.
pub(crate) fn revoke() -> Vec<u8> {
    frame(REVOKE, |_| ())
}

/// The word that there is something new in the shared memory.
pub(crate) fn bell() -> Vec<u8> {
    frame(BELL, |_| ())
}

/// The frame that goes with the descriptor of some memory.
pub(crate) fn segment(head: &SegmentHead) -> Vec<u8> {
    frame(SEGMENT, |frame| {
        frame.extend_from_slice(&head.id.to_le_bytes());
        frame.extend_from_slice(&head.bytes.to_le_bytes());
        frame.push(head.kind as u8);
        for (offset, bytes) in &head.runs {
            frame.extend_from_slice(&offset.to_le_bytes());
            frame.extend_from_slice(&bytes.to_le_bytes());
        }
    })
}

/// The grants of the next chunk's tasks: as many frames as it takes, of which each is within any limit.
pub(crate) fn grants(grants: &[Grant]) -> impl Iterator<Item = Vec<u8>> {
    const GRANTS_MAX: usize = FRAME_BYTES_MIN / 2 / GRANT_BYTES;

    grants.chunks(GRANTS_MAX).map(|some| frame(GRANTS, |frame| some.iter().for_each(|grant| grant.write(frame))))
}

/// The word that the memory of this name is used no more.
pub(crate) fn forget(id: u64) -> Vec<u8> {
    frame(FORGET, |frame| frame.extend_from_slice(&id.to_le_bytes()))
}

/// The word that the next task of a chunk is begun.
pub(crate) fn begun(chunk: u64) -> Vec<u8> {
    frame(BEGUN, |frame| frame.extend_from_slice(&chunk.to_le_bytes()))
}

/// The word that the arguments of a process's one call are decoded.
pub(crate) fn decoded(chunk: u64) -> Vec<u8> {
    frame(DECODED, |frame| frame.extend_from_slice(&chunk.to_le_bytes()))
}

/// The request to a fork server to make a worker.
pub(crate) fn copy(request: &CopyRequest) -> Vec<u8> {
    frame(COPY, |frame| {
        let CopyRequest { cpus, variables } = request;
        encode(&(cpus, variables), frame, FRAME_BYTES_MAX).expect("an environment has no such size");
    })
}

/// The word that a fork server makes workers, or why it cannot.
pub(crate) fn preloaded(threads: Option<&str>) -> Vec<u8> {
    frame(PRELOADED, |frame| frame.extend_from_slice(threads.unwrap_or_default().as_bytes()))
}

/// The answer to [`copy`].
pub(crate) fn copied(made: Result<u32, i32>) -> Vec<u8> {
    let (pid, error) = made.map_or_else(|error| (0, error), |pid| (pid, 0));
    frame(COPIED, |frame| {
        frame.extend_from_slice(&pid.to_le_bytes());
        frame.extend_from_slice(&error.to_le_bytes());
    })
}

/// The answer to [`revoke`].
pub(crate) fn returned() -> Vec<u8> {
    frame(RETURNED, |_| ())
}

/// The result of one task, as a record.
pub(crate) fn reply(chunk: u64, position: u32, elapsed_nanos: u64, record: &[u8]) -> Vec<u8> {
    frame(REPLY, |frame| {
        frame.extend_from_slice(&chunk.to_le_bytes());
        frame.extend_from_slice(&position.to_le_bytes());
        frame.extend_from_slice(&elapsed_nanos.to_le_bytes());
        frame.extend_from_slice(record);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(frame: &[u8]) -> (u8, &[u8]) {
        use crate::wire::{HEADER_BYTES, TRAILER_BYTES};

        (frame[HEADER_BYTES - 1], &frame[HEADER_BYTES..frame.len() - TRAILER_BYTES])
    }

    #[test]
    fn messages_come_back_as_they_went() {
        let sent = Welcome {
            greeting: Greeting::new(7),
            index: 3,
            frame_bytes_max: 1 << 31,
            stack_bytes: 8 << 20,
            memory_bytes: 1 << 30,
            arena_bytes: 1 << 28,
            has_own_arguments: true,
            has_stdout: true,
            output: Output::Captured,
            copies_outputs: true,
            nice: -3,
            name: Some("thumbs 3".to_owned()),
            sandbox: Arc::from([1, 2, 3]),
            is_initialized: true,
            has_notes: true,
            namespaces: 0b101,
        };
        let frame = welcome(&sent);
        let Ok(ToWorker::Welcome(received)) = ToWorker::parse(payload(&frame)) else {
            panic!("no welcome");
        };
        assert_eq!(received, sent);
    }

    #[test]
    fn what_a_fork_server_is_asked_and_answers_comes_back_as_it_went() {
        let request = CopyRequest { cpus: vec![0, 3], variables: vec![b"A=1".to_vec(), b"B=\xff".to_vec()] };
        let frame = copy(&request);
        let parsed = ToWorker::parse(payload(&frame));
        assert!(matches!(&parsed, Ok(ToWorker::Copy(read)) if *read == request), "{parsed:?}");
        assert!(ToWorker::parse((COPY, &payload(&frame).1[..9])).is_err());
        for sent in [Ok(7), Err(12)] {
            let frame = copied(sent);
            let parsed = ToParent::parse(payload(&frame));
            assert!(matches!(&parsed, Ok(ToParent::Copied(read)) if *read == sent), "{parsed:?}");
        }
        for sent in [None, Some("a, b")] {
            let frame = preloaded(sent);
            let parsed = ToParent::parse(payload(&frame));
            assert!(matches!(&parsed, Ok(ToParent::Preloaded(read)) if read.as_deref() == sent), "{parsed:?}");
        }
        assert!(ToParent::parse((COPIED, &[0; 7])).is_err());
    }

    #[test]
    fn memory_and_grants_come_back_as_they_went() {
        use crate::shared::Right;

        let sent = SegmentHead { id: 7, bytes: 9, kind: SegmentKind::Parts, runs: vec![(0, 4096), (1 << 40, 8192)] };
        let frame = segment(&sent);
        let parsed = ToWorker::parse(payload(&frame));
        assert!(matches!(&parsed, Ok(ToWorker::Segment(head)) if *head == sent), "{parsed:?}");
        assert!(ToWorker::parse((SEGMENT, &payload(&frame).1[..30])).is_err());
        let grant = Grant { name: 5, right: Right::Read, kind: 0, segment: 1, offset: 2, bytes: 3 };
        let frames: Vec<_> = grants(&[grant; 100]).collect();
        assert!(frames.iter().all(|frame| frame.len() <= FRAME_BYTES_MIN));
        let bytes: usize = frames.iter().map(|frame| payload(frame).1.len()).sum();
        assert_eq!(bytes, 100 * GRANT_BYTES);
    }

    #[test]
    fn frames_cut_short_and_unknown_kinds_are_violations() {
        let whole = reply(5, 2, 77, b"record");
        let (_, whole) = payload(&whole);
        let Ok(ToParent::Reply { chunk: 5, position: 2, elapsed_nanos: 77, record: b"record" }) =
            ToParent::parse((REPLY, whole))
        else {
            panic!("another message");
        };
        for length in 0..whole.len() - b"record".len() {
            assert!(ToParent::parse((REPLY, &whole[..length])).is_err());
        }
        assert!(ToParent::parse((99, &[])).is_err());
        assert!(ToWorker::parse((99, &[])).is_err());
    }

    #[test]
    fn a_note_too_large_for_its_frame_loses_its_backtrace() {
        let long =
            PanicNote { message: "ä".repeat(100), location: Some("here".into()), backtrace: Some("b".repeat(1000)) };
        let bytes = long.encode(100);
        let note = PanicNote::decode(&bytes).unwrap();
        assert!(bytes.len() <= 100 && note.message == "ä".repeat(25) && note.backtrace.is_none());
    }
}
