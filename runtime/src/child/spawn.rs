//! The start of one process of this program, with the channel to it. It does not know when to start one.

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use super::kill::{await_killed, kill};
use super::program::{EntryPoint, MARKER, Marker, depth, own_program};
use crate::error::{Error, Result};
use crate::functions;
use crate::output::Files;
use crate::sys::{self, ChildProcess, Folder, Group, LazyNamespaces, Spawn, Stdout, Surroundings};
use crate::task::{Output, Role};
use crate::transport::{Arena, ParentChannel, WorkerMemory};
use crate::wire::{Greeting, Welcome};

/// The stack size of a program's first thread on most systems.
pub(crate) const STACK_BYTES: usize = 8 << 20;

/// The memory that a worker of a small program takes beside the stack of its tasks, and twice as much to work with.
const MEMORY_BYTES_MIN: u64 = 8 << 20;

/// The options that a process is started with: the same for all workers of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) role: Role,
    pub(crate) frame_bytes_max: usize,
    pub(crate) stack_bytes: usize,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) output: Output,
    /// Whether outputs in memory of their own are written as what they are.
    pub(crate) copies_outputs: bool,
    /// What it adds to the nice value of this process.
    pub(crate) nice: i32,
}

/// What one process is started with by itself.
#[derive(Debug, Default)]
pub(crate) struct Particulars {
    /// Its place in its pool.
    pub(crate) index: usize,
    /// The name that it is shown by, if that is not the program's.
    pub(crate) name: Option<String>,
    /// Variables beside those of its surroundings.
    pub(crate) variables: Arc<[CString]>,
    /// The CPUs that it may use; all that this process may where there are none here.
    pub(crate) cpus: Vec<usize>,
    /// The sandbox that it enters; empty where it enters none.
    pub(crate) sandbox: Arc<[u8]>,
    /// Whether it enters that behind its first call.
    pub(crate) is_initialized: bool,
    /// Where it notes system calls, if its sandbox only does that.
    pub(crate) notes: Option<Arc<File>>,
    /// The namespaces that it enters with its sandbox, if it enters some.
    pub(crate) namespaces: Option<Arc<LazyNamespaces>>,
}

/// Why a process was not started: what failed, and how.
#[derive(Debug)]
pub(crate) enum StartError {
    /// Its channel, its memory or its files.
    Channel(io::Error),
    Null(io::Error),
    Program(CString, io::Error),
    NoProgram(&'static str),
    /// The fork server could not make it.
    Copy(io::Error),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Channel(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(error) => f.write_str(&sys::explained(error)),
            Self::Null(error) if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "could not open /dev/null: {error}: it is a worker's standard input, so it must be there")
            }
            Self::Null(error) => write!(f, "could not open /dev/null: {}", sys::explained(error)),
            Self::Program(path, error) => {
                write!(f, "could not run {}: {}", path.to_string_lossy(), sys::explained(error))
            }
            Self::NoProgram(why) => f.write_str(why),
            Self::Copy(error) => write!(f, "the fork server could not make it: {}", sys::explained(error)),
        }
    }
}

/// Refuses a limit of memory that the system does not have, or in which a process cannot start.
pub(crate) fn check_memory_limit(bytes: u64, stack_bytes: usize) -> Result<()> {
    if !sys::CAN_LIMIT_MEMORY {
        return Err(Error::invalid_option(
            "`memory_limit` is not supported on this platform: it has no limit for the memory of a process",
        ));
    }
    let least = stack_bytes as u64 + MEMORY_BYTES_MIN;
    if bytes < least {
        return Err(Error::invalid_option(format!(
            "`memory_limit` must be at least {least} bytes (8 MiB and the stack of the tasks, `stack_bytes`), got {bytes}",
        )));
    }
    Ok(())
}

/// Starts a worker: the process, and the channel to it, on which it has been greeted.
///
/// It must be called by a thread that lives as long as the worker may: the kernel ends the worker with it.
pub(crate) fn start(
    entry: &EntryPoint,
    start: &Start,
    surroundings: &Surroundings,
    arena: Option<&Arena>,
    particulars: &Particulars,
) -> std::result::Result<(ChildProcess, ParentChannel), StartError> {
    if particulars.namespaces.is_none() {
        let (channel, worker_end) = greeted(entry, start, arena, particulars)?;
        let process = spawn(entry, start, surroundings, particulars, worker_end)?;
        return Ok((process, channel));
    }
    // They may be in the making, which takes a millisecond: it starts meanwhile.
    let (mut channel, worker_end, memory) = ParentChannel::new(arena, greeting(), start.frame_bytes_max)?;
    let mut process = spawn(entry, start, surroundings, particulars, worker_end)?;
    match greet(&mut channel, memory, entry, start, arena, particulars) {
        Ok(()) => {}
        // It has ended, and its end says why.
        Err(StartError::Channel(error)) if sys::is_hung_up(&error) => {}
        Err(error) => {
            kill(&mut process, &mut channel);
            await_killed(|| process.try_reap().is_some());
            return Err(error);
        }
    }
    Ok((process, channel))
}

