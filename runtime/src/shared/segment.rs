//! Memory with a number: what a process sends, and what it got. And other descriptors with one, which travel the same way.

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use super::copied;
use super::quiesce::wait_until;
use crate::sys::{self, FromParent, Pages};

/// How a worker takes a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentKind {
    /// Memory that nobody can write any more. It is mapped, to be read, and its descriptor closed.
    Sealed = 1,
    /// A file, of which the program has promised that it does not change. The same is done with it.
    Promised = 2,
    /// Memory that its owner lends in parts. The ranges that come with it are reserved, and its descriptor is closed: it comes anew
    /// with each chunk.
    Parts = 3,
    /// A descriptor that is kept open.
    Open = 4,
    /// A descriptor that one task gets. It comes anew with each chunk, and is closed with it.
    Once = 5,
    /// What the worker writes of what its tasks log to. It comes once.
    Log = 6,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl SegmentKind {
    /// The kind of this number.
    pub(crate) fn of(number: u8) -> Option<Self> {
        [Self::Sealed, Self::Promised, Self::Parts, Self::Open, Self::Once, Self::Log]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// Memory with a number that no other of this process has.
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) memory: Arc<OwnedFd>,
    /// 0 for a descriptor that is kept open.
    pub(crate) bytes: usize,
    pub(crate) kind: SegmentKind,
    /// A value that must not be dropped while a task that has not run yet names this.
    _kept: Option<Arc<Anchor>>,
    /// The object that this process has of it, where that is a descriptor.
    made: OnceLock<Weak<Anchor>>,
}

/// The value that a segment keeps.
pub(crate) type Anchor = dyn Any + Send + Sync + UnwindSafe + RefUnwindSafe;

/// The message before a segment's descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) id: u64,
    pub(crate) bytes: u64,
    pub(crate) kind: SegmentKind,
    /// The beginnings and the lengths of the ranges that are lent: of pages.
    pub(crate) runs: Vec<(u64, u64)>,
}

impl Segment {
    /// Gives memory that is sealed a number. 0 is none: it stands for a pool's arena.
    pub(crate) fn new(memory: OwnedFd, bytes: usize) -> Arc<Self> {
        Self::numbered(Arc::new(memory), bytes, SegmentKind::Sealed, None)
    }

    /// Gives memory a number that is lent in parts.
    pub(super) fn lent(memory: OwnedFd, bytes: usize) -> Arc<Self> {
        Self::numbered(Arc::new(memory), bytes, SegmentKind::Parts, None)
    }

    /// Gives a descriptor a number, and keeps something as long as anyone holds this.
    pub(crate) fn open(descriptor: Arc<OwnedFd>, kept: Option<Arc<Anchor>>) -> Arc<Self> {
        Self::numbered(descriptor, 0, SegmentKind::Open, kept)
    }

    /// Gives a descriptor a number that one task gets.
    pub(super) fn once(descriptor: OwnedFd) -> Arc<Self> {
        Self::numbered(Arc::new(descriptor), 0, SegmentKind::Once, None)
    }

    /// Gives the descriptor a number that a worker writes to what its tasks log.
    pub(crate) fn log(descriptor: OwnedFd) -> Arc<Self> {
        Self::numbered(Arc::new(descriptor), 0, SegmentKind::Log, None)
    }

    fn numbered(memory: Arc<OwnedFd>, bytes: usize, kind: SegmentKind, kept: Option<Arc<Anchor>>) -> Arc<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            memory,
            bytes,
            kind,
            _kept: kept,
            made: OnceLock::new(),
        })
    }

    /// Whether it is bytes that nobody changes any more, of which another machine can have a copy.
    pub(crate) fn can_be_copied(&self) -> bool {
        matches!(self.kind, SegmentKind::Sealed | SegmentKind::Promised)
    }

    /// A copy of its bytes.
    pub(crate) fn copy(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.bytes];
        File::from(self.memory.try_clone()?).read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Notes the object that this process has made of it, or made it from.
    pub(crate) fn note_made(&self, made: Weak<Anchor>) {
        let _ = self.made.set(made);
    }

    /// The object that this process has of it, while it is there.
    pub(super) fn made(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        let made: Arc<dyn Any + Send + Sync> = self.made.get()?.upgrade()?;
        Some(made)
    }
}

/// Memory that is filled, and mapped in this process.
pub(crate) struct Memory {
    pages: Pages,
    /// The memory that the workers of this process get.
    segment: Sendable,
}

/// The memory that the workers of a process get.
enum Sendable {
    /// Itself; nothing where they cannot share it.
    Itself(Option<Arc<Segment>>),
    /// It is another process's, and its descriptor is closed: a copy, once it is made; nothing if there was no memory for it.
    Copy(OnceLock<Option<Arc<Segment>>>),
}

/// Memory that is filled here may become an output: this process is a worker whose outputs can be sent.
static MAKES_OUTPUTS: AtomicBool = AtomicBool::new(false);

