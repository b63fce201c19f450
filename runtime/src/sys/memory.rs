//! Memory that processes share, and memory that only looks like it, as safe types: words, rings, and regions that never overlap.
//! It knows nothing of what is in them.
//!
//! Memory that another process may write is never borrowed: it is read as atomic words, or copied out first. Memory that is borrowed as
//! bytes has one writer, this process.

use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nix::libc::{self, c_void};
#[cfg(not(miri))]
use nix::sys::mman::munmap;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous};

use super::forks::ForkMark;
use super::racing::copy_from;
use super::rlimit::not_mapped;
#[cfg(poolmap_linux)]
use super::seals::is_raced;
use super::seals::{seal_against_writers, seal_seals};

/// The use of a mapping.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
}

impl Access {
    fn flags(self) -> ProtFlags {
        match self {
            Self::Read => ProtFlags::PROT_READ,
            Self::ReadWrite => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
        }
    }
}

/// Makes memory of so many bytes that processes can share. It has no name, takes no memory before it is touched, and its size
/// is sealed: whoever else has it cannot cut it off under this process, which would end it by SIGBUS.
#[cfg(poolmap_linux)]
pub(crate) fn shared_memory(bytes: usize) -> io::Result<OwnedFd> {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};

    super::rlimit::check_file_bytes(bytes as u64)?;
    let memory = memfd_create(c"poolmap", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    nix::unistd::ftruncate(&memory, libc::off_t::try_from(bytes).map_err(io::Error::other)?)?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW))?;
    Ok(memory)
}

#[cfg(not(poolmap_linux))]
pub(crate) fn shared_memory(_bytes: usize) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The same, for several processes to write at once. None can seal it against the others, and [`Words`], `Ring` and
/// `CommonMemory` map no other.
pub(crate) fn raced_memory(bytes: usize) -> io::Result<OwnedFd> {
    let memory = shared_memory(bytes)?;
    seal_seals(&memory)?;
    Ok(memory)
}

