//! The settings of a pool and the limits of a call, as plain data.

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

/// The limits of each task of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) timeout: Option<Duration>,
    /// The processor time of its worker.
    pub(crate) cpu_limit: Option<Duration>,
}

impl Limits {
    /// The one that may be over first; none where there is no limit.
    pub(super) fn shortest(&self) -> Option<Duration> {
        self.timeout.into_iter().chain(self.cpu_limit).min()
    }
}
