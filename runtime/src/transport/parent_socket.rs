//! The parent's end of the socket to a worker: length-prefixed frames, some with descriptors. It never waits. Where there is no
//! memory to share, chunks and results go over it too.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::handshake::Handshake;
use super::{ChannelError, ChannelEvent, Chunk, Note, ResultBatch};
use crate::failpoints::{self, Point};
use crate::shared::{Segment, SegmentHead};
use crate::sys::{self, Wait};
use crate::wire::{self, ChunkHeader, FrameBuffer, Greeting, Records, ToParent, Violation, WorkerTimes};

/// One call of [`ParentSocket::receive`] takes about so much, so that no worker keeps the parent from the others.
const RECEIVE_BYTES_MAX: usize = 1 << 20;

/// One call of [`ParentSocket::discard`] reads so often at most: more than a socket holds messages, and soon done.
const DISCARD_ROUNDS_MAX: usize = 1024;

/// Tasks of more bytes are sent from where they stand: a copy of what is small takes less than two calls more.
const COPIED_BYTES_MAX: usize = 1 << 20;

/// A frame to be sent, and the memory whose descriptor goes with it.
struct Outgoing {
    frame: Vec<u8>,
    /// The rest of the frame, if it is not as a whole above: the chunk's tasks, and the bytes behind them.
    rest: Option<(Chunk, Vec<u8>)>,
    segment: Option<Arc<Segment>>,
    kind: FrameKind,
}

impl Outgoing {
    fn new(frame: Vec<u8>, kind: FrameKind) -> Self {
        Self { frame, rest: None, segment: None, kind }
    }

    /// Returns bytes to send behind the first `sent` ones: none at the end, and not always all that are left.
    fn behind(&self, sent: usize) -> &[u8] {
        let Some(left) = sent.checked_sub(self.frame.len()) else {
            return &self.frame[sent..];
        };
        let Some((chunk, tail)) = &self.rest else {
            return &[];
        };
        let tasks = chunk.tasks();
        match left.checked_sub(tasks.len()) {
            None => &tasks[left..],
            Some(left) => tail.get(left..).unwrap_or_default(),
        }
    }
}

/// The kind of a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FrameKind {
    Bell,
    /// It tells of memory, of which the worker counts the messages.
    Memory,
    Other,
}

/// A chunk that went over the socket.
struct Sent {
    id: u64,
    /// The position of the first task without a reply, and whether the worker has begun it.
    next: u32,
    begun: bool,
    count: u32,
    /// When its tasks were handed to the pool.
    handed_nanos: u64,
}

pub(super) struct ParentSocket {
    stream: Arc<UnixStream>,
    handshake: Handshake,
    inbox: FrameBuffer,
    /// It is bounded, also where the worker never reads: chunks are no more than are assigned to it; messages about memory are one for
    /// each of those, and one more when it is let go, and a worker that finishes tasks whose messages it has not had is killed
    /// ([`memory_messages`](Self::memory_messages)); and one bell stands for all.
    outbox: VecDeque<Outgoing>,
    /// A bell is among them.
    has_bell: bool,
    /// The messages about memory that the socket has taken.
    memory_messages: u64,
    /// How much of the outbox's first frame is sent.
    sent_bytes: usize,
    sent: VecDeque<Sent>,
    last_id: u64,
    /// The bytes that have come.
    received: u64,
    /// When the worker began the task begun last.
    begun_nanos: u64,
    /// How long its tasks have waited and taken.
    times: WorkerTimes,
    /// The last note of the worker. The reply of the task that it is about clears it.
    note: Note,
}

