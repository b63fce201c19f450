//! The first message of the parent, and what of it concerns the process as a whole, before it has a second thread.

use std::io;

use crate::sys;
use crate::transport::{ChannelError, WorkerSocket};
use crate::wire::{ToWorker, Welcome};

/// Receives the first message, and does what concerns the process as a whole.
pub(super) fn be_welcomed(end: &mut WorkerSocket) -> io::Result<Welcome> {
    let welcome = match end.receive(|message| match message {
        ToWorker::Welcome(welcome) => Some(welcome),
        _ => None,
    }) {
        Ok(Some(Some(welcome))) => welcome,
        Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(ChannelError::Broken(why)) => return Err(io::Error::other(why)),
        _ => return Err(io::Error::other("the parent did not greet")),
    };
    // Before any thread is started: on Linux each has its own nice value, and hands it on.
    if let Some(name) = &welcome.name {
        sys::set_process_name(name.as_ref());
    }
    if welcome.nice != 0 {
        sys::add_nice(welcome.nice).map_err(|error| {
            io::Error::new(error.kind(), format!("its nice value cannot be changed by {}: {error}", welcome.nice))
        })?;
    }
    Ok(welcome)
}
