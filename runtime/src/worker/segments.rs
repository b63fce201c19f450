//! Memory that the parent sends, or wants back, over the socket.

use crate::failpoints::{self, Point};
use crate::shared::{self, SegmentHead};
use crate::transport::{ChannelError, WorkerSocket};
use crate::wire::Violation;

/// Adds memory, whose descriptor has come with this, as the message about memory of this number.
pub(super) fn add(end: &mut WorkerSocket, head: &SegmentHead, message: u64) -> Result<(), ChannelError> {
    failpoints::reached(Point::MemoryCome);
    let memory = end.descriptor().ok_or_else(|| Violation::new("memory came without its descriptor"))?;
    shared::add(head, memory, message)
        .map_err(|error| ChannelError::Broken(format!("memory of {} bytes could not be mapped: {error}", head.bytes)))
}

/// Lets go of memory.
pub(super) fn forget(id: u64) {
    failpoints::reached(Point::MemoryForgotten);
    shared::remove(id);
}