/// Refuses memory that was not made by [`raced_memory`]: of any other, this process may have borrowed the bytes.
#[cfg(poolmap_linux)]
pub(super) fn check_raced(memory: impl AsFd) -> io::Result<()> {
    if is_raced(memory) { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// There is no memory that is lent in parts or sealed, and so none whose bytes are borrowed.
#[cfg(not(poolmap_linux))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(super) fn check_raced(_memory: impl AsFd) -> io::Result<()> {
    Ok(())
}

/// Whether a call failed for want of descriptors, and not because the system cannot do it.
pub(crate) fn is_short_of_descriptors(error: &io::Error) -> bool {
    use nix::errno::Errno;

    let short = [Errno::EMFILE, Errno::ENFILE];
    error.raw_os_error().is_some_and(|number| short.contains(&Errno::from_raw(number)))
}

/// Address space that takes memory as it is touched. FreeBSD has no flag for that, and reserves nothing anyway.
#[cfg(not(target_os = "freebsd"))]
const RESERVED: MapFlags = MapFlags::MAP_PRIVATE.union(MapFlags::MAP_NORESERVE);
#[cfg(target_os = "freebsd")]
const RESERVED: MapFlags = MapFlags::MAP_PRIVATE;

/// Mapped memory, unmapped when it is dropped.
pub(super) struct Mapping {
    start: NonNull<c_void>,
    bytes: usize,
    /// Who has it, where processes forked from that one do not get it: at this address they may have something else.
    kept_by: Option<ForkMark>,
}

// SAFETY: a mapping belongs to the process and not to a thread; what may be done with its memory at once is up to the types
// that hold one.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared `Mapping` gives nothing but its address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// A range that was just mapped.
    fn of(start: NonNull<c_void>, bytes: usize) -> Self {
        let mapping = Self { start, bytes, kept_by: None };
        mapping.keep_from_core_dumps();
        mapping
    }

    pub(super) fn new(memory: impl AsFd, bytes: usize, access: Access) -> io::Result<Self> {
        let length = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the kernel chooses a free address, so no memory of ours is replaced.
        let start = unsafe { mmap(None, length, access.flags(), MapFlags::MAP_SHARED, memory, 0) };
        let start = start.map_err(|error| not_mapped(error, bytes))?;
        Ok(Self::of(start, bytes))
    }

    /// Memory that is sealed against writers, to be read.
    pub(super) fn sealed(memory: impl AsFd, bytes: usize) -> io::Result<Self> {
        match Self::new(&memory, bytes, Access::Read) {
            // A kernel before 6.7 refuses this for memory that not even its maker can write any more. Nobody writes it, so a private
            // mapping of it is the same.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            mapped => return mapped,
        }
        let length = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the kernel chooses a free address, so no memory of ours is replaced.
        let start = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, memory, 0) };
        let start = start.map_err(|error| not_mapped(error, bytes))?;
        Ok(Self::of(start, bytes))
    }

    /// A part of memory that can be neither read nor written, and which processes forked from this one do not get. `offset` is a
    /// multiple of the page's size.
    #[cfg(poolmap_linux)]
    pub(super) fn reserved(memory: impl AsFd, offset: usize, bytes: usize) -> io::Result<Self> {
        let length = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: the kernel chooses a free address, so no memory of ours is replaced.
        let start = unsafe { mmap(None, length, ProtFlags::PROT_NONE, MapFlags::MAP_SHARED, memory, offset) };
        let start = start.map_err(|error| not_mapped(error, bytes))?;
        let mut mapping = Self::of(start, bytes);
        mapping.keep_from_forks();
        Ok(mapping)
    }

    /// A second mapping of some of the pages, at another address, that can be written; all of it is about to be touched.
    /// `offset` is a multiple of the page's size.
    #[cfg(poolmap_linux)]
    pub(super) fn writable_copy(&self, offset: usize, bytes: usize) -> io::Result<Self> {
        use nix::errno::Errno;
        use nix::libc::{MREMAP_MAYMOVE, mremap};
        use nix::sys::mman::{MmapAdvise, mprotect};

        let end = offset.checked_add(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        if bytes == 0 || end > self.bytes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: with an old length of 0 the call makes a second mapping of the pages from `offset` on, which are in this mapping
        // (checked above), at an address that the kernel chooses, and leaves this one as it is (mremap(2)).
        let start = unsafe { mremap(self.address(offset).cast(), 0, bytes, MREMAP_MAYMOVE) };
        // It fails with -1, and address 0 is none that the kernel chooses.
        let start = NonNull::new(start).filter(|start| start.addr() != NonZeroUsize::MAX).ok_or_else(Errno::last)?;
        let mut mapping = Self::of(start, bytes);
        // SAFETY: the range is the mapping just made, which nothing else knows.
        unsafe { mprotect(start, bytes, Access::ReadWrite.flags()) }?;
        mapping.keep_from_forks();
        // One by one, as they are touched, they take twice as long as numbers to be filled in.
        mapping.advise(MmapAdvise::MADV_POPULATE_WRITE);
        Ok(mapping)
    }

    #[cfg(not(poolmap_linux))]
    pub(super) fn writable_copy(&self, _offset: usize, _bytes: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The same for an interpreter, which has the heap alone.
    #[cfg(miri)]
    pub(super) fn private(bytes: usize) -> io::Result<Self> {
        let layout = heap_layout(bytes).filter(|layout| layout.size() > 0).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the layout is not empty.
        let start = unsafe { std::alloc::alloc_zeroed(layout) };
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start: start.cast(), bytes, kept_by: None })
    }

    /// Memory of this process alone.
    #[cfg(not(miri))]
    pub(super) fn private(bytes: usize) -> io::Result<Self> {
        let length = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the kernel chooses a free address, so no memory of ours is replaced.
        let start = unsafe { mmap_anonymous(None, length, Access::ReadWrite.flags(), RESERVED) };
        let start = start.map_err(|error| not_mapped(error, bytes))?;
        Ok(Self::of(start, bytes))
    }

    /// The bytes from `offset` on, twice, one behind the other: whatever begins in the first is in one piece.
    pub(super) fn twice(memory: impl AsFd, offset: usize, bytes: usize, access: Access) -> io::Result<Self> {
        let length = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        let both = NonZeroUsize::new(bytes * 2).ok_or(io::ErrorKind::InvalidInput)?;
        let file_offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: the kernel chooses a free address, so no memory of ours is replaced.
        let start = unsafe { mmap_anonymous(None, both, ProtFlags::PROT_NONE, RESERVED) };
        let start = start.map_err(|error| not_mapped(error, both.get()))?;
        // From here on it is unmapped as a whole, whatever fails.
        let mapping = Self { start, bytes: bytes * 2, kept_by: None };
        for half in 0..2 {
            let address = NonZeroUsize::new(start.as_ptr().addr() + half * bytes);
            let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
            // SAFETY: what is replaced is a half of the address space reserved above, which nothing else knows.
            let half = unsafe { mmap(address, length, access.flags(), flags, memory.as_fd(), file_offset) };
            half.map_err(|error| not_mapped(error, bytes))?;
        }
        // Each half has replaced what was advised before.
        mapping.keep_from_core_dumps();
        Ok(mapping)
    }

    /// Leaves the memory out of core dumps. The kernel would read every page of it, and so make those that nobody has touched, and
    /// a worker's core would hold the arguments of all other tasks.
    fn keep_from_core_dumps(&self) {
        #[cfg(target_os = "linux")]
        let advice = Some(nix::sys::mman::MmapAdvise::MADV_DONTDUMP);
        #[cfg(target_os = "freebsd")]
        let advice = Some(nix::sys::mman::MmapAdvise::MADV_NOCORE);
        #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
        let advice = None::<nix::sys::mman::MmapAdvise>;
        if let Some(advice) = advice {
            // SAFETY: the range is a mapping of ours, and the advice changes nothing but what a core dump holds. A kernel that
            // does not know it changes nothing at all.
            let _ = unsafe { nix::sys::mman::madvise(self.start, self.bytes, advice) };
        }
    }

    #[cfg(poolmap_linux)]
    pub(super) fn keep_from_forks(&mut self) {
        // SAFETY: the range is a mapping of ours, and the advice changes nothing in this process.
        let kept =
            unsafe { nix::sys::mman::madvise(self.start, self.bytes, nix::sys::mman::MmapAdvise::MADV_DONTFORK) };
        self.kept_by = kept.is_ok().then(ForkMark::here);
    }

    #[cfg(not(poolmap_linux))]
    pub(super) fn keep_from_forks(&mut self) {}

    /// Advises the kernel how the memory is used. Advice that it does not know, or cannot follow now, changes nothing.
    #[cfg(poolmap_linux)]
    pub(super) fn advise(&self, advice: nix::sys::mman::MmapAdvise) {
        // SAFETY: the range is a mapping of ours; the callers' advice makes pages, and changes and drops nothing.
        let _ = unsafe { nix::sys::mman::madvise(self.start, self.bytes, advice) };
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn address(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset <= self.bytes, "an address behind the mapping");
        self.start.as_ptr().cast::<u8>().wrapping_add(offset)
    }

    /// The word at an offset, a multiple of 8.
    #[inline]
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.bytes, "a word behind the mapping");
        // SAFETY: the address is mapped and aligned (checked above), and all that ever touches it, here and in the other
        // process, is atomic.
        unsafe { AtomicU64::from_ptr(self.address(offset).cast()) }
    }

    /// Copies bytes out that another process may be writing at the moment: what is read may be anything, but is read once.
    pub(super) fn copy_out(&self, offset: usize, bytes: usize, to: &mut Vec<u8>) {
        to.reserve(bytes);
        self.copy_into(offset, &mut to.spare_capacity_mut()[..bytes]);
        // SAFETY: so many bytes were reserved, and are written now.
        unsafe { to.set_len(to.len() + bytes) };
    }

    /// The same, into a room: all of it is initialised then.
    pub(super) fn copy_into(&self, offset: usize, room: &mut [MaybeUninit<u8>]) {
        let end = offset.checked_add(room.len()).expect("a length in memory");
        assert!(end <= self.bytes, "a copy of bytes behind the mapping");
        // SAFETY: the source is mapped to be read (checked above), and the target is borrowed exclusively, so they do not overlap.
        unsafe { copy_from(self.address(offset).cast_const(), room.as_mut_ptr().cast(), room.len()) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.kept_by.is_some_and(|owner| !owner.is_here()) {
            return;
        }
        #[cfg(miri)]
        if let Some(layout) = heap_layout(self.bytes) {
            // SAFETY: an interpreter has mappings of `private` alone, which allocates them with this layout.
            unsafe { std::alloc::dealloc(self.start.as_ptr().cast(), layout) };
        }
        #[cfg(not(miri))]
        // SAFETY: the range was mapped by us, and whoever borrows from it borrows this.
        let _ = unsafe { munmap(self.start, self.bytes) };
    }
}

