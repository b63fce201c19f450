//! A fork server: it runs one call, and then makes the workers of a pool as copies of itself, which have what the call has left in memory.
//!
//! 1. The call runs on the first thread, and must leave no other: a copy has only the one that made it, and a lock that another held would
//!    stay locked. What it leaves running is an error, which names the threads.
//! 2. Then the server goes on in a thread with the stack that tasks are to have, while the first one waits. Each copy goes on in its copy
//!    of that thread, as its task thread.
//! 3. It sets no handlers and no hook of panics: each copy sets its own, as a worker that was executed does.
//! 4. Where copies are to enter a sandbox, the names for backtraces are read once, by the server: that takes a tenth of a second.
//! 5. What is in the buffers of its standard output is written before the first copy, and so once.

use std::io::{self, Write};
use std::sync::Arc;

use super::sandbox;
use super::socket_server::SocketServer;
use super::welcome::{be_welcomed, say_hello};
use crate::sys::{self, Beside, CopySetup, Folder, NoMoreThreads, SocketToParent};
use crate::task::Role;
use crate::transport::{ChannelError, FrameSender, WorkerSocket};
use crate::wire::{self, CopyRequest, OVERHEAD_BYTES};

/// What a copy does with the channel of the worker that it is to be.
pub(super) type InCopy = fn(io::Result<SocketToParent>, u32, fn()) -> !;

/// Serves as the fork server of a pool of `parent`, and ends the process at the end of the channel, behind `leave`. Each copy goes on
/// in `in_copy`. It comes back where it could not serve.
pub(super) fn serve(parent: u32, folder: Folder, waiting_threads: usize, leave: fn(), in_copy: InCopy) -> io::Error {
    match prepare(parent, folder, waiting_threads) {
        Ok(Some((server, proof, stack_bytes))) => {
            sys::go_on_in_thread(proof, stack_bytes, move |proof| match server.make_copies(proof, parent) {
                Ok(Some(channel)) => in_copy(Ok(channel), parent, leave),
                Ok(None) => end(leave),
                Err(error) => in_copy(Err(error), parent, leave),
            })
        }
        Ok(None) => end(leave),
        Err(error) => error,
    }
}

/// Ends the process: its parent needs it no more.
fn end(leave: fn()) -> ! {
    leave();
    std::process::exit(0)
}

/// A fork server that has run its first call, if it has one.
struct CopyServer {
    server: SocketServer,
    sender: Arc<FrameSender>,
}

/// Starts as a fork server and runs the first call; with the proof that it may be copied, and the stack that its workers are to have.
/// None at the end of the channel.
fn prepare(
    parent: u32,
    folder: Folder,
    waiting_threads: usize,
) -> io::Result<Option<(CopyServer, NoMoreThreads, usize)>> {
    let mut end = WorkerSocket::new(sys::become_worker(parent, Role::Server, folder)?);
    let welcome = be_welcomed(&mut end)?;
    if welcome.has_stdout
        && let Some(stdout) = end.descriptor()
    {
        sys::replace_stdout(&stdout.into_descriptor())?;
    }
    let frame_bytes_max = usize::try_from(welcome.frame_bytes_max).unwrap_or(usize::MAX);
    end.set_frame_bytes_max(frame_bytes_max);
    let sender = end.sender(Role::Server).map_err(broken)?;
    if !say_hello(&mut end, &sender, &welcome).map_err(broken)? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut server = SocketServer::without_notes(end, Arc::clone(&sender), frame_bytes_max - OVERHEAD_BYTES);
    let mut has_run = welcome.index == 0;
    while !has_run {
        if !server.wait().map_err(broken)? {
            return Ok(None);
        }
        has_run = server.run_first().map_err(broken)?;
    }
    if !welcome.sandbox.is_empty() {
        sandbox::prepare_copies();
    }
    let Some(proof) = prove(waiting_threads, &sender)? else {
        // Its parent, which knows the threads now, ends it.
        while server.wait().map_err(broken)? {}
        return Ok(None);
    };
    let stack_bytes = usize::try_from(welcome.stack_bytes).unwrap_or(usize::MAX);
    Ok(Some((CopyServer { server, sender }, proof, stack_bytes)))
}

impl CopyServer {
    /// Informs the parent that it is ready, and makes copies until the end of the channel. It comes back in each copy, with the channel of the worker that it is to be.
    fn make_copies(self, proof: NoMoreThreads, parent: u32) -> io::Result<Option<SocketToParent>> {
        let Self { mut server, sender } = self;
        sender.send(&wire::preloaded(None)).map_err(broken)?;
        loop {
            while let Some((request, channel)) = server.take_copy().map_err(broken)? {
                match sys::copy_beside(proof) {
                    Ok(Beside::Copy) => {
                        drop((server, sender));
                        let CopyRequest { cpus, variables } = request;
                        let cpus: Vec<usize> = cpus.into_iter().filter_map(|cpu| usize::try_from(cpu).ok()).collect();
                        let setup = CopySetup { parent, channel, cpus: &cpus, variables: &variables };
                        return sys::become_copied_worker(setup).map(Some);
                    }
                    Ok(Beside::Original(pid)) => sender.send(&wire::copied(Ok(pid))).map_err(broken)?,
                    Err(error) => {
                        let number = error.raw_os_error().unwrap_or(NO_NUMBER);
                        sender.send(&wire::copied(Err(number))).map_err(broken)?;
                    }
                }
            }
            if !server.wait().map_err(broken)? {
                return Ok(None);
            }
        }
    }
}

/// Stands for an error that is not the system's.
const NO_NUMBER: i32 = -1;

/// Writes what is printed, and proves that copies may be made, or informs the parent of the threads that are too many.
fn prove(waiting_threads: usize, sender: &FrameSender) -> io::Result<Option<NoMoreThreads>> {
    flush_streams();
    match NoMoreThreads::prove(waiting_threads)? {
        Ok(proof) => Ok(Some(proof)),
        Err(names) => {
            sender.send(&wire::preloaded(Some(&names.join(", ")))).map_err(broken)?;
            Ok(None)
        }
    }
}

/// Writes what is in the buffers of the standard streams: each copy has what is left there.
fn flush_streams() {
    // An error is of the stream, and its next use has it too.
    let _ = io::stdout().flush();
    sys::flush_c_streams();
}

/// Why the server cannot go on, or the parent's end.
fn broken(error: ChannelError) -> io::Error {
    match error {
        ChannelError::Closed => io::ErrorKind::UnexpectedEof.into(),
        ChannelError::Broken(why) => io::Error::other(why),
        ChannelError::Violation(what) => io::Error::other(what.0),
    }
}
