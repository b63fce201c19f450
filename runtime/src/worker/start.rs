//! A worker's life: hello, then tasks, one after another, until the end of the stream; or one call, and the end.
//!
//! Two threads: tasks run on one with a stack of a known size, and another watches the socket, so that the parent's end is seen in the
//! middle of a task too, by what ends with its parent. In a process that was executed the first thread watches. In a copy of a fork server
//! the first thread is the one for tasks, as it was in the server, and another is made once the worker has said hello.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::time::Duration;

use super::ring_server::OutputMemory;
use super::sandbox::Entrance;
use super::welcome::{be_welcomed, say_hello};
use super::{current, fork_server, ring_server, sandbox, socket_server};
use crate::failpoints::{self, Point};
use crate::functions;
use crate::output::{self, Files};
use crate::shared;
use crate::sys::{self, FileIdentity, Folder, FromParent, Namespaces, SocketToParent, TaskLimits};
use crate::task::{EXIT_FAILED, Output, Role};
use crate::transport::{ChannelError, WorkerRing, WorkerSocket};
use crate::wire::{OVERHEAD_BYTES, Status, Welcome};

/// Where the kernel does not end a worker with its parent, or a task has closed its channel, the worker looks this often whether the
/// parent is there.
const PARENT_INTERVAL: Duration = Duration::from_millis(250);

/// How a process exits whose one call has panicked, as a program does whose `main` has.
const EXIT_PANICKED: i32 = 101;
/// How it exits if the call has given no output for another reason.
const EXIT_NO_OUTPUT: i32 = 1;

/// Serves as a worker of `parent`, and ends the process. One that runs one call runs `leave` behind it.
pub(crate) fn run(parent: u32, role: Role, folder: Folder, waiting_threads: usize, leave: fn()) -> ! {
    failpoints::reached(Point::Entered);
    if role == Role::Server {
        let error = fork_server::serve(parent, folder, waiting_threads, leave, run_copy);
        give_up(&error);
    }
    sys::watch_crashes();
    let entered = sys::become_worker(parent, role, folder)
        .and_then(|channel| prepare(channel, parent, Making::Executed, role))
        .and_then(|(worker, channel)| worker.start_task_thread(leave).map(|()| channel));
    match entered {
        Ok(channel) if role.ends_with_parent() => channel.watch(parent),
        Ok(_) => loop {
            std::thread::park();
        },
        Err(error) => give_up(&error),
    }
}

/// Serves as the worker of `parent` in a copy of its fork server, on the thread that was copied.
fn run_copy(channel: io::Result<SocketToParent>, parent: u32, leave: fn()) -> ! {
    let prepared = channel.and_then(|channel| {
        sys::watch_crashes();
        prepare(channel, parent, Making::Copied, Role::Worker)
    });
    match prepared {
        Ok((worker, channel)) => worker.run(Some((channel, parent)), leave),
        Err(error) => give_up(&error),
    }
}

/// Ends a process that could not start.
fn give_up(error: &io::Error) -> ! {
    // Nobody is left to tell when the parent is gone, and a Ctrl-C is no reason to print.
    if error.kind() != io::ErrorKind::UnexpectedEof && !sys::is_hung_up(error) {
        tell(&format!("a worker could not start: {}", sys::explained(error)));
    }
    std::process::exit(EXIT_FAILED)
}

/// Prints why this process ends, for which its parent looks to its standard error.
fn tell(why: &str) {
    // At once, as others write there too. There may be no standard error, which is no reason to panic.
    let _ = io::stderr().write_all(format!("poolmap: {why}\n").as_bytes());
}

/// The channel, as the thread that watches it knows it. A task may close the descriptor, and open something else in its place.
struct Channel {
    socket: UnixStream,
    /// Learnt before a task can run; none where the system does not report it.
    identity: Option<FileIdentity>,
}

/// How a worker came to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Making {
    /// From the program's file.
    Executed,
    /// By a fork server: it has that one's memory.
    Copied,
}

