//! The chunk of one call that is sent by itself: a submitted one, or what each worker begins and ends with.

use std::io;
use std::sync::Arc;

use crate::registry::EncodedCall;
use crate::transport::{Arena, Chunk};

/// Returns the chunk whose only task is this call, with this index.
pub(crate) fn single_chunk(arena: &Arc<Arena>, call: EncodedCall, index: u64) -> io::Result<Chunk> {
    let EncodedCall { function, task, collected } = call;
    Chunk::single(arena, function.index(), task, collected, index)
}
