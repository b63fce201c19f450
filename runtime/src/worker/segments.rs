//! Memory that the parent sends, or wants back, over the socket.

use super::seed;
use crate::failpoints::{self, Point};
use crate::shared::{self, SegmentHead, SegmentKind};
use crate::trace;
use crate::transport::{ChannelError, WorkerSocket};
use crate::wire::Violation;

/// Adds memory, whose descriptor has come with this, as the message about memory of this number.
pub(super) fn add(end: &mut WorkerSocket, head: &SegmentHead, message: u64) -> Result<(), ChannelError> {
    failpoints::reached(Point::MemoryCome);
    let memory = end.descriptor().ok_or_else(|| Violation::new("memory came without its descriptor"))?;
    if head.kind == SegmentKind::Log {
        trace::connect(memory.into_descriptor(), seed::task_index);
        return Ok(());
    }
    shared::add(head, memory, message)
        .map_err(|error| ChannelError::Broken(format!("memory of {} bytes could not be mapped: {error}", head.bytes)))
}

/// Lets go of memory.
pub(super) fn forget(id: u64) {
    failpoints::reached(Point::MemoryForgotten);
    shared::remove(id);
}
