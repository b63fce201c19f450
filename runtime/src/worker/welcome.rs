//! The first message of the parent, and what of it concerns the process as a whole, before it has a second thread.

use std::io;

use crate::functions;
use crate::sys;
use crate::transport::{ChannelError, FrameSender, WorkerSocket};
use crate::wire::{self, Greeting, ToWorker, Welcome};

/// Receives the first message, and does what concerns the process as a whole.
pub(super) fn be_welcomed(end: &mut WorkerSocket) -> io::Result<Welcome> {
    let welcome = match end.receive(|message| match message {
        ToWorker::Welcome(welcome) => Some(welcome),
        _ => None,
    }) {
        Ok(Some(Some(welcome))) => welcome,
        Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(ChannelError::Broken(why)) => return Err(io::Error::other(why)),
        Err(ChannelError::Violation(what)) => return Err(io::Error::other(what.0)),
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

/// Says hello; returns whether the parent has the same worker functions. If not, the parent is sent the table of these, and this waits
/// for the end that it makes of this process: if the process ended before by itself, the parent might learn of the end first, and not of
/// the reason.
pub(super) fn say_hello(end: &mut WorkerSocket, sender: &FrameSender, welcome: &Welcome) -> Result<bool, ChannelError> {
    let greeting = Greeting::new(functions::fingerprint());
    if welcome.greeting == greeting {
        sender.send(&wire::hello(greeting))?;
        return Ok(true);
    }
    for part in wire::table(&functions::table_text()) {
        sender.send(&part)?;
    }
    sender.send(&wire::hello(greeting))?;
    while let Ok(Some(())) = end.receive(|_| ()) {}
    Ok(false)
}
