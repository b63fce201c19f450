//! Where a pool's arguments stand: memory that the parent writes and all workers read, given out in blocks. Who reads a block,
//! and when, is not known here; it is free again when the last who holds it lets it go.
//!
//! It consists of *pieces*, each memory of its own, of which every worker has the first. A further piece is made when no free part is
//! as large as what is wanted: as large as all before it together, or smaller where the system gives less. Workers get it with the
//! first chunk that is in it, as they get any memory, and it stays as long as the pool: its pages are touched once.
//!
//! Where workers must not read one another's arguments, the pieces are the parent's alone, the workers share the page with the words, and
//! each has an arena of its own, into which the parent copies what it gives to that worker (`private_arguments`).
//!
//! The memory is sealed before any worker has it, so that none can change another's arguments. The lowest free bytes are
//! given out first: what is used soon after one another stays in few pages, and in the caches.

use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{layout, parking};
use crate::locks::{Lock, Locked, Rank, Ranked};
use crate::shared::Segment;
use crate::sys::{self, ForkMark, Region, Words};

/// An arena has no more, in all its pieces. Memory is taken as it is touched, and then kept: the first touch of a page costs more
/// than the copy that fills it.
const ARENA_BYTES: usize = 256 << 20;
/// The first piece: room for the arguments of short tasks. A program that locks its memory has all of it at once.
const FIRST_BYTES: usize = 4 << 20;
/// The first piece of an arena of one worker: what is given to it ahead finds room there.
const FIRST_BYTES_OF_WORKER: usize = 1 << 20;
/// With less there is no arena.
const FIRST_BYTES_MIN: usize = 256 << 10;
/// A piece takes no larger share of the address space than this, where that is limited: each worker maps it too.
const ADDRESS_SPACE_SHARE: u64 = 16;
/// The first page holds the words that all workers read.
const HEAD_BYTES: usize = 4096;
/// The most that one writer is lent; what is larger gets memory of its own.
const ROOM_BYTES_MAX: usize = 32 << 20;
/// The room that a writer gets that asks for no more: rows are read until there are 64 KiB of them, or one.
const ROOM_BYTES: usize = 1 << 20;
/// No room is smaller.
const ROOM_BYTES_MIN: usize = 64 * 1024;
/// A value that is moved is there twice by no more than an eighth. An allocator that copies what shrinks does so seven times.
const MOVE_STEPS: usize = 8;
/// Less is moved at once.
const MOVE_BYTES_MIN: usize = 1 << 20;
/// Blocks begin at cache lines.
pub(super) const ALIGN: usize = 64;

/// The arguments' memory of a pool.
pub(crate) struct Arena {
    /// The process that made it.
    owner: ForkMark,
    parts: Lock<FreeParts>,
    /// The bytes of all pieces. It is locked while one is made, and `parts` is not: that takes long where memory is locked.
    bytes: Lock<PieceBytes>,
    /// The largest of the rows that were written elsewhere first, for want of room.
    largest: AtomicUsize,
    /// None where the workers cannot share it.
    shared: Option<SharedArena>,
    /// Who reads the pieces.
    readers: Readers,
    buffers: Arc<Buffers>,
}

/// Who can read the pieces of an arena.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readers {
    /// The parent, and the workers that it is sent to.
    Workers,
    /// The parent, and one worker, which is to find nothing of a block that is free.
    OneWorker,
    /// The parent alone.
    Parent,
}

/// The bytes of all pieces.
struct PieceBytes(usize);

impl Ranked for PieceBytes {
    const RANK: Rank = Rank::ArenaSize;
}

impl Ranked for FreeParts {
    const RANK: Rank = Rank::ArenaParts;
}

impl Ranked for Vec<Vec<u8>> {
    const RANK: Rank = Rank::Buffers;
}

/// The free parts of the pieces.
struct FreeParts {
    /// By piece and place.
    free: Vec<PiecePart>,
    /// The segment of each piece but the first, which the workers have.
    segments: Vec<Option<Arc<Segment>>>,
}

/// A part of a piece that nobody else has.
struct PiecePart {
    piece: usize,
    region: Region,
}

impl PiecePart {
    fn place(&self) -> (usize, usize) {
        (self.piece, self.region.offset())
    }