impl ParentSocket {
    /// Returns a socket, and the worker's end of it. The worker must say hello with this greeting.
    pub(super) fn new(greeting: Greeting, frame_bytes_max: usize) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = sys::pair()?;
        let parent_ring = Self {
            stream: Arc::new(ours),
            handshake: Handshake::new(greeting),
            inbox: FrameBuffer::new(frame_bytes_max),
            outbox: VecDeque::new(),
            has_bell: false,
            memory_messages: 0,
            sent_bytes: 0,
            sent: VecDeque::new(),
            last_id: 0,
            received: 0,
            begun_nanos: 0,
            times: WorkerTimes::default(),
            note: Note::default(),
        };
        Ok((parent_ring, theirs.into()))
    }

    pub(super) fn stream(&self) -> &Arc<UnixStream> {
        &self.stream
    }

    /// Returns whether the worker has said hello.
    pub(super) fn said_hello(&self) -> bool {
        self.handshake.is_done()
    }

    /// The text of the worker's table of functions, if it has others than this program.
    pub(super) fn stranger_table(&self) -> Option<&[u8]> {
        self.handshake.stranger_table()
    }

    /// Sends a frame as a whole, with descriptors, while the socket's buffer is empty, so that it has room for all of it.
    pub(super) fn send_whole(&mut self, frame: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let sent = sys::send_with_descriptors(&self.stream, frame, descriptors)?;
        if sent == frame.len() {
            Ok(())
        } else {
            Err(io::Error::other("the socket has no room for a frame with descriptors"))
        }
    }

    /// Sends a frame: as much as the socket takes now, the rest by [`flush`](Self::flush).
    pub(super) fn send(&mut self, frame: Vec<u8>) -> Result<(), ChannelError> {
        failpoints::reached(Point::ParentSending);
        self.push(Outgoing::new(frame, FrameKind::Other))
    }

    /// Rings the worker's bell. One that is not wholly sent yet rings after this, and so for this too.
    pub(super) fn ring_bell(&mut self) -> Result<(), ChannelError> {
        failpoints::reached(Point::ParentSending);
        if std::mem::replace(&mut self.has_bell, true) {
            return self.flush();
        }
        self.push(Outgoing::new(wire::bell(), FrameKind::Bell))
    }

    /// Informs the worker that the memory of this name is used no more.
    pub(super) fn send_forget(&mut self, segment: u64) -> Result<(), ChannelError> {
        self.push(Outgoing::new(wire::forget(segment), FrameKind::Memory))
    }

    /// How many messages about memory the socket has taken.
    pub(super) fn memory_messages(&self) -> u64 {
        self.memory_messages
    }

    fn push(&mut self, outgoing: Outgoing) -> Result<(), ChannelError> {
        self.outbox.push_back(outgoing);
        self.flush()
    }

    /// Sends the descriptor of some memory, and the ranges that are lent of it.
    pub(super) fn send_segment(&mut self, segment: Arc<Segment>, runs: Vec<(u64, u64)>) -> Result<(), ChannelError> {
        let head = SegmentHead { id: segment.id, bytes: segment.bytes as u64, kind: segment.kind, runs };
        let frame = wire::segment(&head);
        self.push(Outgoing { segment: Some(segment), ..Outgoing::new(frame, FrameKind::Memory) })
    }

    /// Sends a chunk.
    pub(super) fn assign(&mut self, chunk: &Chunk, log: u64) -> Result<(), ChannelError> {
        self.last_id += 1;
        let head = chunk.head();
        let header = ChunkHeader {
            id: self.last_id,
            function: head.function,
            attempt: head.attempt,
            first_index: head.first_index,
            count: chunk.count(),
            shared: chunk.shared_parameters(),
            seed: chunk.seed(),
            log,
        };
        self.sent.push_back(Sent {
            id: header.id,
            next: 0,
            begun: false,
            count: header.count,
            handed_nanos: chunk.handed_nanos(),
        });
        let tasks = chunk.tasks();
        if tasks.len() <= COPIED_BYTES_MAX {
            return self.send(wire::chunk(&header, tasks));
        }
        failpoints::reached(Point::ParentSending);
        let (head, tail) = wire::around_chunk(&header, tasks.len());
        self.push(Outgoing { rest: Some((chunk.clone(), tail)), ..Outgoing::new(head, FrameKind::Other) })
    }

    /// Whether something waits for room in the socket.
    pub(super) fn wants_write(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn flush(&mut self) -> Result<(), ChannelError> {
        while let Some(outgoing) = self.outbox.front() {
            let left = outgoing.behind(self.sent_bytes);
            // A descriptor goes with the first byte.
            let sent = match outgoing.segment.as_ref().filter(|_| self.sent_bytes == 0) {
                Some(segment) => sys::send_with_descriptors(&self.stream, left, &[segment.memory.as_fd()]),
                None => sys::send(&self.stream, left, Wait::No),
            };
            match sent {
                Ok(sent) => self.sent_bytes += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(fault(&error)),
            }
            if outgoing.behind(self.sent_bytes).is_empty() {
                match outgoing.kind {
                    FrameKind::Bell => self.has_bell = false,
                    FrameKind::Memory => self.memory_messages += 1,
                    FrameKind::Other => {}
                }
                self.outbox.pop_front();
                self.sent_bytes = 0;
            }
        }
        Ok(())
    }

    /// Handles what has arrived, and returns how many bytes it was. Messages before a fault are taken in first.
    pub(super) fn receive(
        &mut self,
        on_event: &mut dyn FnMut(ChannelEvent) -> Result<(), ChannelError>,
    ) -> Result<usize, ChannelError> {
        let mut taken = 0;
        while taken < RECEIVE_BYTES_MAX {
            let room = self.inbox.room();
            let whole_room = room.len();
            let Some(count) = receive(&self.stream, room)? else {
                break;
            };
            self.inbox.filled(count);
            self.received += count as u64;
            taken += count;
            while let Some(frame) = self.inbox.next()? {
                let message = ToParent::parse(frame)?;
                self.handshake.check(&message)?;
                let event = match message {
                    ToParent::Hello(_) => Some(ChannelEvent::Hello),
                    ToParent::Table(_) => None,
                    ToParent::Begun(chunk) => self.begin(chunk).map(|()| None)?,
                    ToParent::Decoded(chunk) => decoded(&self.sent, chunk).map(|()| Some(ChannelEvent::Decoded))?,
                    ToParent::Note(note) => {
                        self.note.panic = Some(note);
                        None
                    }
                    ToParent::Crash(crash) => {
                        self.note.crash = Some(crash);
                        None
                    }
                    ToParent::Stack(stack) => {
                        self.note.stack = stack;
                        None
                    }
                    ToParent::DeniedPath(path) => {
                        self.note.denied_path = path;
                        None
                    }
                    ToParent::Reply { chunk, position, elapsed_nanos, record } => {
                        self.note = Note::default();
                        replied(&mut self.sent, chunk, position)?;
                        let timed = Some((1, Duration::from_nanos(elapsed_nanos)));
                        let records = Records::new(record.to_vec());
                        self.times.running.add(elapsed_nanos, 1);
                        self.times.failed += u64::from(!records.begins_with_output());
                        Some(ChannelEvent::Results(ResultBatch::new(1, records, timed)))
                    }
                    ToParent::Preloaded(threads) => Some(ChannelEvent::Preloaded(threads)),
                    ToParent::Copied(made) => Some(ChannelEvent::Copied(made)),
                    ToParent::Returned => {
                        self.sent.clear();
                        Some(ChannelEvent::Returned)
                    }
                };
                // The buffer of a large frame is not kept beside the value that comes of it.
                self.inbox.release();
                if let Some(event) = event {
                    on_event(event)?;
                }
            }
            if count < whole_room {
                break;
            }
        }
        Ok(taken)
    }

    /// Notes that the worker has begun a chunk.
    fn begin(&mut self, chunk: u64) -> Result<(), ChannelError> {
        self.begun_nanos = sys::monotonic_nanos();
        let handed_nanos = begun(&mut self.sent, chunk)?;
        self.times.waiting.add(self.begun_nanos.saturating_sub(handed_nanos), 1);
        Ok(())
    }

    /// Gives back the memory that messages arrive in, where none comes any more whose content counts.
    pub(super) fn drop_inbox(&mut self) {
        self.inbox.empty();
    }

    /// Drops what has arrived, and returns how many bytes it was. The descriptors that came with it are handed over.
    pub(super) fn discard(&mut self, on_descriptor: &mut dyn FnMut(OwnedFd)) -> Result<usize, ChannelError> {
        let mut bytes = [0; 4096];
        let mut taken = 0;
        for _ in 0..DISCARD_ROUNDS_MAX {
            let (read, has_more) = match sys::receive_outputs(&self.stream, &mut bytes, &mut *on_descriptor) {
                Ok((count, has_more)) => (Ok(count), has_more),
                Err(error) => (Err(error), false),
            };
            let Some(count) = arrived(read)? else {
                break;
            };
            taken += count;
            if count < bytes.len() && !has_more {
                break;
            }
        }
        Ok(taken)
    }

    /// A number that changes when something comes.
    pub(super) fn progress_stamp(&self) -> u64 {
        self.received
    }

    /// Whether the worker has begun the first task that has no reply.
    pub(super) fn has_begun(&self) -> bool {
        self.sent.front().is_some_and(|sent| sent.begun)
    }

    /// When the message came that the worker has begun its task.
    pub(super) fn begun_nanos(&self) -> u64 {
        self.begun_nanos
    }

    /// How long the worker's tasks have waited and taken.
    pub(super) fn times(&self) -> &WorkerTimes {
        &self.times
    }

    /// How many tasks have no reply.
    pub(super) fn running(&self) -> u32 {
        self.sent.iter().map(|sent| sent.count - sent.next).sum()
    }

    pub(super) fn note(&self) -> Note {
        self.note.clone()
    }

    /// Informs the worker that nothing more will come, so that it exits once it has nothing to run.
    pub(super) fn close_write(&self) {
        // An error means that the worker is gone already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Shuts the channel down in both directions.
    pub(super) fn hang_up(&self) {
        // As above.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Reads what is there; none if there is nothing.
fn receive(stream: &UnixStream, room: &mut [u8]) -> Result<Option<usize>, ChannelError> {
    arrived(sys::receive(stream, room, Wait::No))
}

/// How many bytes were read; none if there was nothing.
fn arrived(read: io::Result<usize>) -> Result<Option<usize>, ChannelError> {
    match read {
        Ok(0) => Err(ChannelError::Closed),
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(fault(&error)),
    }
}

/// Records that the worker has begun the next task of a chunk; returns when that was handed to the pool.
fn begun(sent: &mut VecDeque<Sent>, chunk: u64) -> Result<u64, Violation> {
    let first = sent.front_mut().filter(|first| first.id == chunk && !first.begun);
    let first = first.ok_or_else(|| Violation::new("it began a task that was not its next"))?;
    first.begun = true;
    Ok(first.handed_nanos)
}

/// Checks that the arguments are those of the chunk that the worker has begun.
fn decoded(sent: &VecDeque<Sent>, chunk: u64) -> Result<(), Violation> {
    let is_begun = sent.front().is_some_and(|first| first.begun && first.id == chunk);
    if is_begun { Ok(()) } else { Err(Violation::new("it decoded arguments that were not its next")) }
}

/// Handles a reply.
fn replied(sent: &mut VecDeque<Sent>, chunk: u64, position: u32) -> Result<(), Violation> {
    let first = sent
        .front_mut()
        .filter(|first| first.begun && first.id == chunk && first.next == position)
        .ok_or_else(|| Violation::new("it answered a task that it was not running"))?;
    first.next += 1;
    first.begun = false;
    if first.next == first.count {
        sent.pop_front();
    }
    Ok(())
}

pub(super) fn fault(error: &io::Error) -> ChannelError {
    if sys::is_hung_up(error) {
        ChannelError::Closed
    } else {
        ChannelError::Broken(format!("the channel to the worker failed: {error}"))
    }
}
