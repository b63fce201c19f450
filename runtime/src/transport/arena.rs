//! Where a pool's arguments stand: memory that the parent writes and all workers read, given out in blocks. Who reads a block,
//! and when, is not known here; it is free again when the last who holds it lets it go.
//!
//! The memory is sealed before any worker has it, so that none can change another's arguments. The lowest free bytes are
//! given out first: what is used soon after one another stays in few pages, and in the caches.

use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use super::{layout, parking};
use crate::shared::Segment;
use crate::sys::{self, Access, ForkMark, Region, Words};

/// The address space of an arena. Memory is taken as it is touched, and then kept: the first touch of a page costs more than
/// the copy that fills it.
const ARENA_BYTES: usize = 256 << 20;
/// The first page holds the words that all workers read.
const HEAD_BYTES: usize = 4096;
/// The most that one writer is lent; what is larger gets memory of its own.
const ROOM_BYTES_MAX: usize = 32 << 20;
/// No room is smaller.
const ROOM_BYTES_MIN: usize = 64 * 1024;
/// What is moved is there twice by no more than an eighth. An allocator that copies what shrinks does so seven times.
const MOVE_STEPS: usize = 8;
/// Less is moved at once.
const MOVE_BYTES_MIN: usize = 1 << 20;
/// Blocks begin at cache lines.
const ALIGN: usize = 64;

/// The arguments' memory of a pool.
pub(crate) struct Arena {
    /// The process that made it.
    owner: ForkMark,
    /// The free parts, by their place.
    free: Mutex<Vec<Region>>,
    /// None where the workers cannot share it.
    shared: Option<Shared>,
    buffers: Arc<Buffers>,
}

/// Buffers that results were copied into, to be used again: the allocator would give large ones back to the system each time,
/// and their first touch takes longer than the copy.
#[derive(Default)]
pub(crate) struct Buffers(Mutex<Vec<Vec<u8>>>);

/// So many buffers are kept, none larger than what a ring holds.
const BUFFERS_MAX: usize = 8;

impl Buffers {
    /// An empty buffer.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps a buffer that is not used any more.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < BUFFERS_MAX && (1..=layout::RESULTS_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

struct Shared {
    memory: OwnedFd,
    head: Words,
}

impl Arena {
    /// An arena that workers can read.
    pub(crate) fn shared() -> io::Result<Self> {
        let memory = sys::shared_memory(ARENA_BYTES)?;
        let head = Words::new(&memory, HEAD_BYTES, Access::ReadWrite)?;
        let mut whole = Region::shared(&memory, ARENA_BYTES)?;
        sys::seal_against_writers(&memory)?;
        let blocks = whole.split_off(HEAD_BYTES);
        Ok(Self {
            owner: ForkMark::here(),
            free: Mutex::new(vec![blocks]),
            shared: Some(Shared { memory, head }),
            buffers: Arc::default(),
        })
    }

    /// An arena of this process alone.
    pub(crate) fn private() -> io::Result<Self> {
        let free = Mutex::new(vec![Region::private(ARENA_BYTES)?]);
        Ok(Self { owner: ForkMark::here(), free, shared: None, buffers: Arc::default() })
    }

    /// The memory, for the workers to read, and its bytes.
    pub(crate) fn memory(&self) -> Option<(&OwnedFd, usize)> {
        self.shared.as_ref().map(|shared| (&shared.memory, ARENA_BYTES))
    }

    /// The buffers for results.
    pub(crate) fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    /// Says to all workers that the parent is about to sleep; it must look once more at what it waits for.
    pub(crate) fn park(&self) {
        if let Some(shared) = &self.shared {
            parking::park_parent(shared.head.word(layout::PARENT_PARKED));
        }
    }

    /// Says to all workers that the parent is awake.
    pub(crate) fn unpark(&self) {
        if let Some(shared) = &self.shared {
            parking::unpark_parent(shared.head.word(layout::PARENT_PARKED));
        }
    }

    /// Room to write into; none if all is given out.
    pub(crate) fn room(self: &Arc<Self>) -> Option<Room> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let place = free.iter().position(|region| region.len() >= ROOM_BYTES_MIN)?;
        let region = &mut free[place];
        let lent = if region.len() > ROOM_BYTES_MAX {
            let rest = region.split_off(ROOM_BYTES_MAX);
            std::mem::replace(region, rest)
        } else {
            free.remove(place)
        };
        Some(Room { region: Some(lent), arena: Arc::clone(self) })
    }

    /// A block with these bytes, in memory of its own. They are there once all the while, not twice.
    pub(crate) fn own_block(self: &Arc<Self>, bytes: Vec<u8>) -> io::Result<Block> {
        if self.shared.is_none() {
            return Block::private(bytes);
        }
        let memory = sys::shared_memory(bytes.len())?;
        let mut region = Region::shared(&memory, bytes.len())?;
        sys::seal_against_writers(&memory)?;
        let length = bytes.len();
        move_into(bytes, &mut region);
        let segment = Segment::new(memory, length);
        Ok(Block { region: Some(region), home: Home::Own(Some(segment)) })
    }