/// Memory that an interpreter allocates for a mapping: a page's alignment is that of a mapping.
#[cfg(miri)]
fn heap_layout(bytes: usize) -> Option<std::alloc::Layout> {
    std::alloc::Layout::from_size_align(bytes, 4096).ok()
}

/// Atomic words, and bytes that are copied in and out, in memory that another process reads and writes at will.
pub(crate) struct Words(Mapping);

impl Words {
    /// The words of memory that was made to be written by several processes at once.
    ///
    /// # Errors
    ///
    /// It was made for something else (`PermissionDenied`), or cannot be mapped.
    pub(crate) fn new(memory: impl AsFd, bytes: usize) -> io::Result<Self> {
        check_raced(&memory)?;
        Mapping::new(memory, bytes, Access::ReadWrite).map(Self)
    }

    /// A process forked from this one does not get the memory: it must not write into what is not its own.
    pub(crate) fn keep_from_forks(&mut self) {
        self.0.keep_from_forks();
    }

    /// The word at an offset, a multiple of 8.
    #[inline]
    pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
        self.0.word(offset)
    }
}

/// A part of mapped memory that no other `Region` has a part of: all are split off from one.
pub(crate) struct Region {
    mapping: Arc<Mapping>,
    offset: usize,
    bytes: usize,
}

