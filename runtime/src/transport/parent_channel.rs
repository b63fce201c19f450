//! The parent's end of a worker's channel: a socket, and shared memory where the system has it. It never waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use super::event::{ChannelEvent, Note};
use super::output_intake::OutputIntake;
use super::parent_ring::{ParentRing, ResultBatch};
use super::parent_socket::ParentSocket;
use super::private_arguments::PrivateArguments;
use super::sent_segments::SentMemory;
use super::{Arena, ChannelError, Chunk};
use crate::output::{Files, FinalOutput};
use crate::shared::Segment;
use crate::sys::Namespaces;
use crate::trace::WorkerLog;
use crate::wire::{self, CopyRequest, Greeting, Violation, Welcome, WorkerTimes};

/// A dead worker's channel holds no more than a socket's buffer, some hundred kilobytes. A channel that another process still writes to
/// is given up after so many rounds.
const DRAIN_ROUNDS_MAX: usize = 64;

/// The parent's end of a worker's channel.
pub(crate) struct ParentChannel {
    socket: ParentSocket,
    ring: Option<ParentRing>,
    /// The memory for its arguments, where it shares that with no other worker.
    private: Option<PrivateArguments>,
    /// The memory of outputs that the worker has sent, where there is a ring.
    outputs: Option<OutputIntake>,
    /// The memory beside the arena that the worker has.
    memory: SentMemory,
    /// The files that the worker prints to, if it does not print to the streams of this process.
    printed: Option<Files>,
    /// The program of the worker, if that is not this program started again.
    program: Option<Arc<Path>>,
    /// How somebody listens to the worker.
    log: WorkerLog,
    /// Whether the worker is to enter a sandbox.
    is_in_sandbox: bool,
}

/// The memory that a worker gets with its welcome, which the parent does not keep the descriptors of.
pub(crate) struct WorkerMemory {
    /// Its queue and its results.
    ring: Option<OwnedFd>,
    /// Its arguments, where it shares these with no other worker.
    arguments: Option<OwnedFd>,
}

/// How many tasks a worker has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// They are the worker's.
    pub(crate) claimed: u32,
    /// They can be taken back.
    pub(crate) open: u32,
}

impl ParentChannel {
    /// Returns a channel, and what the worker gets: its end of the socket at its start, and its memory with the welcome. The worker must
    /// say hello with this greeting. Without an arena, everything goes over the socket.
    pub(crate) fn new(
        arena: Option<&Arena>,
        greeting: Greeting,
        frame_bytes_max: usize,
    ) -> io::Result<(Self, OwnedFd, WorkerMemory)> {
        let (socket, worker_end) = ParentSocket::new(greeting, frame_bytes_max)?;
        let arena = arena.filter(|arena| arena.memory().is_some());
        let (ring, memory) = match arena {
            Some(arena) => {
                ParentRing::new(arena.buffers(), frame_bytes_max).map(|(ring, memory)| (Some(ring), Some(memory)))?
            }
            None => (None, None),
        };
        let (private, arguments) = match arena.filter(|arena| arena.is_for_copies()) {
            Some(_) => PrivateArguments::new().map(|(private, memory)| (Some(private), Some(memory)))?,
            None => (None, None),
        };
        let outputs = ring.as_ref().map(|ring| OutputIntake::new(ring.words()));
        let memory_sent = SentMemory::default();
        let (printed, program, log) = (None, None, WorkerLog::default());
        let is_in_sandbox = false;
        let channel =
            Self { socket, ring, private, outputs, memory: memory_sent, printed, program, log, is_in_sandbox };
        Ok((channel, worker_end, WorkerMemory { ring: memory, arguments }))
    }

    /// Notes the program that the worker is started from, if that is not this program.
    pub(crate) fn set_program(&mut self, program: Option<Arc<Path>>) {
        self.program = program;
    }

    /// The program of the worker, if that is not this program started again.
    pub(crate) fn program(&self) -> Option<&Arc<Path>> {
        self.program.as_ref()
    }