    /// Takes what stands from `at` on out of it.
    fn split_off(&mut self, at: usize) -> Self {
        Self { piece: self.piece, region: self.region.split_off(at) }
    }

    /// Takes back the part that begins where this one ends; another is given back.
    fn join(&mut self, next: Self) -> Result<(), Self> {
        let piece = next.piece;
        self.region.join(next.region).map_err(|region| Self { piece, region })
    }
}

/// Buffers that results were copied into, to be used again: the allocator would give large ones back to the system each time,
/// and their first touch takes longer than the copy.
#[derive(Default)]
pub(crate) struct Buffers(Lock<Vec<Vec<u8>>>);

/// So many buffers are kept, none larger than what a ring holds.
const BUFFERS_MAX: usize = 8;

impl Buffers {
    /// An empty buffer.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.lock().pop().unwrap_or_default()
    }

    /// Keeps a buffer that is not used any more.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.0.lock();
        if buffers.len() < BUFFERS_MAX && (1..=layout::RESULTS_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

struct SharedArena {
    /// The first piece, and its bytes.
    memory: OwnedFd,
    bytes: usize,
    head: Words,
}

impl Arena {
    /// An arena that workers can read.
    pub(crate) fn shared() -> io::Result<Self> {
        // Where files must be smaller than a room, arguments of any size still go over the socket, which has no such limit.
        sys::check_file_bytes(ROOM_BYTES_MAX as u64)?;
        let (blocks, head, memory) = first(|bytes| Region::behind_words(HEAD_BYTES, bytes))?;
        let bytes = HEAD_BYTES + blocks.len();
        Ok(Self::of(blocks, bytes, Some(SharedArena { memory, bytes, head }), Readers::Workers))
    }

    /// An arena of which workers can read the words alone, where each has an arena of its own for its arguments.
    pub(crate) fn for_copies() -> io::Result<Self> {
        sys::check_file_bytes(ROOM_BYTES_MAX as u64)?;
        let (_, head, memory) = Region::behind_words(HEAD_BYTES, HEAD_BYTES)?;
        let blocks = first(Region::private)?;
        let bytes = blocks.len();
        let shared = SharedArena { memory, bytes: HEAD_BYTES, head };
        Ok(Self::of(blocks, bytes, Some(shared), Readers::Parent))
    }

    /// An arena that one worker reads, and the memory of its first piece for that worker.
    pub(super) fn of_worker() -> io::Result<(Self, OwnedFd)> {
        let (blocks, memory) = Region::shared(FIRST_BYTES_OF_WORKER)?;
        let bytes = blocks.len();
        Ok((Self::of(blocks, bytes, None, Readers::OneWorker), memory))
    }

    /// An arena of this process alone.
    pub(crate) fn private() -> io::Result<Self> {
        let region = first(Region::private)?;
        let bytes = region.len();
        Ok(Self::of(region, bytes, None, Readers::Parent))
    }

    fn of(blocks: Region, bytes: usize, shared: Option<SharedArena>, readers: Readers) -> Self {
        let parts = FreeParts { free: vec![PiecePart { piece: 0, region: blocks }], segments: vec![None] };
        Self {
            owner: ForkMark::here(),
            parts: Lock::new(parts),
            bytes: Lock::new(PieceBytes(bytes)),
            largest: AtomicUsize::new(0),
            shared,
            readers,
            buffers: Arc::default(),
        }
    }

    /// The memory that every worker has of it, to read, and its bytes.
    pub(crate) fn memory(&self) -> Option<(&OwnedFd, usize)> {
        self.shared.as_ref().map(|shared| (&shared.memory, shared.bytes))
    }

    /// Whether each worker has an arena of its own, into which its arguments are copied.
    pub(super) fn is_for_copies(&self) -> bool {
        self.shared.is_some() && self.readers == Readers::Parent
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

    /// Room to write rows into of which nothing is known yet: for as large ones as found no room before, if it is free.
    pub(crate) fn first_room(self: &Arc<Self>) -> Option<WritableBlock> {
        let largest = self.largest.load(Ordering::Relaxed);
        let room = (largest > 0).then(|| self.lend(largest)).flatten();
        room.or_else(|| self.room(ROOM_BYTES_MIN))
    }

    /// Room to write into, for `wanted` bytes as far as that can be; none if all is given out.
    pub(crate) fn room(self: &Arc<Self>, wanted: usize) -> Option<WritableBlock> {
        let wanted = wanted.clamp(ROOM_BYTES_MIN, ROOM_BYTES_MAX);
        if let Some(room) = self.lend(wanted) {
            return Some(room);
        }
        self.grow(wanted);
        self.lend(wanted).or_else(|| self.lend(ROOM_BYTES_MIN))
    }

    fn lock(&self) -> Locked<'_, FreeParts> {
        self.parts.lock()
    }

    /// Lends the lowest free part that has so many bytes.
    fn lend(self: &Arc<Self>, least: usize) -> Option<WritableBlock> {
        // What is free in the parent's copy is the parent's, and its lock may be another thread's for ever.
        if !self.owner.is_here() {
            return None;
        }
        let mut parts = self.lock();
        let place = parts.free.iter().position(|part| part.region.len() >= least)?;
        let bytes = least.max(ROOM_BYTES).next_multiple_of(ALIGN);
        let part = &mut parts.free[place];
        let lent = if part.region.len() > bytes {
            let rest = part.split_off(bytes);
            std::mem::replace(part, rest)
        } else {
            parts.free.remove(place)
        };
        let segment = parts.segments[lent.piece].clone();
        Some(WritableBlock { part: Some(lent), segment, arena: Arc::clone(self) })
    }

    /// Makes another piece, with room for `wanted` bytes, unless there is none to be had.
    fn grow(&self, wanted: usize) {
        if !self.owner.is_here() {
            return;
        }
        let mut all = self.bytes.lock();
        if self.lock().free.iter().any(|part| part.region.len() >= wanted) {
            // Another thread has made one meanwhile.
            return;
        }
        let most = ARENA_BYTES.saturating_sub(all.0).min(share_of_address_space());
        let mut bytes = wanted.next_power_of_two().max(all.0).min(most);
        while bytes >= wanted {
            if let Ok((region, segment)) = self.new_piece(bytes) {
                all.0 += bytes;
                let mut parts = self.lock();
                let piece = parts.segments.len();
                parts.segments.push(segment);
                parts.free.push(PiecePart { piece, region });
                return;
            }
            bytes /= 2;
        }
    }

    /// New memory, and what workers get of it.
    fn new_piece(&self, bytes: usize) -> io::Result<(Region, Option<Arc<Segment>>)> {
        if self.readers == Readers::Parent {
            return Ok((Region::private(bytes)?, None));
        }
        let (region, memory) = Region::shared(bytes)?;
        Ok((region, Some(Segment::new(memory, bytes))))
    }

    /// A block with these bytes: in a room, or in memory of its own if there is none so large.
    pub(crate) fn block(self: &Arc<Self>, bytes: Vec<u8>) -> io::Result<Block> {
        let room = (bytes.len() <= ROOM_BYTES_MAX).then(|| self.room(bytes.len())).flatten();
        match room.filter(|room| room.len() >= bytes.len()) {
            Some(mut room) => {
                room[..bytes.len()].copy_from_slice(&bytes);
                Ok(room.into_block(bytes.len()))
            }
            None => self.own_block(bytes),
        }
    }

    /// A block with a copy of these bytes behind so many others, if there is memory for it.
    pub(super) fn copy(self: &Arc<Self>, before: usize, bytes: &[u8]) -> Option<Block> {
        let length = before + bytes.len();
        let copied = |to: &mut [u8]| to[before..length].copy_from_slice(bytes);
        if let Some(mut room) = (length <= ROOM_BYTES_MAX).then(|| self.room(length)).flatten()
            && room.len() >= length
        {
            copied(&mut room);
            return Some(room.into_block(length));
        }
        let (mut region, memory) = Region::shared(length).ok()?;
        copied(&mut region);
        Some(Block::of(region, memory, length))
    }

    /// The same, for a row that was written elsewhere for want of room: the next is to find some.
    pub(crate) fn block_of_row(self: &Arc<Self>, bytes: Vec<u8>) -> io::Result<Block> {
        if bytes.len() <= ROOM_BYTES_MAX {
            self.largest.fetch_max(bytes.len(), Ordering::Relaxed);
        }
        self.block(bytes)
    }

    /// A block with these bytes, in memory of its own. They are there once all the while, not twice.
    pub(crate) fn own_block(self: &Arc<Self>, bytes: Vec<u8>) -> io::Result<Block> {
        if self.shared.is_none() {
            return Block::private(bytes);
        }
        let (mut region, memory) = Region::shared(bytes.len())?;
        let length = bytes.len();
        move_into(bytes, &mut region);
        Ok(Block::of(region, memory, length))
    }

    fn give_back(&self, mut part: PiecePart) {
        if !self.owner.is_here() {
            // In a fork nothing is used again, and another thread may have held the lock.
            return std::mem::forget(part);
        }
        let mut parts = self.lock();
        let free = &mut parts.free;
        let place = free.partition_point(|other| other.place() < part.place());
        if place < free.len()
            && let Err(next) = part.join(free.remove(place))
        {
            free.insert(place, next);
        }
        match place.checked_sub(1) {
            Some(before) => {
                if let Err(part) = free[before].join(part) {
                    free.insert(place, part);
                }
            }
            None => free.insert(0, part),
        }
    }
}

/// Makes the first piece, smaller where there is less memory.
fn first<T>(make: impl Fn(usize) -> io::Result<T>) -> io::Result<T> {
    let mut bytes = FIRST_BYTES;
    while bytes > FIRST_BYTES_MIN.max(share_of_address_space()) {
        bytes /= 2;
    }
    loop {
        match make(bytes) {
            Err(error) if bytes > FIRST_BYTES_MIN && !sys::is_short_of_descriptors(&error) => bytes /= 2,
            made => return made,
        }
    }
}

/// The most that a piece may take of the address space.
fn share_of_address_space() -> usize {
    let share = sys::address_space_bytes().map(|bytes| bytes / ADDRESS_SPACE_SHARE);
    share.map_or(usize::MAX, |share| usize::try_from(share).unwrap_or(usize::MAX))
}

/// A part of an arena that is being written.
pub(crate) struct WritableBlock {
    part: Option<PiecePart>,
    segment: Option<Arc<Segment>>,
    arena: Arc<Arena>,
}

const WHOLE: &str = "a room or a block has its region until it is dropped";

impl WritableBlock {
    /// The first `bytes` of it as a block; the rest goes back.
    pub(crate) fn into_block(mut self, bytes: usize) -> Block {
        let mut part = self.part.take().expect(WHOLE);
        let used = bytes.next_multiple_of(ALIGN).min(part.region.len());
        let rest = part.split_off(used);
        if !rest.region.is_empty() {
            self.arena.give_back(rest);
        }
        Block { part: Some(part), segment: self.segment.take(), arena: Some(Arc::clone(&self.arena)) }
    }
}

impl Deref for WritableBlock {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.part.as_ref().expect(WHOLE).region
    }
}

