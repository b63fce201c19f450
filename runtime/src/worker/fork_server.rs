//! A fork server: it runs one call, and then makes the workers of a pool as copies of itself, which have what the call has left in memory.
//!
//! 1. It has one thread: a copy has only the one that made it, and a lock that another held would stay locked. What a call leaves running
//!    is an error, which names the threads.
//! 2. It sets no handlers and no hook of panics: each copy sets its own, as a worker that was executed does.
//! 3. What is in the buffers of its standard output is written before the first copy, and so once.

use std::io::{self, Write};
use std::sync::Arc;

use super::socket_server::SocketServer;
use super::welcome::{be_welcomed, say_hello};
use crate::sys::{self, Beside, CopySetup, Folder, NoMoreThreads, SocketToParent};
use crate::task::Role;
use crate::transport::{ChannelError, FrameSender, WorkerSocket};
use crate::wire::{self, CopyRequest, OVERHEAD_BYTES};

/// Serves as the fork server of a pool of `parent`, and ends the process at the end of the channel, behind `leave`. It comes back in each
/// copy, with the channel of the worker that the copy is to be.
pub(super) fn serve(parent: u32, folder: Folder, waiting_threads: usize, leave: fn()) -> io::Result<SocketToParent> {
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
    let has_call = welcome.index > 0;
    let mut proof = if has_call { None } else { prove(waiting_threads, &sender)? };
    while server.wait().map_err(broken)? {
        if server.run_first().map_err(broken)? {
            proof = prove(waiting_threads, &sender)?;
        }
        while let Some((request, channel)) = server.take_copy().map_err(broken)? {
            let proof = proof.ok_or_else(|| io::Error::other("it was asked for a copy before it was ready"))?;
            match sys::copy_beside(proof) {
                Ok(Beside::Copy) => {
                    drop((server, sender));
                    let CopyRequest { cpus, variables } = request;
                    let cpus: Vec<usize> = cpus.into_iter().filter_map(|cpu| usize::try_from(cpu).ok()).collect();
                    return sys::become_copied_worker(CopySetup {
                        parent,
                        channel,
                        cpus: &cpus,
                        variables: &variables,
                    });
                }
                Ok(Beside::Original(pid)) => sender.send(&wire::copied(Ok(pid))).map_err(broken)?,
                Err(error) => {
                    let number = error.raw_os_error().unwrap_or(NO_NUMBER);
                    sender.send(&wire::copied(Err(number))).map_err(broken)?;
                }
            }
        }
    }
    leave();
    std::process::exit(0)
}

/// Stands for an error that is not the system's.
const NO_NUMBER: i32 = -1;

/// Writes what is printed, proves that copies may be made, and informs the parent of it, or of the threads that are too many.
fn prove(waiting_threads: usize, sender: &FrameSender) -> io::Result<Option<NoMoreThreads>> {
    flush_streams();
    let (proof, names) = match NoMoreThreads::prove(waiting_threads)? {
        Ok(proof) => (Some(proof), None),
        Err(names) => (None, Some(names.join(", "))),
    };
    sender.send(&wire::preloaded(names.as_deref())).map_err(broken)?;
    Ok(proof)
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
