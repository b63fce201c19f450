//! What the outputs of a pool's tasks depend on, beside their arguments and this program.

use std::path::Path;

use super::state::PoolShared;
use crate::child::EntryPoint;
use crate::functions::EncodedCall;

impl PoolShared {
    /// The program of the workers, where that is not this one.
    pub(crate) fn worker_program(&self) -> Option<&Path> {
        match &self.settings.entry {
            EntryPoint::Program(program) if self.settings.in_process.is_none() => Some(program.path()),
            EntryPoint::Program(_) | EntryPoint::Main | EntryPoint::Test(_) => None,
        }
    }

    /// The calls that each worker begins with.
    pub(crate) fn first_calls(&self) -> impl Iterator<Item = &EncodedCall> {
        [&self.settings.preload.call, &self.settings.initializer.call].into_iter().flatten()
    }
}
