//! A worker's life: hello, then tasks, one after another, until the end of the stream.
//!
//! Two threads: tasks run on one with a stack of a known size, and the process's first thread watches the socket, so that
//! the parent's end is seen in the middle of a task too.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::{current, panic};
use crate::registry::{self, Reply, TaskCall};
use crate::sys::{self, Wait, Watch};
use crate::transport::{Fault, WorkerEnd};
use crate::wire::{self, ChunkHeader, Greeting, OVERHEAD_BYTES, Status, TaskFrames, ToWorker, Violation, Welcome};

/// How a worker exits that its parent, or the protocol, failed.
const EXIT_FAILED: i32 = 70;

/// Serves as a worker of `parent`, and ends the process.
pub(crate) fn run(parent: u32) -> ! {
    match enter(parent) {
        Ok(socket) => watch(&socket),
        Err(error) => {
            // Nobody is left to tell when the parent is gone, and a Ctrl-C is no reason to print.
            if error.kind() != io::ErrorKind::UnexpectedEof && !sys::is_hung_up(&error) {
                eprintln!("poolmap: a worker could not start: {error}");
            }
            std::process::exit(EXIT_FAILED)
        }
    }
}

/// Becomes a worker and starts the task thread; the socket is to be watched.
fn enter(parent: u32) -> io::Result<UnixStream> {
    let mut end = WorkerEnd::new(sys::become_worker(parent)?);
    let stdout = end.receive_greeting()?;
    let welcome = match end.receive(|message| match message {
        ToWorker::Welcome(welcome) => Some(welcome),
        _ => None,
    }) {
        Ok(Some(Some(welcome))) => welcome,
        _ => return Err(io::Error::other("the parent did not greet")),
    };
    if let Some(stdout) = stdout {
        sys::replace_stdout(&stdout)?;
    }
    let limit = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    end.set_frame_bytes_max(limit(welcome.frame_bytes_max));
    let socket = end.stream()?;
    let sender = Arc::new(Sender {
        stream: Mutex::new(end.stream()?),
        owner: std::process::id(),
        frame_bytes_max: limit(welcome.frame_bytes_max),
    });
    current::set_worker(limit(welcome.index), parent);
    std::thread::Builder::new().name("poolmap-task".to_owned()).stack_size(limit(welcome.stack_bytes)).spawn(
        move || {
            let code = match Server::new(end, sender).serve(&welcome) {
                Ok(()) => 0,
                Err(_) => EXIT_FAILED,
            };
            std::process::exit(code)
        },
    )?;
    Ok(socket)
}

/// Waits until the parent has closed the channel, and then ends this process and what its task started. Where the kernel ends
/// a worker with its parent, it does so before, and what a task started goes on.
fn watch(socket: &UnixStream) -> ! {
    loop {
        let mut watches = [Watch::hang_up(socket.as_fd())];
        let polled = sys::poll(&mut watches, None);
        if polled.is_err() || watches[0].ready {
            sys::kill_own_group();
        }
    }
}

/// The socket to send on; the panic hook has it too.
pub(super) struct Sender {
    stream: Mutex<UnixStream>,
    /// The worker. A task may fork, and both processes come back from it: the channel belongs to one of them.
    owner: u32,
    frame_bytes_max: usize,
}

impl Sender {
    /// Sends a whole frame. It waits for the parent alone.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        if std::process::id() != self.owner {
            sys::exit_fork();
        }
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = frame;
        while !left.is_empty() {
            let sent = sys::send(&stream, left, Wait::Yes)?;
            left = &left[sent..];
        }
        Ok(())
    }

    pub(super) fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max
    }
}

/// A chunk that has arrived and waits for its turn.
struct WaitingChunk {
    header: ChunkHeader,
    tasks: Vec<u8>,
}

struct Server {
    end: WorkerEnd,
    sender: Arc<Sender>,
    waiting: VecDeque<WaitingChunk>,
    /// The parent has asked for no more tasks to be begun, and has no answer yet.
    revoked: bool,
    reply: Vec<u8>,
}

impl Server {
    fn new(end: WorkerEnd, sender: Arc<Sender>) -> Self {
        Self { end, sender, waiting: VecDeque::new(), revoked: false, reply: Vec::new() }
    }