/// From now on memory that this process fills may become an output, so that this process cannot write it any more either.
pub(super) fn make_outputs() {
    MAKES_OUTPUTS.store(true, Ordering::Relaxed);
}

/// For less, the pages are made as they are touched.
const POPULATE_BYTES_MIN: usize = 1 << 20;
/// So much of another process's memory goes to workers of this one by value, and so much to the parent; of more, a worker gets all of
/// the memory, which is copied once.
const BY_VALUE_BYTES_MAX: usize = 64 << 10;

impl Memory {
    /// New memory that `fill` writes, for workers to share where the system has such memory.
    pub(crate) fn fill<R>(bytes: usize, fill: impl FnOnce(&mut Pages) -> R) -> io::Result<(Self, R)> {
        let (mut pages, descriptor) = match shared(bytes) {
            Ok((pages, memory)) => (pages, Some(memory)),
            Err(_) => (Pages::private(bytes)?, None),
        };
        if bytes >= POPULATE_BYTES_MIN && descriptor.is_some() {
            pages.populate();
        }
        let filled = fill(&mut pages);
        if let Some(memory) = descriptor.as_ref().filter(|_| MAKES_OUTPUTS.load(Ordering::Relaxed)) {
            pages = pages.into_sealed(memory)?;
        }
        let segment = descriptor.map(|memory| Segment::new(memory, bytes));
        Ok((Self::of(pages, Sendable::Itself(segment)), filled))
    }

    /// The first `bytes` of a file, in memory of this process that its workers can share.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or ends before (`UnexpectedEof`); there is no memory for it.
    pub(super) fn copy_of(file: &File, bytes: usize) -> io::Result<Self> {
        let (memory, read) = Self::fill(bytes, |pages| {
            let all = pages.numbers_mut::<u8>(0, bytes).ok_or(io::ErrorKind::OutOfMemory)?;
            copied::read_all(file, all)
        })?;
        read?;
        Ok(memory)
    }

    fn of(pages: Pages, segment: Sendable) -> Self {
        Self { pages, segment }
    }

    /// Memory that was written, and is not written any more: itself, once nobody can write to it, or a copy where somebody still
    /// could.
    ///
    /// # Errors
    ///
    /// There is no memory for the copy.
    pub(super) fn written(pages: Pages, segment: &Segment) -> io::Result<Self> {
        let bytes = pages.len();
        // A mapping that can be written keeps the memory from being sealed.
        drop(pages);
        let sealed = wait_until_sealed(&segment.memory);
        if sealed && let Ok(pages) = Pages::sealed(&segment.memory, bytes) {
            // Under a new number: under the old one workers have been lent the memory to be written.
            let segment = Segment::numbered(Arc::clone(&segment.memory), bytes, SegmentKind::Sealed, None);
            return Ok(Self::of(pages, Sendable::Itself(Some(segment))));
        }
        let file = File::from(segment.memory.try_clone()?);
        Self::copy_of(&file, bytes)
    }

    /// A file that is mapped, and does not change.
    pub(super) fn of_file(pages: Pages, file: File) -> Self {
        let segment = Segment::numbered(Arc::new(file.into()), pages.len(), SegmentKind::Promised, None);
        Self::of(pages, Sendable::Itself(Some(segment)))
    }

    /// Memory of the parent's, to be read: sealed, or a file that it answers for. Its descriptor is closed.
    pub(super) fn received(memory: &FromParent, bytes: usize, is_promised: bool) -> io::Result<Self> {
        let pages = if is_promised { Pages::promised(memory, bytes)? } else { Pages::filled(memory, bytes)? };
        if bytes >= POPULATE_BYTES_MIN {
            // Pages are mapped as tasks touch them. To map all of them in each worker takes longer.
            pages.prefer_large();
        }
        Ok(Self::of(pages, Sendable::Copy(OnceLock::new())))
    }

    /// Memory of this process's own, to be read by a task that this process runs itself.
    pub(super) fn of_own(segment: &Arc<Segment>) -> io::Result<Self> {
        let memory = FromParent::in_process(segment.memory.try_clone()?);
        let pages = match segment.kind {
            SegmentKind::Sealed => Pages::filled(&memory, segment.bytes),
            SegmentKind::Promised => Pages::promised(&memory, segment.bytes),
            SegmentKind::Parts | SegmentKind::Open | SegmentKind::Once | SegmentKind::Log => {
                Err(io::ErrorKind::PermissionDenied.into())
            }
        }?;
        Ok(Self::of(pages, Sendable::Itself(Some(Arc::clone(segment)))))
    }

