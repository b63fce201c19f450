//! Tasks that come over the socket, in chunks. The worker tells that it begins a task right before it does, and each result goes back
//! before the next task begins: so whatever moment the worker dies at, its parent knows which task was running, if one was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::panic::{self, PanicReporter, PrintedPanics};
use super::run::{note_task, run_tasks};
use super::sandbox::Entrance;
use super::seed;
use super::segments;
use crate::codec::{Encoder, Sink};
use crate::failpoints::{self, Point};
use crate::functions::{Flush, TaskCall};
use crate::output;
use crate::shared::{self, SegmentHead};
use crate::sys::{self, FromParent, TaskLimits};
use crate::trace;
use crate::transport::{ChannelError, FrameSender, WorkerSocket};
use crate::wire::{
    self, ChunkHeader, CopyRequest, Finished, OversizedResult, Status, TaskFrames, TaskProgress, TimesWords, ToWorker,
    Violation,
};

/// Between tasks that are shorter than this it is not looked after each whether something has come: that takes a system call.
const LOOK_AFTER: Duration = Duration::from_micros(20);

/// Serves until the end of the stream.
pub(super) fn serve(
    end: WorkerSocket,
    sender: Arc<FrameSender>,
    bytes_max: usize,
    limits: TaskLimits,
    mut entrance: Option<Entrance>,
) -> Result<(), ChannelError> {
    let mut server = SocketServer::new(end, sender, bytes_max, limits, PrintedPanics::OfOtherThreads);
    while server.wait()? {
        while let Some(chunk) = server.inbox.waiting.pop_front() {
            server.run_chunk(&chunk)?;
            if let Some(entrance) = entrance.take() {
                entrance.enter()?;
            }
        }
        failpoints::reached(Point::Idle);
        if server.inbox.revoked {
            server.inbox.revoked = false;
            server.sender.send(&wire::returned())?;
        }
    }
    Ok(())
}

/// Runs the one call of a process, and tells what it gave.
pub(super) fn serve_one(
    end: WorkerSocket,
    sender: Arc<FrameSender>,
    bytes_max: usize,
    limits: TaskLimits,
) -> Result<Status, ChannelError> {
    let mut server = SocketServer::new(end, sender, bytes_max, limits, PrintedPanics::All);
    while server.wait()? {
        if let Some(chunk) = server.inbox.waiting.pop_front() {
            server.sender.send(&wire::begun(chunk.header.id))?;
            server.begin_grants(&chunk)?;
            // The frame of a crash must not stand inside of another: while this one is sent, no task is recorded as running.
            let SocketServer { sender, running, .. } = &server;
            let (sender, running) = (Arc::clone(sender), Arc::clone(running));
            let tell = || {
                let task = running.swap(0, Ordering::SeqCst);
                // An error means that the parent is gone, which holds nothing any more.
                let _ = sender.send(&wire::decoded(chunk.header.id));
                running.store(task, Ordering::SeqCst);
            };
            return server.run_task(&chunk.header, 0, &chunk.tasks, Some(&tell)).map(|(_, status)| status);
        }
    }
    Err(ChannelError::Closed)
}

/// A chunk that has arrived and waits for its turn.
struct WaitingChunk {
    header: ChunkHeader,
    tasks: Vec<u8>,
    /// The grants of its tasks, and the number of messages about memory that came before it.
    grants: Vec<u8>,
    messages: u64,
}

/// The messages that have come.
#[derive(Default)]
struct Inbox {
    waiting: VecDeque<WaitingChunk>,
    /// The workers that a fork server is to make.
    copies: VecDeque<CopyRequest>,
    /// The parent has asked for no more tasks to be begun, and has no answer yet.
    revoked: bool,
    /// The grants of the next chunk's tasks.
    grants: Vec<u8>,
    /// How many messages about memory have come.
    messages: u64,
}

