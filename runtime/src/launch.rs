//! The parent's side of a worker's start: how this program enters as a worker, and one worker started that way. When to
//! start one, and what its end means, is decided in `pool`.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::output::Files;
use crate::registry;
use crate::sys::{self, Group, Process};
use crate::task::{Output, Role};
use crate::transport::{Arena, Link};
use crate::wire::{Greeting, Welcome};

/// The environment variable that says to a process that it is a worker: a [`Marker`].
pub(crate) const MARKER: &str = "_POOLMAP_WORKER_OF";

/// What a process that this program started is told before it can be greeted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The process id of its parent.
    pub(crate) parent: u32,
    /// How deep it stands in pools inside pools.
    pub(crate) depth: u32,
    pub(crate) role: Role,
}

impl Marker {
    /// Reads a marker; none if it is someone else's variable.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (parent, depth) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let word = words.next()?;
        let role = [Role::Worker, Role::Daemon, Role::Plain].into_iter().find(|role| role_word(*role) == word)?;
        Some(Self { parent, depth, role })
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.parent, self.depth, role_word(self.role))
    }
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Worker => "worker",
        Role::Daemon => "daemon",
        Role::Plain => "plain",
    }
}

/// How a process of this program reaches the point where it can become a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// `main` runs up to `init()`.
    Main,
    /// libtest runs the test of this name.
    Test(&'static str),
}

static ENTRY: OnceLock<Entry> = OnceLock::new();
/// 0 for a program that a person started, 1 for its workers, 2 for theirs, …
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// Pools stand inside the tasks of pools at most so deep: a worker function that maps over itself would fill the machine.
pub(crate) const DEPTH_MAX: u32 = 4;

/// Notes that this process has entered, and how another can. The first entry stands: any of a program's is as good.
pub(crate) fn set_entry(entry: Entry) {
    let _ = ENTRY.set(entry);
}

/// How a worker enters; none if this process never did.
pub(crate) fn entry() -> Option<&'static Entry> {
    ENTRY.get()
}

/// How many pools this process stands in.
pub(crate) fn depth() -> u32 {
    DEPTH.load(Ordering::Relaxed)
}

pub(crate) fn set_depth(depth: u32) {
    DEPTH.store(depth, Ordering::Relaxed);
}

/// What std gives the first thread of most systems.
pub(crate) const STACK_BYTES: usize = 8 << 20;

/// What a process is started with: every worker of a pool with the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) role: Role,
    pub(crate) frame_bytes_max: usize,
    pub(crate) stack_bytes: usize,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) output: Output,
}

/// Starts the worker with this index: the process, and the channel to it, on which it has been greeted.
///
/// It must be called by a thread that lives as long as the worker may: the kernel ends the worker with it.
pub(crate) fn start(entry: &Entry, start: &Start, arena: Option<&Arena>, index: usize) -> io::Result<(Process, Link)> {
    let (mut link, worker_end, memory) = Link::new(arena, start.frame_bytes_max)?;
    let welcome = Welcome {
        greeting: Greeting::new(registry::fingerprint()),
        index: index as u64,
        frame_bytes_max: start.frame_bytes_max as u64,
        stack_bytes: start.stack_bytes as u64,
        memory_bytes: start.memory_limit.unwrap_or(0),
        arena_bytes: 0,
        has_stdout: false,
        output: start.output,
    };
    let stdout = matches!(entry, Entry::Test(_)).then(sys::stdout);
    link.greet(welcome, arena, memory.as_ref(), stdout, Files::new(start.output)?)?;
    let mut command = command(entry)?;
    let marker = Marker { parent: std::process::id(), depth: depth() + 1, role: start.role };
    command.env(MARKER, marker.to_string()).stdin(worker_end);
    if start.memory_limit.is_some() {
        // std holds a lock while it makes a backtrace, and waits for it again where there is no memory for that.
        command.env("RUST_BACKTRACE", "0");
    }
    let group = if start.role.ends_with_parent() { Group::Own } else { Group::OfParent };
    // The command, and with it our copy of the worker's end of the socket, is dropped when this returns.
    let process = Process::spawn(&mut command, group)?;
    Ok((process, link))
}

/// The command that runs this program again. What runs now is started, also when its file was replaced or deleted.
fn command(entry: &Entry) -> io::Result<Command> {
    let mut command = Command::new(own_program()?);
    let mut arguments = std::env::args_os();
    command.arg0(arguments.next().unwrap_or_else(|| OsString::from("worker")));
    match entry {
        Entry::Main => {
            command.args(arguments);
        }
        Entry::Test(name) => {
            // libtest announces the test on its standard output, so the worker gets the real one by the socket.
            command
                .args([name, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"])
                .stdout(Stdio::null());
        }
    }
    Ok(command)
}

#[cfg(poolmap_linux)]
fn own_program() -> io::Result<&'static str> {
    Ok("/proc/self/exe")
}

#[cfg(not(poolmap_linux))]
fn own_program() -> io::Result<std::path::PathBuf> {
    std::env::current_exe()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_comes_back_as_it_went_and_others_are_none() {
        for role in [Role::Worker, Role::Daemon, Role::Plain] {
            let marker = Marker { parent: 7, depth: 2, role };
            assert_eq!(Marker::parse(&marker.to_string()), Some(marker));
        }
        for other in ["", "7", "7 2", "7 2 else", "x 2 worker", "someone else's"] {
            assert_eq!(Marker::parse(other), None, "{other}");
        }
    }
}