impl DerefMut for WritableBlock {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.part.as_mut().expect(WHOLE).region
    }
}

impl Drop for WritableBlock {
    fn drop(&mut self) {
        if let Some(part) = self.part.take() {
            self.arena.give_back(part);
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
    part: Option<PiecePart>,
    /// The segment that a worker must have to read it, if that is not the arena's first piece.
    segment: Option<Arc<Segment>>,
    /// Where it comes from; none if it has memory of its own.
    arena: Option<Arc<Arena>>,
}

impl Block {
    /// A block with these bytes, which nobody shares.
    pub(crate) fn private(bytes: Vec<u8>) -> io::Result<Self> {
        let mut region = Region::private(bytes.len())?;
        move_into(bytes, &mut region);
        Ok(Self { part: Some(PiecePart { piece: 0, region }), segment: None, arena: None })
    }

    /// A block in memory of its own.
    fn of(region: Region, memory: OwnedFd, bytes: usize) -> Self {
        let segment = Segment::new(memory, bytes);
        Self { part: Some(PiecePart { piece: 0, region }), segment: Some(segment), arena: None }
    }

    /// The memory that it is in, if that is not the arena's first piece, and where it begins there.
    pub(crate) fn place(&self) -> (Option<&Arc<Segment>>, usize) {
        (self.segment.as_ref(), self.part.as_ref().expect(WHOLE).region.offset())
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.part.as_ref().expect(WHOLE).region
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let (Some(mut part), Some(arena)) = (self.part.take(), &self.arena) {
            if arena.readers == Readers::OneWorker {
                part.region.fill(0);
            }
            arena.give_back(part);
        }
    }
}

#[cfg(test)]
mod tests;