impl Region {
    /// New memory that processes share, and that this one alone can write: it is sealed before anybody else has it.
    pub(crate) fn shared(bytes: usize) -> io::Result<(Self, OwnedFd)> {
        let memory = shared_memory(bytes)?;
        let mapping = Arc::new(Mapping::new(&memory, bytes, Access::ReadWrite)?);
        seal_against_writers(&memory)?;
        Ok((Self { mapping, offset: 0, bytes }, memory))
    }

    /// The same, behind so many bytes of atomic words.
    pub(crate) fn behind_words(words: usize, bytes: usize) -> io::Result<(Self, Words, OwnedFd)> {
        let memory = shared_memory(bytes)?;
        let mapping = Arc::new(Mapping::new(&memory, bytes, Access::ReadWrite)?);
        let head = Words(Mapping::new(&memory, words, Access::ReadWrite)?);
        seal_against_writers(&memory)?;
        let mut all = Self { mapping, offset: 0, bytes };
        Ok((all.split_off(words), head, memory))
    }

    /// Memory of this process alone.
    pub(crate) fn private(bytes: usize) -> io::Result<Self> {
        Ok(Self { mapping: Arc::new(Mapping::private(bytes)?), offset: 0, bytes })
    }

    /// Where it begins in the memory.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// Takes what stands from `at` on out of it.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        assert!(at <= self.bytes, "a region is split inside of it");
        let rest = Self { mapping: Arc::clone(&self.mapping), offset: self.offset + at, bytes: self.bytes - at };
        self.bytes = at;
        rest
    }

    /// Takes back the region that begins where this one ends; another is given back.
    pub(crate) fn join(&mut self, next: Self) -> Result<(), Self> {
        if next.offset != self.offset + self.bytes || !Arc::ptr_eq(&self.mapping, &next.mapping) {
            return Err(next);
        }
        self.bytes += next.bytes;
        Ok(())
    }
}

impl Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range is mapped, lives as long as the mapping that is held, and belongs to this region alone. Other
        // processes cannot write it: they could map it only before it was sealed against writers, when nobody had it.
        unsafe { std::slice::from_raw_parts(self.mapping.address(self.offset), self.bytes) }
    }
}

impl DerefMut for Region {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; and the region is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.mapping.address(self.offset), self.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_split_and_join() {
        let mut first = Region::private(8192).unwrap();
        let mut third = first.split_off(4096);
        let second = third.split_off(1000);
        first.fill(1);
        third.fill(3);
        let second = first.join(second).err().unwrap();
        assert!(third.join(second).is_ok());
        assert_eq!((first.len(), third.len(), first[4095], third[0]), (4096, 4096, 1, 3));
    }
}