/// A worker that was greeted, and has not said hello.
struct GreetedWorker {
    end: WorkerSocket,
    ring: Option<WorkerRing>,
    welcome: Welcome,
    limits: TaskLimits,
    role: Role,
    /// Where its sandbox notes system calls.
    notes: Option<OwnedFd>,
    /// The namespaces that it enters with its sandbox.
    namespaces: Namespaces,
}

/// Makes this process the worker that its parent wants; the channel is to be watched.
fn prepare(channel: SocketToParent, parent: u32, making: Making, role: Role) -> io::Result<(GreetedWorker, Channel)> {
    let mut end = WorkerSocket::new(channel);
    let welcome = be_welcomed(&mut end)?;
    let mut descriptor = || end.descriptor().ok_or_else(|| io::Error::other("the parent sent no descriptor"));
    let namespaces = Namespaces::take(welcome.namespaces, || descriptor().ok().map(FromParent::into_descriptor))
        .ok_or_else(|| io::Error::other("the parent sent no descriptor"))?;
    // Before there is another thread.
    sandbox::prepare_to_enter(&namespaces)?;
    let shared = if welcome.arena_bytes > 0 { Some((descriptor()?, descriptor()?)) } else { None };
    let arguments = if welcome.has_own_arguments { Some(descriptor()?) } else { None };
    if welcome.has_stdout {
        sys::replace_stdout(&descriptor()?.into_descriptor())?;
    }
    if welcome.copies_outputs {
        output::set_node(sys::host_name());
    }
    if welcome.output != Output::Inherited {
        let files = [descriptor()?, descriptor()?, descriptor()?].map(FromParent::into_descriptor);
        output::start(Files::from_descriptors(welcome.output, files))?;
    }
    let notes = if welcome.has_notes { Some(descriptor()?.into_descriptor()) } else { None };
    let limit = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    end.set_frame_bytes_max(limit(welcome.frame_bytes_max));
    // The memory stays mapped; without a descriptor no task can write to it by mistake.
    let ring = match shared {
        Some((arena, own)) => Some(WorkerRing::new(&arena, limit(welcome.arena_bytes), own, arguments.as_ref())?),
        None => None,
    };
    let socket = end.stream()?;
    let channel = Channel { identity: sys::identity(&socket).ok(), socket };
    current::set_worker(limit(welcome.index), parent);
    if role == Role::Worker {
        sys::keep_freed_memory();
    }
    let memory = match (welcome.memory_bytes, making) {
        (0, _) => None,
        (bytes, Making::Executed) => Some(sys::limit_memory(bytes, 0, welcome.stack_bytes)?),
        (bytes, Making::Copied) => {
            // It has the stack of its tasks already, which counts.
            let held = sys::taken_bytes().unwrap_or(0).saturating_sub(welcome.stack_bytes);
            Some(sys::limit_memory(bytes, held, 0)?)
        }
    };
    let limits = TaskLimits { stack_bytes: welcome.stack_bytes, memory };
    Ok((GreetedWorker { end, ring, welcome, limits, role, notes, namespaces }, channel))
}

impl GreetedWorker {
    /// Runs in a thread of its own, whose stack has the size that its parent wants.
    fn start_task_thread(self, leave: fn()) -> io::Result<()> {
        let stack_bytes = usize::try_from(self.welcome.stack_bytes).unwrap_or(usize::MAX);
        let thread = std::thread::Builder::new().name(sys::TASK_THREAD_NAME.to_owned()).stack_size(stack_bytes);
        thread.spawn(move || self.run(None, leave)).map(drop)
    }

    /// Serves on this thread, and ends the process. A channel that is given here is watched by another thread.
    fn run(self, unwatched: Option<(Channel, u32)>, leave: fn()) -> ! {
        let role = self.role;
        let code = self.serve(unwatched).unwrap_or_else(|fault| {
            match fault {
                // Nobody is left to tell.
                ChannelError::Closed => {}
                ChannelError::Broken(why) => tell(&format!("a worker could not go on: {why}")),
                ChannelError::Violation(what) => tell(&format!("a worker could not go on: {}", what.0)),
            }
            EXIT_FAILED
        });
        shared::forget_kept();
        functions::forget_states();
        if role != Role::Worker {
            leave();
        }
        failpoints::reached(Point::Closing);
        std::process::exit(code)
    }

