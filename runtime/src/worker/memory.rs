//! Memory that the parent sends, or wants back, over the socket.

use crate::fault_points::{self, Point};
use crate::shared;
use crate::transport::{Fault, WorkerEnd};
use crate::wire::Violation;

/// Takes in memory, whose descriptor has come with its name.
pub(super) fn add(end: &mut WorkerEnd, id: u64, bytes: u64) -> Result<(), Fault> {
    fault_points::reached(Point::MemoryCome);
    let memory = end.descriptor().ok_or_else(|| Violation::new("memory came without its descriptor"))?;
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    shared::add(id, memory, bytes).map_err(|error| Fault::Broken(error.to_string()))
}

/// Lets go of memory.
pub(super) fn forget(id: u64) {
    fault_points::reached(Point::MemoryForgotten);
    shared::remove(id);
}