    /// Memory of a worker's, which nobody can write any more: to be passed on itself where its descriptor stays open.
    pub(super) fn of_output(pages: Pages, descriptor: Option<(OwnedFd, Arc<Anchor>)>) -> Self {
        let Some((descriptor, kept)) = descriptor else {
            return Self::of(pages, Sendable::Copy(OnceLock::new()));
        };
        let segment = Segment::numbered(Arc::new(descriptor), pages.len(), SegmentKind::Sealed, Some(kept));
        Self::of(pages, Sendable::Itself(Some(segment)))
    }

    /// Returns the descriptor to send where an output has so many bytes of the memory: none where it goes by value.
    pub(super) fn output_descriptor(&self, bytes: usize) -> Option<BorrowedFd<'_>> {
        if bytes <= BY_VALUE_BYTES_MAX {
            return None;
        }
        let segment = match &self.segment {
            Sendable::Itself(segment) => segment.as_ref()?,
            // A part of another's memory is copied alone, as a value.
            Sendable::Copy(copy) if bytes <= self.pages.len() / 2 => copy.get()?.as_ref()?,
            Sendable::Copy(copy) => copy.get_or_init(|| self.copy()).as_ref()?,
        };
        let is_whole = || sys::filled_bytes(&segment.memory).is_ok_and(|filled| filled >= self.pages.len());
        (sys::is_sealed_against_all_writers(&segment.memory) && is_whole()).then(|| segment.memory.as_fd())
    }

    pub(crate) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Returns the segment that the workers of this process get; none where they cannot share the memory.
    pub(crate) fn segment(&self) -> Option<&Arc<Segment>> {
        match &self.segment {
            Sendable::Itself(segment) => segment.as_ref(),
            Sendable::Copy(copy) => copy.get()?.as_ref(),
        }
    }

    /// Returns the segment that the workers of this process get where so many bytes are named; none where these are to go by value.
    pub(super) fn segment_for(&self, bytes: usize) -> Option<&Arc<Segment>> {
        match &self.segment {
            Sendable::Itself(segment) => segment.as_ref(),
            Sendable::Copy(copy) if bytes > BY_VALUE_BYTES_MAX => copy.get_or_init(|| self.copy()).as_ref(),
            Sendable::Copy(copy) => copy.get()?.as_ref(),
        }
    }

    fn copy(&self) -> Option<Arc<Segment>> {
        let all = self.pages.numbers::<u8>(0, self.pages.len())?;
        let fill = |pages: &mut Pages| {
            let room = pages.numbers_mut::<u8>(0, all.len());
            room.map(|room| room.copy_from_slice(all)).is_some()
        };
        let (copy, is_written) = Self::fill(all.len(), fill).ok()?;
        copy.segment().filter(|_| is_written).map(Arc::clone)
    }
}

/// Seals memory against all writers; returns whether that was possible in a moment.
fn wait_until_sealed(memory: &OwnedFd) -> bool {
    let mut is_sealed = false;
    wait_until(SEAL_WAIT_MAX, || {
        let sealed = sys::seal_against_all_writers(memory);
        is_sealed = sealed.is_ok();
        sealed.err().is_none_or(|error| error.kind() != io::ErrorKind::ResourceBusy)
    });
    is_sealed
}

/// A worker unmaps its parts right behind its last result, but on a busy machine it may be kept from that.
const SEAL_WAIT_MAX: Duration = Duration::from_millis(20);

/// New memory that processes share, and nobody but this mapping can write. What may become an output is sealed when it is filled.
fn shared(bytes: usize) -> io::Result<(Pages, OwnedFd)> {
    let (pages, memory) = Pages::shared(bytes)?;
    if !MAKES_OUTPUTS.load(Ordering::Relaxed) {
        sys::seal_against_writers(&memory)?;
    }
    Ok((pages, memory))
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use super::*;

    /// Memory that was lent, with a number in it.
    fn lent() -> (Pages, Arc<Segment>) {
        let (mut pages, memory) = Pages::shared(4096).unwrap();
        pages.numbers_mut::<u64>(0, 1).unwrap()[0] = 7;
        (pages, Segment::lent(memory, 4096))
    }

    #[test]
    fn written_memory_is_itself_once_nobody_can_write_it_and_else_a_copy() {
        let (pages, segment) = lent();
        let written = Memory::written(pages, &segment).unwrap();
        let itself = written.segment().unwrap();
        assert!(Arc::ptr_eq(&itself.memory, &segment.memory) && itself.id != segment.id);
        let (pages, segment) = lent();
        let lease = sys::Lease::new(&FromParent::in_test(segment.memory.try_clone().unwrap()), 0, 4096).unwrap();
        let (mut writer, _) = lease.take(0, 8).unwrap();
        let written = Memory::written(pages, &segment).unwrap();
        assert!(!Arc::ptr_eq(&written.segment().unwrap().memory, &segment.memory));
        writer.numbers_mut::<u64>(0, 1).unwrap()[0] = 9;
        assert_eq!(written.pages().numbers::<u64>(0, 1), Some(&[7][..]));
    }
}