pub(super) struct SocketServer {
    end: WorkerSocket,
    sender: Arc<FrameSender>,
    inbox: Inbox,
    /// When it was looked last whether something has come.
    looked: Instant,
    bytes_max: usize,
    /// How many tasks were begun.
    tasks: u64,
    /// The number of the running task; 0 while none is.
    running: Arc<AtomicU64>,
    /// How the output of tasks is written out.
    flush: Flush,
    /// The chunk that is run grants its tasks something.
    has_grants: bool,
}

impl SocketServer {
    fn new(
        end: WorkerSocket,
        sender: Arc<FrameSender>,
        bytes_max: usize,
        limits: TaskLimits,
        printed: PrintedPanics,
    ) -> Self {
        panic::install_hook(PanicReporter::Socket(Arc::clone(&sender), bytes_max), printed);
        let server = Self::without_notes(end, sender, bytes_max);
        if let Ok(pad) = server.end.crash_slot(&server.running, bytes_max) {
            sys::install_crash_handlers(pad, limits);
        }
        server
    }

    /// One that leaves no word of panics and crashes.
    pub(super) fn without_notes(end: WorkerSocket, sender: Arc<FrameSender>, bytes_max: usize) -> Self {
        let running = Arc::new(AtomicU64::new(0));
        let flush = if output::is_kept() { Flush::Kept } else { Flush::EachTask };
        let (inbox, looked) = (Inbox::default(), Instant::now());
        Self { end, sender, inbox, looked, bytes_max, tasks: 0, running, flush, has_grants: false }
    }

    /// Waits for a message and takes it in; false at the end of the stream.
    pub(super) fn wait(&mut self) -> Result<bool, ChannelError> {
        failpoints::reached(Point::Parked);
        let Self { end, inbox, .. } = self;
        let Some(taken) = end.receive(|message| handle_message(message, inbox))? else {
            return Ok(false);
        };
        failpoints::reached(Point::Woken);
        self.looked = Instant::now();
        if let Some(head) = taken? {
            segments::add(end, &head, inbox.messages)?;
        }
        Ok(true)
    }

    /// Takes a request for a copy that has come, and the copy's channel.
    pub(super) fn take_copy(&mut self) -> Result<Option<(CopyRequest, FromParent)>, ChannelError> {
        let Some(request) = self.inbox.copies.pop_front() else {
            return Ok(None);
        };
        let channel = self.end.descriptor();
        Ok(Some((request, channel.ok_or_else(|| Violation::new("a request for a copy has no channel"))?)))
    }

    /// Runs the first task of a chunk that has come; returns whether one had.
    pub(super) fn run_first(&mut self) -> Result<bool, ChannelError> {
        let Some(chunk) = self.inbox.waiting.pop_front() else {
            return Ok(false);
        };
        self.sender.send(&wire::begun(chunk.header.id))?;
        self.begin_grants(&chunk)?;
        self.run_task(&chunk.header, 0, &chunk.tasks, None)?;
        self.end_grants(&chunk);
        Ok(true)
    }

    /// Handles what has arrived, without waiting.
    fn poll(&mut self) -> Result<(), ChannelError> {
        while self.end.poll()? {
            self.wait()?;
        }
        Ok(())
    }

    /// Records what the tasks of a chunk are granted, in the place of what those of the one before were.
    fn begin_grants(&mut self, chunk: &WaitingChunk) -> Result<(), ChannelError> {
        self.has_grants = !chunk.grants.is_empty();
        if !shared::begin_grants(&chunk.grants, chunk.messages) {
            return Err(Violation::new("what a chunk's tasks are granted is something else").into());
        }
        Ok(())
    }

    /// Gives that up.
    fn end_grants(&mut self, chunk: &WaitingChunk) {
        if std::mem::take(&mut self.has_grants) {
            shared::end_grants(chunk.messages);
        }
    }

    fn run_chunk(&mut self, chunk: &WaitingChunk) -> Result<(), ChannelError> {
        self.begin_grants(chunk)?;
        let run = self.run_tasks(chunk);
        self.end_grants(chunk);
        run
    }