    fn serve(&mut self, welcome: &Welcome) -> Result<(), Fault> {
        let greeting = Greeting::new(registry::fingerprint());
        self.send(&wire::hello(greeting))?;
        if welcome.greeting != greeting {
            return Err(Violation::new("the parent is another program").into());
        }
        panic::install_hook(Arc::clone(&self.sender));
        while self.wait()? {
            while let Some(chunk) = self.waiting.pop_front() {
                self.run_chunk(&chunk)?;
            }
            if self.revoked {
                self.revoked = false;
                self.send(&wire::returned())?;
            }
        }
        Ok(())
    }

    /// Waits for a message and takes it in; false at the end of the stream.
    fn wait(&mut self) -> Result<bool, Fault> {
        let Self { end, waiting, revoked, .. } = self;
        match end.receive(|message| take_in(message, waiting, revoked))? {
            Some(taken) => taken.map(|()| true),
            None => Ok(false),
        }
    }

    /// Takes in what has arrived, without waiting.
    fn poll(&mut self) -> Result<(), Fault> {
        while self.end.poll()? {
            self.wait()?;
        }
        Ok(())
    }

    fn run_chunk(&mut self, chunk: &WaitingChunk) -> Result<(), Fault> {
        self.send(&wire::begun(chunk.header.id))?;
        let mut tasks = TaskFrames::of(&chunk.tasks);
        for position in 0..chunk.header.count {
            if position > 0 || !self.waiting.is_empty() {
                self.poll()?;
            }
            if self.revoked {
                self.waiting.clear();
                return Ok(());
            }
            self.run_task(&chunk.header, position, tasks.next()?)?;
        }
        Ok(())
    }

    fn run_task(&mut self, chunk: &ChunkHeader, position: u32, arguments: &[u8]) -> Result<(), Fault> {
        let function =
            registry::function(chunk.function).ok_or_else(|| Violation::new("a chunk names no worker function"))?;
        let mut reply = std::mem::take(&mut self.reply);
        wire::reply_begin(&mut reply, chunk.id, position);
        let bytes_max = self.sender.frame_bytes_max() - OVERHEAD_BYTES;
        current::set_attempt(chunk.attempt);
        let started = Instant::now();
        let caught = panic::catch(|| {
            let mut call = TaskCall::new(arguments, &mut reply, bytes_max);
            TaskCall::reply(function.run(&mut call))
        });
        let elapsed = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        current::set_attempt(0);
        match caught {
            Ok(Reply::Output) => wire::reply_end(&mut reply, Status::Output, elapsed, None),
            Ok(Reply::Failure) => wire::reply_end(&mut reply, Status::Failure, elapsed, None),
            Ok(Reply::Encode(error)) => {
                wire::reply_end(&mut reply, Status::Encode, elapsed, Some(error.message()));
            }
            Ok(Reply::Decode(error)) => {
                wire::reply_end(&mut reply, Status::Decode, elapsed, Some(error.message()));
            }
            Err(note) => {
                wire::reply_begin(&mut reply, chunk.id, position);
                note.encode(&mut reply, bytes_max);
                wire::reply_end(&mut reply, Status::Panic, elapsed, None);
            }
        }
        // What the task printed stands before its result.
        let _ = io::stdout().flush();
        let sent = self.send(&reply);
        reply.shrink_to(KEPT_BYTES_MAX);
        self.reply = reply;
        sent
    }

    fn send(&self, frame: &[u8]) -> Result<(), Fault> {
        self.sender.send(frame).map_err(|_| Fault::Closed)
    }
}

/// A reply's buffer that has grown larger is given back.
const KEPT_BYTES_MAX: usize = 1 << 20;

fn take_in(message: ToWorker<'_>, waiting: &mut VecDeque<WaitingChunk>, revoked: &mut bool) -> Result<(), Fault> {
    match message {
        ToWorker::Chunk(header, tasks) => waiting.push_back(WaitingChunk { header, tasks: tasks.rest().to_vec() }),
        ToWorker::Revoke => {
            waiting.clear();
            *revoked = true;
        }
        ToWorker::Welcome(_) => return Err(Violation::new("a second welcome").into()),
    }
    Ok(())
}