/// Makes the channel to a process that is to be started, and greets it there; returns its end, too.
pub(super) fn greeted(
    entry: &EntryPoint,
    start: &Start,
    arena: Option<&Arena>,
    particulars: &Particulars,
) -> std::result::Result<(ParentChannel, OwnedFd), StartError> {
    let (mut channel, worker_end, memory) = ParentChannel::new(arena, greeting(), start.frame_bytes_max)?;
    greet(&mut channel, memory, entry, start, arena, particulars)?;
    Ok((channel, worker_end))
}

fn greeting() -> Greeting {
    Greeting::new(functions::fingerprint())
}

/// Greets a process. Its memory is sent, and let go of here: each descriptor counts where they are few.
fn greet(
    channel: &mut ParentChannel,
    memory: WorkerMemory,
    entry: &EntryPoint,
    start: &Start,
    arena: Option<&Arena>,
    particulars: &Particulars,
) -> std::result::Result<(), StartError> {
    let welcome = Welcome {
        greeting: greeting(),
        index: particulars.index as u64,
        frame_bytes_max: start.frame_bytes_max as u64,
        stack_bytes: start.stack_bytes as u64,
        // A fork server loads what it likes; its workers have the limit.
        memory_bytes: start.memory_limit.filter(|_| start.role != Role::Server).unwrap_or(0),
        arena_bytes: 0,
        has_own_arguments: false,
        has_stdout: false,
        output: start.output,
        copies_outputs: start.copies_outputs,
        nice: start.nice,
        name: particulars.name.clone(),
        sandbox: Arc::clone(&particulars.sandbox),
        is_initialized: particulars.is_initialized,
        has_notes: false,
        namespaces: 0,
    };
    let stdout = matches!(entry, EntryPoint::Test(_)).then(sys::stdout);
    channel.set_program(match entry {
        EntryPoint::Program(program) => Some(Arc::clone(&program.path)),
        EntryPoint::Main | EntryPoint::Test(_) => None,
    });
    let notes = particulars.notes.as_deref().map(File::as_fd);
    let namespaces = particulars.namespaces.as_ref().map(|namespaces| namespaces.get().0);
    Ok(channel.greet(welcome, arena, &memory, namespaces, [stdout, notes], Files::new(start.output)?)?)
}

/// Starts this program again, or the program of the entry, with its end of the channel.
pub(super) fn spawn(
    entry: &EntryPoint,
    start: &Start,
    surroundings: &Surroundings,
    particulars: &Particulars,
    channel: OwnedFd,
) -> std::result::Result<ChildProcess, StartError> {
    let program = match entry {
        EntryPoint::Program(program) => &program.c_path,
        EntryPoint::Main | EntryPoint::Test(_) => own_program().map_err(StartError::NoProgram)?,
    };
    let folder = if surroundings.leaves_folder_to_process() { Folder::Given } else { Folder::Inherited };
    let marker = Marker {
        parent: std::process::id(),
        depth: depth() + 1,
        role: start.role,
        folder,
        umask: surroundings.umask(),
    };
    let marker = sys::assignment(MARKER, marker.to_string());
    let variables: Vec<CString> = variables(start, particulars).chain(marker).collect();
    let (arguments, stdout) = arguments(entry);
    let spawn = Spawn {
        program,
        arguments: &arguments,
        surroundings,
        variables: &variables,
        null: sys::open_null(stdout).map_err(StartError::Null)?,
        channel,
        stdout,
        group: if start.role.ends_with_parent() { Group::Own } else { Group::OfParent },
        cpus: &particulars.cpus,
    };
    ChildProcess::spawn(spawn).map_err(|error| StartError::Program(program.clone(), error))
}

/// The variables of a process beside those of its surroundings.
pub(super) fn variables(start: &Start, particulars: &Particulars) -> impl Iterator<Item = CString> {
    // std holds a lock while it makes a backtrace, and waits for it again where there is no memory for that.
    let backtrace = start.memory_limit.and_then(|_| sys::assignment("RUST_BACKTRACE", "0"));
    particulars.variables.iter().cloned().chain(backtrace)
}

/// Returns the arguments of the new process, its name first, and where its standard output goes.
fn arguments(entry: &EntryPoint) -> (Vec<CString>, Stdout) {
    let text = |text: &str| CString::new(text).ok();
    // The arguments of this process hold no zero byte, nor does the name of a function.
    let mut own = std::env::args_os().filter_map(|argument| CString::new(argument.into_vec()).ok());
    let name = own.next().or_else(|| text("worker"));
    match entry {
        // It is not told what this program was.
        EntryPoint::Program(program) => (vec![program.c_path.clone()], Stdout::Inherited),
        EntryPoint::Main => (name.into_iter().chain(own).collect(), Stdout::Inherited),
        EntryPoint::Test(test) => {
            // libtest announces the test on its standard output, so the worker gets the real one by the socket.
            let options = [test, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"];
            (name.into_iter().chain(options.into_iter().filter_map(text)).collect(), Stdout::Null)
        }
    }
}
