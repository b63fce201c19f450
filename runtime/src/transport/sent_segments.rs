//! Which memory beside the arena a worker has been sent. It holds none of it: when the last who does lets go, the worker is told
//! to.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::Chunk;
use super::private_arguments::Copies;
use crate::shared::{self, Segment, SegmentKind};

/// Memory, and the ranges of it (offset and length, in bytes) that are lent.
type Missing = (Arc<Segment>, Vec<(u64, u64)>);

/// The memory that one worker has.
#[derive(Default)]
pub(super) struct SentMemory {
    segments: BTreeMap<u64, Weak<Segment>>,
    messages: u64,
}

impl SentMemory {
    /// The memory that the worker must be sent before this chunk, each of which the caller does send, with the ranges that are lent
    /// of it. Where there are copies, the worker gets these.
    pub(super) fn missing(&mut self, chunk: &Chunk, copies: Option<&Copies>) -> Vec<Missing> {
        match copies {
            None => self.missing_of(chunk, chunk.memory()),
            Some(copies) => {
                let itself = if chunk.has_memory_for_itself() { chunk.place().0 } else { None };
                self.missing_of(chunk, copies.memory().chain(itself).chain(chunk.named_memory()))
            }
        }
    }

    fn missing_of<'a>(&mut self, chunk: &Chunk, memory: impl Iterator<Item = &'a Arc<Segment>>) -> Vec<Missing> {
        let mut missing = Vec::new();
        for segment in memory {
            if matches!(segment.kind, SegmentKind::Parts | SegmentKind::Once) {
                // The worker keeps nothing of it behind the chunk.
                missing.push((Arc::clone(segment), shared::runs(chunk.grants(), segment.id)));
                continue;
            }
            self.segments.entry(segment.id).or_insert_with(|| {
                missing.push((Arc::clone(segment), Vec::new()));
                Arc::downgrade(segment)
            });
        }
        self.messages += missing.len() as u64;
        missing
    }

    /// The caller sends one message more.
    pub(super) fn count_message(&mut self) {
        self.messages += 1;
    }

    /// How many messages about memory were sent so far.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// Takes out the numbers of the memory that nobody holds any more, each of which the caller tells the worker.
    pub(super) fn unused(&mut self) -> Vec<u64> {
        let unused = self.segments.extract_if(.., |_, segment| segment.strong_count() == 0);
        let unused: Vec<u64> = unused.map(|(id, _)| id).collect();
        self.messages += unused.len() as u64;
        unused
    }
}
