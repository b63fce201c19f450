//! A worker's life: hello, then tasks, one after another, until the end of the stream; or one call, and the end.
//!
//! Two threads: tasks run on one with a stack of a known size, and the process's first thread watches the socket, so that
//! the parent's end is seen in the middle of a task too, by what ends with its parent.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::time::Duration;

use super::welcome::{be_welcomed, say_hello};
use super::{current, fork_server, ring_server, socket_server};
use crate::failpoints::{self, Point};
use crate::functions;
use crate::output::{self, Files};
use crate::shared;
use crate::sys::{self, FileIdentity, Folder, FromParent, SocketToParent, TaskLimits, Watch};
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
    let entered = if role == Role::Server {
        fork_server::serve(parent, folder, waiting_threads, leave).and_then(|channel| {
            sys::watch_crashes();
            enter(channel, parent, Making::Copied, Role::Worker, leave)
        })
    } else {
        sys::watch_crashes();
        sys::become_worker(parent, role, folder)
            .and_then(|channel| enter(channel, parent, Making::Executed, role, leave))
    };
    match entered {
        Ok(channel) if role.ends_with_parent() => channel.watch(parent),
        Ok(_) => loop {
            std::thread::park();
        },
        Err(error) => {
            // Nobody is left to tell when the parent is gone, and a Ctrl-C is no reason to print.
            if error.kind() != io::ErrorKind::UnexpectedEof && !sys::is_hung_up(&error) {
                tell(&format!("a worker could not start: {}", sys::explained(&error)));
            }
            std::process::exit(EXIT_FAILED)
        }
    }
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

/// Starts the task thread of a worker; the channel is to be watched.
fn enter(channel: SocketToParent, parent: u32, making: Making, role: Role, leave: fn()) -> io::Result<Channel> {
    let mut end = WorkerSocket::new(channel);
    let welcome = be_welcomed(&mut end)?;
    let mut descriptor = || end.descriptor().ok_or_else(|| io::Error::other("the parent sent no descriptor"));
    let shared = if welcome.arena_bytes > 0 { Some((descriptor()?, descriptor()?)) } else { None };
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
    let limit = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    end.set_frame_bytes_max(limit(welcome.frame_bytes_max));
    // The memory stays mapped; without a descriptor no task can write to it by mistake.
    let ring = match shared {
        Some((arena, own)) => Some(WorkerRing::new(&arena, limit(welcome.arena_bytes), own)?),
        None => None,
    };
    let socket = end.stream()?;
    let channel = Channel { identity: sys::identity(&socket).ok(), socket };
    current::set_worker(limit(welcome.index), parent);
    if role == Role::Worker {
        sys::keep_freed_memory();
    }
    let memory = match welcome.memory_bytes {
        0 => None,
        bytes => {
            let held = if making == Making::Copied { sys::taken_bytes().unwrap_or(0) } else { 0 };
            Some(sys::limit_memory(bytes, held, welcome.stack_bytes)?)
        }
    };
    let limits = TaskLimits { stack_bytes: welcome.stack_bytes, memory };
    std::thread::Builder::new().name("poolmap-task".to_owned()).stack_size(limit(welcome.stack_bytes)).spawn(
        move || {
            let code = serve(end, ring, &welcome, limits, role).unwrap_or_else(|fault| {
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
        },
    )?;
    Ok(channel)
}

/// Says hello and serves; returns the exit code.
fn serve(
    mut end: WorkerSocket,
    ring: Option<WorkerRing>,
    welcome: &Welcome,
    limits: TaskLimits,
    role: Role,
) -> Result<i32, ChannelError> {
    let sender = end.sender(role)?;
    failpoints::reached(Point::BeforeHello);
    if !say_hello(&mut end, &sender, welcome)? {
        return Ok(EXIT_FAILED);
    }
    failpoints::reached(Point::AfterHello);
    shared::write_by_value();
    let bytes_max = usize::try_from(welcome.frame_bytes_max).unwrap_or(usize::MAX) - OVERHEAD_BYTES;
    match (role, ring) {
        (Role::Worker, Some(ring)) => {
            ring_server::serve(end, ring, bytes_max, limits, welcome.copies_outputs).map(|()| 0)
        }
        (Role::Worker, None) => socket_server::serve(end, sender, bytes_max, limits).map(|()| 0),
        (Role::Daemon | Role::Plain | Role::Server, _) => {
            socket_server::serve_one(end, sender, bytes_max, limits).map(exit_code)
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
            let mut watches = [Watch::hang_up(socket.as_fd())];
            let polled = sys::poll(&mut watches, interval);
            let is_channel = sys::identity(socket).ok() == *identity;
            let has_hung_up = is_channel && (polled.is_err() || watches[0].ready);
            if has_hung_up || (is_child && parent_id() != parent) {
                sys::kill_own_group();
            }
            if !is_channel {
                std::thread::sleep(PARENT_INTERVAL);
            }
        }
    }
}
