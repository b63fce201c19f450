//! The process that makes the namespaces of a pool's workers: it sends them to its parent, and ends.

use std::io;

use crate::sys::{self, Folder};
use crate::task::Role;

/// Makes them for `parent`, and ends this process. It comes back where it could not answer.
pub(super) fn make(parent: u32, folder: Folder) -> io::Error {
    match sys::become_worker(parent, Role::Namespaces, folder).and_then(|channel| send(&channel)) {
        // Handlers that the program has for its end may want files, of which there are none any more.
        Ok(()) => sys::exit_now(0),
        Err(error) => error,
    }
}

#[cfg(poolmap_sandbox)]
fn send(channel: &sys::SocketToParent) -> io::Result<()> {
    let (made, why_missing) = sys::make_namespaces();
    sys::send_namespaces(channel, &made, why_missing.as_deref())
}

/// Nobody asks for it.
#[cfg(not(poolmap_sandbox))]
fn send(_channel: &sys::SocketToParent) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