    fn give_back(&self, mut region: Region) {
        if !self.owner.is_here() {
            // In a fork nothing is used again, and another thread may have held the lock.
            return std::mem::forget(region);
        }
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let place = free.partition_point(|other| other.offset() < region.offset());
        if place < free.len()
            && let Err(next) = region.join(free.remove(place))
        {
            free.insert(place, next);
        }
        match place.checked_sub(1) {
            Some(before) => {
                if let Err(region) = free[before].join(region) {
                    free.insert(place, region);
                }
            }
            None => free.insert(0, region),
        }
    }
}

/// A part of an arena that is being written.
pub(crate) struct Room {
    region: Option<Region>,
    arena: Arc<Arena>,
}

const WHOLE: &str = "a room or a block has its region until it is dropped";

impl Room {
    /// The first `bytes` of it as a block; the rest goes back.
    pub(crate) fn into_block(mut self, bytes: usize) -> Block {
        let mut region = self.region.take().expect(WHOLE);
        let used = bytes.next_multiple_of(ALIGN).min(region.len());
        let rest = region.split_off(used);
        if !rest.is_empty() {
            self.arena.give_back(rest);
        }
        Block { region: Some(region), home: Home::Arena(Arc::clone(&self.arena)) }
    }
}

impl Deref for Room {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.region.as_ref().expect(WHOLE)
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.region.as_mut().expect(WHOLE)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(region) = self.region.take() {
            self.arena.give_back(region);
        }
    }
}

/// Moves bytes into a region of their length, the last first, and gives back their memory on the way.
fn move_into(mut bytes: Vec<u8>, region: &mut [u8]) {
    let step = (bytes.len() / MOVE_STEPS).max(MOVE_BYTES_MIN);
    while !bytes.is_empty() {
        let at = bytes.len().saturating_sub(step);
        region[at..bytes.len()].copy_from_slice(&bytes[at..]);
        bytes.truncate(at);
        bytes.shrink_to_fit();
    }
}

/// Bytes that were written, and do not change any more.
pub(crate) struct Block {
    region: Option<Region>,
    home: Home,
}

enum Home {
    Arena(Arc<Arena>),
    Own(Option<Arc<Segment>>),
}

impl Block {
    /// A block with these bytes, which nobody shares.
    pub(crate) fn private(bytes: Vec<u8>) -> io::Result<Self> {
        let mut region = Region::private(bytes.len())?;
        move_into(bytes, &mut region);
        Ok(Self { region: Some(region), home: Home::Own(None) })
    }

    /// The memory of its own that it stands in, and where in its memory it begins.
    pub(crate) fn place(&self) -> (Option<&Arc<Segment>>, usize) {
        match &self.home {
            Home::Arena(_) => (None, self.region.as_ref().expect(WHOLE).offset()),
            Home::Own(segment) => (segment.as_ref(), 0),
        }
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.region.as_ref().expect(WHOLE)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let (Some(region), Home::Arena(arena)) = (self.region.take(), &self.home) {
            arena.give_back(region);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn free(arena: &Arena) -> Vec<(usize, usize)> {
        arena.free.lock().unwrap().iter().map(|region| (region.offset(), region.len())).collect()
    }

    proptest! {
        #[test]
        fn blocks_keep_their_bytes_and_all_comes_back(
            steps in proptest::collection::vec((0..3u8, 0..200_000usize, any::<u8>()), 1..100),
        ) {
            let arena = Arc::new(Arena::private().unwrap());
            let before = free(&arena);
            let mut blocks: Vec<(Block, usize, u8)> = Vec::new();
            for (step, number, value) in steps {
                match step {
                    0 if !blocks.is_empty() => {
                        let (block, bytes, value) = blocks.swap_remove(number % blocks.len());
                        prop_assert!(block[..bytes].iter().all(|&byte| byte == value));
                    }
                    1 => drop(arena.room()),
                    _ => {
                        let mut room = arena.room().unwrap();
                        let bytes = number.min(room.len());
                        room[..bytes].fill(value);
                        blocks.push((room.into_block(bytes), bytes, value));
                    }
                }
            }
            for (block, bytes, value) in &blocks {
                prop_assert!(block[..*bytes].iter().all(|byte| byte == value));
            }
            drop(blocks);
            prop_assert_eq!(free(&arena), before);
        }
    }

    #[test]
    fn all_that_is_lent_at_once_is_room_of_ones_own() {
        let arena = Arc::new(Arena::private().unwrap());
        let mut rooms: Vec<Room> = std::iter::from_fn(|| arena.room()).collect();
        assert_eq!(rooms.len(), ARENA_BYTES / ROOM_BYTES_MAX);
        for (value, room) in rooms.iter_mut().enumerate() {
            room[0] = value as u8;
        }
        assert!(rooms.iter().enumerate().all(|(value, room)| room[0] == value as u8));
        assert_eq!(&arena.own_block(b"abc".to_vec()).unwrap()[..], b"abc");
    }
}
