//! The chunk of one call that is sent by itself: a submitted one, or what each worker begins and ends with.

use std::io;
use std::sync::Arc;

use super::rules::LifecycleCall;
use crate::functions::EncodedCall;
use crate::trace::CallLog;
use crate::transport::{Arena, Chunk, ChunkHead, Sharing};

/// Returns the chunk whose only task is this call, with this index.
pub(crate) fn single_chunk(arena: &Arc<Arena>, call: EncodedCall, index: u64) -> io::Result<Chunk> {
    let EncodedCall { function, task, collected } = call;
    let bytes = task.len();
    let block = arena.block(task)?;
    let head = ChunkHead { function: function.index(), attempt: 1, first_index: index };
    Ok(Chunk::new(head, 1, block, bytes).sharing(Sharing::new(0, collected, arena)))
}

/// Returns the chunk of what each worker begins or ends with, if it does.
pub(super) fn lifecycle_chunk(arena: &Arc<Arena>, lifecycle: &LifecycleCall) -> io::Result<Option<Chunk>> {
    let chunk = |call: &EncodedCall| {
        let log = CallLog::of_lifecycle(call.function.path());
        Ok(single_chunk(arena, call.clone(), 0)?.ruled(lifecycle.rules()).logged(log))
    };
    lifecycle.call.as_ref().map(chunk).transpose()
}