    /// Says hello and serves; returns the exit code.
    fn serve(self, unwatched: Option<(Channel, u32)>) -> Result<i32, ChannelError> {
        let Self { mut end, ring, welcome, limits, role, notes, namespaces } = self;
        let sender = end.sender(role)?;
        failpoints::reached(Point::BeforeHello);
        let mut unwatched = unwatched;
        if let Some((channel, parent)) = unwatched.take_if(|_| !welcome.sandbox.is_empty()) {
            // In a sandbox no thread can be started.
            channel.watch_in_thread(parent)?;
        }
        let entrance = Entrance::of(&welcome, notes, namespaces)?;
        if !say_hello(&mut end, &sender, &welcome)? {
            return Ok(EXIT_FAILED);
        }
        failpoints::reached(Point::AfterHello);
        if let Some((channel, parent)) = unwatched {
            channel.watch_in_thread(parent)?;
        }
        shared::write_by_value();
        let bytes_max = usize::try_from(welcome.frame_bytes_max).unwrap_or(usize::MAX) - OVERHEAD_BYTES;
        let outputs = if welcome.copies_outputs || !welcome.sandbox.is_empty() {
            OutputMemory::Copied
        } else {
            OutputMemory::Sent
        };
        match (role, ring) {
            (Role::Worker, Some(ring)) => {
                ring_server::serve(end, ring, bytes_max, limits, outputs, entrance).map(|()| 0)
            }
            (Role::Worker, None) => socket_server::serve(end, sender, bytes_max, limits, entrance).map(|()| 0),
            (Role::Daemon | Role::Plain | Role::Server, _) => {
                socket_server::serve_one(end, sender, bytes_max, limits).map(exit_code)
            }
        }
    }
}

/// How a process exits whose one call has given this.
fn exit_code(status: Status) -> i32 {
    match status {
        Status::Output => 0,
        Status::Panic => EXIT_PANICKED,
        Status::Failure | Status::Encode | Status::Decode | Status::NotRun => EXIT_NO_OUTPUT,
    }
}

impl Channel {
    /// Watches in a thread of its own: see [`watch`](Self::watch).
    fn watch_in_thread(self, parent: u32) -> Result<(), ChannelError> {
        let watch = move || {
            sys::answer_confinement();
            self.watch(parent)
        };
        sys::start_bare_thread(watch).map_err(|error| ChannelError::Broken(sys::explained(&error)))
    }

    /// Waits until the parent has closed the channel, and then ends this process and what its task started. Where the kernel ends
    /// a worker with its parent, it does so before, and what a task started goes on.
    ///
    /// The parent's end of the channel may be held open when the parent has ended: by what was forked from it. So where the kernel does
    /// not end the worker, the worker looks whose child it is.
    ///
    /// A task may close the descriptor before this thread polls it, or while a signal interrupts the poll. That is no end of the parent:
    /// the results of the task are still in the memory, and what is left to watch is whose child this is.
    fn watch(&self, parent: u32) -> ! {
        let Self { socket, identity } = self;
        let is_child = parent_id() == parent;
        let interval = (is_child && cfg!(not(poolmap_linux))).then_some(PARENT_INTERVAL);
        loop {
            let hung_up = sys::wait_for_hang_up(socket.as_fd(), interval);
            let is_channel = sys::identity(socket).ok() == *identity;
            let has_hung_up = is_channel && hung_up.unwrap_or(true);
            if has_hung_up || (is_child && parent_id() != parent) {
                sys::kill_own_group();
            }
            if !is_channel {
                std::thread::sleep(PARENT_INTERVAL);
            }
        }
    }
}
