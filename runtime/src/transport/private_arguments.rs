//! The arguments of one worker, where no other worker can read them: the parent copies what it gives to the worker into memory that this
//! worker alone maps.
//!
//! 1. The arena of the pool is the parent's alone then. A block of it is copied when its chunk is given to a worker, and the copy is free
//!    again when the worker has run its tasks, or the parent has taken them back.
//! 2. The memory is new for each worker, and goes with it. So no worker finds what another was given, nor what an earlier one was.
//! 3. A chunk that has memory of its own, and all of it, is not copied: that memory goes to the worker as it is.
//! 4. A copy is overwritten when it is free. A worker can read the tasks that it was given for as long as it has one of their chunk, those
//!    included that are taken back from it and run elsewhere, and memory that was not copied until it ends. So a worker that is to know
//!    one task alone is given no other where that is taken back (`pool/scheduler/recall`).

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::arena::{ALIGN, Arena, Block};
use super::{ChannelError, Chunk};
use crate::shared::Segment;

/// The memory for the arguments of one worker.
pub(super) struct PrivateArguments(Arc<Arena>);

/// Copies of what stands in the parent's memory: the arguments of a chunk, and what its tasks are granted.
pub(super) struct Copies {
    /// With how many bytes before the arguments; none where these have memory of their own.
    arguments: Option<(Block, usize)>,
    table: Option<Block>,
}

impl PrivateArguments {
    /// The memory of a new worker, and its descriptor for the worker.
    pub(super) fn new() -> std::io::Result<(Self, OwnedFd)> {
        let (arena, memory) = Arena::of_worker()?;
        Ok((Self(Arc::new(arena)), memory))
    }

    /// Copies what the worker must read of a chunk.
    pub(super) fn copies(&self, chunk: &Chunk) -> Result<Box<Copies>, ChannelError> {
        let Self(arena) = self;
        let refused = || ChannelError::Broken("there is no memory for the arguments of its next tasks".to_owned());
        let arguments = if chunk.has_memory_for_itself() {
            None
        } else {
            // Numbers stay aligned.
            let before = chunk.place().1 % ALIGN;
            Some((arena.copy(before, chunk.tasks()).ok_or_else(refused)?, before))
        };
        let table = match chunk.table_bytes() {
            None => None,
            Some(bytes) => Some(arena.copy(0, bytes).ok_or_else(refused)?),
        };
        Ok(Box::new(Copies { arguments, table }))
    }
}

impl Copies {
    /// The memory that the copies are in, where that is not the first piece.
    pub(super) fn memory(&self) -> impl Iterator<Item = &Arc<Segment>> {
        let of_arguments = self.arguments.as_ref().and_then(|(block, _)| block.place().0);
        of_arguments.into_iter().chain(self.table.as_ref().and_then(|block| block.place().0))
    }

    /// Where the arguments are: their memory, if that is not the first piece, and where they begin there.
    pub(super) fn place<'a>(&'a self, chunk: &'a Chunk) -> (Option<&'a Arc<Segment>>, usize) {
        match &self.arguments {
            None => chunk.place(),
            Some((block, before)) => {
                let (segment, offset) = block.place();
                (segment, offset + before)
            }
        }
    }

    /// The same of what the tasks are granted, and its bytes.
    pub(super) fn table<'a>(&'a self, chunk: &'a Chunk) -> (usize, Option<&'a Arc<Segment>>, usize) {
        match (&self.table, chunk.table()) {
            (Some(block), (bytes, ..)) => {
                let (segment, offset) = block.place();
                (bytes, segment, offset)
            }
            (None, table) => table,
        }
    }
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use super::*;
    use crate::transport::ChunkHead;

    fn chunk(block: Block, count: u32, bytes: usize) -> Chunk {
        Chunk::new(ChunkHead { function: 0, attempt: 1, first_index: 0 }, count, block, bytes)
    }

    #[test]
    fn workers_read_nothing_of_the_pools_arena_but_its_words() {
        let arena = Arc::new(Arena::for_copies().unwrap());
        assert!(arena.is_for_copies() && !Arena::shared().unwrap().is_for_copies());
        let (memory, bytes) = arena.memory().unwrap();
        assert_eq!(crate::sys::memory_bytes(memory).unwrap(), bytes);
        let block = arena.block(b"abc".to_vec()).unwrap();
        assert!(block.place().0.is_none());
        // A piece that is made later is the parent's too.
        let large = arena.block(vec![7; 9 << 20]).unwrap();
        assert!(large.place().0.is_none());
    }

    #[test]
    fn a_copy_is_the_part_of_the_block_that_the_chunk_has_and_stays_aligned() {
        let pool = Arc::new(Arena::for_copies().unwrap());
        let (own, memory) = PrivateArguments::new().unwrap();
        let tasks: Vec<u8> = (0..3u8).flat_map(|task| [&8u32.to_le_bytes()[..], &[task; 8]].concat()).collect();
        let mut first = chunk(pool.block(tasks.clone()).unwrap(), 3, tasks.len());
        let last = first.split_off(1);
        let copies = own.copies(&last).unwrap();
        let (segment, offset) = copies.place(&last);
        assert!(segment.is_none() && copies.memory().next().is_none());
        assert_eq!(offset % ALIGN, last.place().1 % ALIGN);
        let memory = crate::sys::FromParent::in_test(memory);
        let bytes = crate::sys::memory_bytes(memory.descriptor()).unwrap();
        let view = crate::sys::View::new(&memory, bytes).unwrap();
        assert_eq!(view.bytes(offset, last.tasks().len()), Some(&tasks[12..]));
        assert_eq!(view.bytes(offset - 12, 12), Some(&[0; 12][..]), "the task before is not there");
        // What is free is overwritten, and used again.
        drop(copies);
        assert_eq!(view.bytes(offset, last.tasks().len()), Some(&[0; 24][..]));
        assert_eq!(own.copies(&last).unwrap().place(&last).1, offset);
    }

    #[test]
    fn memory_of_its_own_is_not_copied_but_where_others_have_a_part_of_it() {
        let pool = Arc::new(Arena::for_copies().unwrap());
        let (own, _memory) = PrivateArguments::new().unwrap();
        let tasks = [&4u32.to_le_bytes()[..], b"abcd", &4u32.to_le_bytes(), b"efgh"].concat();
        let mut whole = chunk(pool.own_block(tasks.clone()).unwrap(), 2, tasks.len());
        assert_eq!(own.copies(&whole).unwrap().place(&whole).0.unwrap().id, whole.place().0.unwrap().id);
        let last = whole.split_off(1);
        assert!(own.copies(&last).unwrap().place(&last).0.is_none());
    }
}