    fn run_tasks(&mut self, chunk: &WaitingChunk) -> Result<(), ChannelError> {
        failpoints::reached(Point::BeforeClaim);
        let begun = wire::begun(chunk.header.id);
        let mut at = 0;
        for position in 0..chunk.header.count {
            if self.looked.elapsed() >= LOOK_AFTER {
                self.poll()?;
                self.looked = Instant::now();
            }
            if self.inbox.revoked {
                self.inbox.waiting.clear();
                return Ok(());
            }
            failpoints::reached(Point::Claimed);
            self.sender.send(&begun)?;
            at += self.run_task(&chunk.header, position, &chunk.tasks[at..], None)?.0;
        }
        Ok(())
    }

    /// Runs the first of some tasks; returns how many bytes it has, and what its result is. `on_decoded` is called when it has its
    /// arguments.
    fn run_task(
        &mut self,
        chunk: &ChunkHeader,
        position: u32,
        tasks: &[u8],
        on_decoded: Option<&dyn Fn()>,
    ) -> Result<(usize, Status), ChannelError> {
        // How far a task has come is reported by messages here.
        let [begun, begun_nanos, finished, revoked] = [const { AtomicU64::new(0) }; 4];
        let (begun, begun_nanos, finished, revoked) = (&begun, &begun_nanos, &finished, &revoked);
        let progress =
            TaskProgress { begun, begun_nanos, finished, revoked, times: TimesWords::NONE, count: Finished::default() };
        let started = Instant::now();
        // Without room, the result is given back.
        let mut result = Vec::new();
        let results = Encoder::new(Sink::behind(&mut result), self.bytes_max);
        let mut call = TaskCall::new(TaskFrames::of(tasks), 1, results, progress, self.flush)
            .with_shared(chunk.shared)
            .on_decoded(on_decoded);
        if self.has_grants {
            call = call.with_grants();
        }
        seed::set_tasks(chunk.seed, chunk.first_index + u64::from(position), 0);
        trace::set_tasks(chunk.log);
        self.tasks += 1;
        self.running.store(self.tasks, Ordering::SeqCst);
        if self.flush == Flush::Kept {
            note_task(chunk.function, chunk.first_index + u64::from(position));
        }
        run_tasks(chunk.function, chunk.attempt, &mut call)?;
        self.running.store(0, Ordering::SeqCst);
        let elapsed = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let run = call.into_run(tasks.len())?;
        let given = run.oversized.ok_or_else(|| Violation::new("a task gave nothing"))?;
        let OversizedResult { status, bytes: result, .. } = *given;
        failpoints::reached(Point::Uncounted);
        // A large result stands here once while its frame is made, and not beside each step.
        let record = wire::record(status, &result);
        drop(result);
        let reply = wire::reply(chunk.id, position, elapsed, &record);
        drop(record);
        self.sender.send(&reply)?;
        failpoints::reached(Point::Finished);
        Ok((run.taken, status))
    }
}

/// Handles a message; what is given back tells of memory that has come.
fn handle_message(message: ToWorker<'_>, inbox: &mut Inbox) -> Result<Option<SegmentHead>, ChannelError> {
    let Inbox { waiting, copies, revoked, grants, messages } = inbox;
    match message {
        ToWorker::Chunk(header, tasks) => {
            let (grants, tasks) = (std::mem::take(grants), tasks.rest().to_vec());
            waiting.push_back(WaitingChunk { header, tasks, grants, messages: *messages });
        }
        ToWorker::Revoke => {
            waiting.clear();
            shared::end_leases(*messages);
            *revoked = true;
        }
        ToWorker::Segment(head) => {
            *messages += 1;
            return Ok(Some(head));
        }
        ToWorker::Grants(more) => grants.extend_from_slice(more),
        ToWorker::Copy(request) => copies.push_back(request),
        ToWorker::Forget(id) => segments::forget(id),
        _ => return Err(Violation::new("a message of the other channel").into()),
    }
    Ok(None)
}
