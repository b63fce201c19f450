//! The messages of a worker, as plain data.

use super::parent_ring::ResultBatch;
use crate::sys::{Crash, NativeStack};
use crate::wire::PanicNote;

/// A message of a worker.
#[derive(Debug)]
pub(crate) enum ChannelEvent {
    /// It is this program, and speaks the same protocol. It comes once, and before anything else.
    Hello,
    Results(ResultBatch),
    /// A process of one call has decoded its arguments.
    Decoded,
    /// It has begun, and will begin, nothing more of what it was sent over the socket.
    Returned,
    /// A fork server makes workers from now on; or, with the names of its threads, it cannot.
    Preloaded(Option<String>),
    /// A fork server has made a process with this number, or could not.
    Copied(Result<u32, i32>),
}

/// The panic and the signal that a worker has recorded for a task that has no result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    pub(crate) panic: Option<PanicNote>,
    pub(crate) crash: Option<Crash>,
    /// The calls that the signal has met with.
    pub(crate) stack: Option<NativeStack>,
    /// The path of a system call that was denied.
    pub(crate) denied_path: Option<Vec<u8>>,
    /// Whether the worker was to enter a sandbox.
    pub(crate) is_in_sandbox: bool,
}
