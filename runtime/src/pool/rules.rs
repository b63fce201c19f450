//! The settings of a pool, as plain data.

use std::time::Duration;

use super::per_worker::PerWorker;
use super::recycling::Retirement;
use crate::child::{EntryPoint, Start};
use crate::functions::EncodedCall;
use crate::sys::SurroundingsChanges;

/// The settings that a pool was built with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) workers: usize,
    pub(crate) transport: Transport,
    pub(crate) startup_timeout: Duration,
    pub(crate) retirement: Retirement,
    pub(crate) start: Start,
    pub(crate) surroundings: SurroundingsChanges,
    pub(crate) per_worker: PerWorker,
    pub(crate) entry: EntryPoint,
    pub(crate) initializer: Option<EncodedCall>,
    pub(crate) finalizer: Option<EncodedCall>,
}

/// How chunks and results travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// By memory that the processes share, where the system has it; else by the socket.
    SharedMemory,
    Socket,
}
