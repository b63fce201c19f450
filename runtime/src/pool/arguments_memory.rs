//! The memory for the arguments of a pool's tasks: which there is to be had, and who reads it.

use std::io;

use super::rules::{Settings, Transport};
use crate::sys;
use crate::transport::Arena;

/// Makes the memory for the arguments of the tasks of a pool with these settings.
pub(super) fn arguments_memory(settings: &Settings) -> io::Result<Arena> {
    let shared = match settings.transport {
        Transport::SharedMemory if settings.in_process.is_some() => Err(io::ErrorKind::Unsupported.into()),
        Transport::SharedMemory if settings.private_memory => Arena::for_copies(),
        Transport::SharedMemory => Arena::shared(),
        Transport::Socket => Err(io::ErrorKind::Unsupported.into()),
    };
    match shared {
        // Where the system has no such memory, or gives none, the socket serves by itself; without descriptors nothing does. No worker
        // reads what comes over the socket of another.
        Err(error) if !sys::is_short_of_descriptors(&error) => Arena::private(),
        shared => shared,
    }
}