    /// The text of the worker's table of functions, if it has others than this program: it was refused for that.
    pub(crate) fn stranger_table(&self) -> Option<&[u8]> {
        self.socket.stranger_table()
    }

    /// Notes the worker's place in its pool, and its process, for those that listen to it.
    pub(crate) fn set_worker(&mut self, worker: usize, pid: u32) {
        self.log.set_worker(worker, pid);
    }

    /// The worker has ended, or is given up: nobody listens to it any more once what it has written is read.
    pub(crate) fn end_log(&mut self) {
        self.log.end();
    }

    /// The socket, to wait for.
    pub(crate) fn stream(&self) -> &Arc<UnixStream> {
        self.socket.stream()
    }

    /// Greets the worker: with the namespaces that it enters, the arena, its own memory, the standard output that it is to have, the file
    /// in which it notes system calls, and the files that it prints to.
    pub(crate) fn greet(
        &mut self,
        mut welcome: Welcome,
        arena: Option<&Arena>,
        memory: &WorkerMemory,
        namespaces: Option<&Namespaces>,
        [stdout, notes]: [Option<BorrowedFd<'_>>; 2],
        printed: Option<Files>,
    ) -> io::Result<()> {
        let mut descriptors: Vec<BorrowedFd<'_>> = namespaces.into_iter().flat_map(Namespaces::descriptors).collect();
        welcome.namespaces = namespaces.map_or(0, Namespaces::bits);
        if let (Some((arena, bytes)), Some(ring)) = (arena.and_then(Arena::memory), &memory.ring) {
            descriptors.extend([arena.as_fd(), ring.as_fd()]);
            welcome.arena_bytes = bytes as u64;
            welcome.has_own_arguments = memory.arguments.is_some();
            descriptors.extend(memory.arguments.iter().map(AsFd::as_fd));
        }
        welcome.has_stdout = stdout.is_some();
        descriptors.extend(stdout);
        descriptors.extend(printed.iter().flat_map(Files::descriptors));
        welcome.has_notes = notes.is_some();
        descriptors.extend(notes);
        self.is_in_sandbox = !welcome.sandbox.is_empty();
        self.socket.send_whole(&wire::welcome(&welcome), &descriptors)?;
        self.printed = printed;
        Ok(())
    }

    /// Asks a fork server for a worker, to which the other end of its channel goes. The server has answered all requests before.
    pub(crate) fn request_copy(&mut self, request: &CopyRequest, worker_end: BorrowedFd<'_>) -> io::Result<()> {
        self.socket.send_whole(&wire::copy(request), &[worker_end])
    }

    /// Returns the last output of the worker, if it does not print to the streams of this process. `name` names a function by its
    /// index.
    pub(crate) fn last_words(&self, name: impl FnOnce(u32) -> Option<&'static str>) -> Option<FinalOutput> {
        self.printed.as_ref().map(|files| files.last_words(name))
    }

    /// Gives the worker a chunk, of which it claims `claim_batch` tasks at a time (0: by its clock).
    pub(crate) fn assign(&mut self, chunk: &Chunk, claim_batch: u32) -> Result<(), ChannelError> {
        self.forget_unused()?;
        let copies = self.private.as_ref().map(|private| private.copies(chunk)).transpose()?;
        for (segment, runs) in self.memory.missing(chunk, copies.as_deref()) {
            self.socket.send_segment(segment, runs)?;
        }
        let (log, new) = self.log.word(chunk.log());
        if let Some(descriptor) = new {
            self.memory.count_message();
            self.socket.send_segment(Segment::log(descriptor), Vec::new())?;
        }
        let Some(ring) = &mut self.ring else {
            for grants in wire::grants(chunk.grants()) {
                self.socket.send(grants)?;
            }
            return self.socket.assign(chunk, log);
        };
        let is_asleep = ring.assign(chunk, copies, claim_batch, (self.memory.messages(), log));
        if is_asleep { self.socket.ring_bell() } else { Ok(()) }
    }

    /// Lets the worker let go of the memory that nobody holds any more.
    fn forget_unused(&mut self) -> Result<(), ChannelError> {
        for segment in self.memory.unused() {
            self.socket.send_forget(segment)?;
        }
        Ok(())
    }

    /// Takes back the last tasks that the worker has not claimed, `most` at most; returns how many.
    pub(crate) fn take_back(&mut self, most: u32) -> Result<u32, ChannelError> {
        match &mut self.ring {
            Some(ring) => Ok(ring.take_back(most)?),
            None => Ok(0),
        }
    }

    /// Recalls the tasks that the worker has claimed and not begun, where all that it has is claimed; returns how many if it could.
    /// Then the worker must be given nothing until results say that the recall is over.
    pub(crate) fn recall(&mut self) -> Result<Option<u32>, ChannelError> {
        match &mut self.ring {
            Some(ring) => Ok(ring.recall()?),
            None => Ok(None),
        }
    }

    /// How many tasks the worker has.
    pub(crate) fn load(&mut self) -> Result<Load, ChannelError> {
        match &mut self.ring {
            Some(ring) => {
                let (claimed, open) = ring.load()?;
                Ok(Load { claimed, open })
            }
            None => Ok(Load { claimed: self.socket.running(), open: 0 }),
        }
    }

    /// Asks the worker to begin no more tasks. Over the socket it answers with [`ChannelEvent::Returned`]; else what it has
    /// claimed gets results, which are empty where the task was not begun.
    pub(crate) fn revoke(&mut self) -> Result<(), ChannelError> {
        match &mut self.ring {
            Some(ring) => {
                ring.revoke();
                Ok(())
            }
            None => self.socket.send(wire::revoke()),
        }
    }

    /// Whether something waits for room in the socket.
    pub(crate) fn wants_write(&self) -> bool {
        self.socket.wants_write()
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn flush(&mut self) -> Result<(), ChannelError> {
        self.socket.flush()
    }

    /// Handles what the worker has sent, and returns how many bytes it was. Messages before a fault are taken in first.
    pub(crate) fn receive(
        &mut self,
        mut on_event: impl FnMut(ChannelEvent) -> Result<(), ChannelError>,
    ) -> Result<usize, ChannelError> {
        if self.ring.is_none() {
            let arrived = self.socket.receive(&mut on_event);
            self.log.note_results();
            return arrived;
        }
        // Results that stand there are taken also if the socket is closed.
        let arrived = if self.said_hello() {
            self.discard()
        } else {
            let arrived = self.socket.receive(&mut on_event);
            if self.said_hello() {
                self.socket.drop_inbox();
            }
            arrived
        };
        let taken = self.take(|taken| on_event(ChannelEvent::Results(taken)))?;
        arrived.map(|arrived| arrived + taken)
    }

    /// Reads what has come over the socket, of which the descriptors of outputs alone are kept.
    fn discard(&mut self) -> Result<usize, ChannelError> {
        let outputs = self.outputs.as_ref();
        self.socket.discard(&mut |descriptor| match outputs {
            Some(outputs) => outputs.add(descriptor),
            None => drop(descriptor),
        })
    }

    /// Lets results find the memory that they name, which was sent before they were published.
    fn attach_outputs(&mut self, taken: &mut ResultBatch) {
        if self.outputs.as_mut().is_some_and(OutputIntake::is_behind) {
            // An end of the channel is that of whoever reads it next: results that stand there are taken first.
            let _ = self.discard();
            self.outputs.iter().for_each(OutputIntake::publish);
        }
        let is_idle = self.ring.as_ref().is_some_and(ParentRing::is_idle);
        if let Some(outputs) = &mut self.outputs {
            outputs.attach(&mut taken.records, is_idle);
        }
    }

    /// Handles what a worker that has ended had sent before, as [`receive`](Self::receive) does.
    pub(crate) fn drain(&mut self, mut on_event: impl FnMut(ChannelEvent) -> Result<(), ChannelError>) {
        for _ in 0..DRAIN_ROUNDS_MAX {
            match self.receive(&mut on_event) {
                Ok(1..) => {}
                // The socket has ended, and what was finished may be taken in several rounds.
                Err(ChannelError::Closed) if self.has_results() => {}
                _ => return,
            }
        }
    }

    /// Returns whether the worker has said hello: its start has succeeded.
    pub(crate) fn said_hello(&self) -> bool {
        self.socket.said_hello()
    }

    /// Whether results are in the shared memory.
    pub(crate) fn has_results(&self) -> bool {
        self.ring.as_ref().is_some_and(ParentRing::has_results)
    }

    /// Takes the results that are in the shared memory, and returns how many bytes they are.
    pub(crate) fn take(
        &mut self,
        mut on_results: impl FnMut(ResultBatch) -> Result<(), ChannelError>,
    ) -> Result<usize, ChannelError> {
        let mut bytes = 0;
        while let Some(ring) = &mut self.ring
            && let Some((mut taken, must_wake)) = ring.take()?
        {
            if ring.messages_had() > self.socket.memory_messages() {
                return Err(Violation::new("it has finished tasks whose memory it has not been sent yet").into());
            }
            self.attach_outputs(&mut taken);
            bytes += taken.records.bytes_left() + 1;
            // A large output comes by itself, and what was finished behind it comes next.
            let goes_on = taken.records.is_direct();
            if !taken.is_empty() {
                self.log.note_results();
                on_results(taken)?;
            }
            self.forget_unused()?;
            if must_wake {
                self.socket.ring_bell()?;
            }
            if !goes_on {
                break;
            }
        }
        Ok(bytes)
    }

    /// Asks the worker to tell when half of the tasks that it has are claimed.
    pub(crate) fn notify_at_half(&mut self) -> Result<(), ChannelError> {
        match &mut self.ring {
            Some(ring) => Ok(ring.notify_at_half()?),
            None => Ok(()),
        }
    }

    /// Returns a number that changes when the worker gets on with its tasks. It does not look into the socket.
    pub(crate) fn progress_stamp(&self) -> u64 {
        match &self.ring {
            Some(ring) => ring.progress_stamp(),
            None => self.socket.progress_stamp(),
        }
    }

    /// Whether the worker has begun the first task that has no result.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun() > 0
    }

    /// How many tasks the worker has begun that have no result: no more than one, but where it folds their outputs.
    pub(crate) fn begun(&self) -> u32 {
        match &self.ring {
            Some(ring) => ring.begun(),
            None => u32::from(self.socket.has_begun()),
        }
    }

    /// What is counted of the worker's tasks: how long they have waited and taken, as the worker has written it or as it has come.
    pub(crate) fn times(&self) -> WorkerTimes {
        match &self.ring {
            Some(ring) => ring.times(),
            None => *self.socket.times(),
        }
    }

    /// When the task began that the worker is at, in nanoseconds of the clock that processes share: as the worker has written it, or as its
    /// message came. It says nothing where no task has begun.
    pub(crate) fn begun_nanos(&self) -> u64 {
        match &self.ring {
            Some(ring) => ring.begun_nanos(),
            None => self.socket.begun_nanos(),
        }
    }

    /// Returns what the worker has recorded about its running task, should it have ended in it.
    pub(crate) fn note(&self) -> Note {
        let note = match &self.ring {
            Some(ring) => {
                let (panic, crash, stack, denied_path) = (ring.note(), ring.crash(), ring.stack(), ring.denied_path());
                Note { panic, crash, stack, denied_path, is_in_sandbox: false }
            }
            None => self.socket.note(),
        };
        Note { is_in_sandbox: self.is_in_sandbox, ..note }
    }

    /// Informs the worker that nothing more will come, so that it exits once it has nothing to run.
    pub(crate) fn close_write(&self) {
        self.socket.close_write();
    }

    /// Shuts the channel down in both directions, at which a worker's watch thread ends its process; and has the worker begin
    /// nothing more.
    pub(crate) fn hang_up(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.hang_up();
        }
        self.socket.hang_up();
    }
}
