//! Memory that is filled and then only read, by this process and by others: as bytes, and as the numbers that they are. It knows
//! nothing of what is in it, and nothing of who else has it.

use std::io::{self, ErrorKind::PermissionDenied};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

#[cfg(poolmap_linux)]
use nix::sys::mman::MmapAdvise;

use super::memory::{Access, Mapping, shared_memory};
use super::pod::Plain;
use super::seals::{
    is_sealed_against_all_writers, is_sealed_against_writers, seal_against_all_writers, seal_against_writers,
};
use super::shared_memory::memory_bytes;
use super::socket::FromParent;

/// Memory that is written through `&mut` alone, by the one who made it, before anyone else has it.
pub(crate) struct Pages {
    mapping: Mapping,
    access: Access,
}

impl Pages {
    /// New memory that processes share, to be filled, and its descriptor. Nobody else has it before this process sends it.
    pub(crate) fn shared(bytes: usize) -> io::Result<(Self, OwnedFd)> {
        let memory = shared_memory(bytes)?;
        let mapping = Mapping::new(&memory, bytes, Access::ReadWrite)?;
        Ok((Self { mapping, access: Access::ReadWrite }, memory))
    }

    /// New memory of this process alone, to be filled.
    pub(crate) fn private(bytes: usize) -> io::Result<Self> {
        Ok(Self { mapping: Mapping::private(bytes)?, access: Access::ReadWrite })
    }

    /// Seals memory that was filled by these pages, and by no others, against all writers, and maps it to be read. Where it cannot be
    /// sealed so, because a process has another mapping that can be written, it is sealed against new ones.
    ///
    /// # Errors
    ///
    /// It cannot be sealed, or cannot be mapped.
    pub(crate) fn into_sealed(self, memory: &OwnedFd) -> io::Result<Self> {
        let bytes = self.len();
        // The mapping that can be written keeps the memory from being sealed.
        drop(self);
        if seal_against_all_writers(memory).is_err() {
            // A process that was forked meanwhile has the mapping too, and does not know of it.
            seal_against_writers(memory)?;
        }
        Self::to_read(memory.as_fd(), bytes)
    }

    /// A file.
    ///
    /// # Safety
    ///
    /// Nobody changes the file's bytes, or makes it shorter, as long as the pages are there.
    pub(crate) unsafe fn mapped(file: impl AsFd, bytes: usize) -> io::Result<Self> {
        Ok(Self { mapping: Mapping::new(file, bytes, Access::Read)?, access: Access::Read })
    }

    /// Memory that the parent has filled, and that nobody else can write: the kernel is asked whether it is so. The parent sends it
    /// when it is filled, and writes nothing that is granted to anybody.
    ///
    /// # Errors
    ///
    /// It is not sealed (`PermissionDenied`), is shorter, or cannot be mapped.
    pub(crate) fn filled(memory: &FromParent, bytes: usize) -> io::Result<Self> {
        let memory = memory.descriptor();
        if is_sealed_against_writers(memory) { Self::to_read(memory, bytes) } else { Err(PermissionDenied.into()) }
    }

    /// Memory that nobody can write any more, this process included: the kernel is asked whether it is so.
    ///
    /// # Errors
    ///
    /// As those of [`filled`](Self::filled).
    pub(crate) fn sealed(memory: &OwnedFd, bytes: usize) -> io::Result<Self> {
        if is_sealed_against_all_writers(memory) {
            Self::to_read(memory.as_fd(), bytes)
        } else {
            Err(PermissionDenied.into())
        }
    }

    /// Sealed memory.
    fn to_read(memory: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        if memory_bytes(memory)? < bytes {
            return Err(PermissionDenied.into());
        }
        Ok(Self { mapping: Mapping::sealed(memory, bytes)?, access: Access::Read })
    }

    /// A file of the parent's, which has mapped it too by [`mapped`](Self::mapped), whose caller answers for all processes.
    pub(crate) fn promised(file: &FromParent, bytes: usize) -> io::Result<Self> {
        // SAFETY: whoever mapped the file in the parent answers for it as long as the pages are there, in any process.
        unsafe { Self::mapped(file.descriptor(), bytes) }
    }

    /// Pages that a `Lease` gave to nobody else.
    pub(super) fn taken(mapping: Mapping) -> Self {
        Self { mapping, access: Access::ReadWrite }
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.mapping.len()
    }

    /// Some of the bytes as numbers: none if they are not all there, or not aligned.
    #[inline]
    pub(crate) fn numbers<T: Plain>(&self, offset: usize, count: usize) -> Option<&[T]> {
        self.check::<T>(offset, count)?;
        // SAFETY: the range is mapped and aligned (checked above) and lives as long as `self`; whatever bytes are there are
        // values of `T`, which is `Plain`; and who could write them has `&mut self`, or had it before it was handed over.
        Some(unsafe { std::slice::from_raw_parts(self.mapping.address(offset).cast::<T>(), count) })
    }

    /// Some of the bytes as numbers, to be filled: none if they are not all there, or are another's.
    pub(crate) fn numbers_mut<T: Plain>(&mut self, offset: usize, count: usize) -> Option<&mut [T]> {
        if self.access == Access::Read {
            return None;
        }
        self.check::<T>(offset, count)?;
        // SAFETY: as in `numbers`; the mapping can be written, and is borrowed exclusively.
        Some(unsafe { std::slice::from_raw_parts_mut(self.mapping.address(offset).cast::<T>(), count) })
    }

    /// Some of the bytes as numbers, to be divided into parts: none where `numbers_mut` gives none.
    pub(crate) fn parts<T: Plain>(&mut self, offset: usize, count: usize) -> Option<Part<'_, T>> {
        let numbers = self.numbers_mut::<T>(offset, count)?;
        Some(Part { start: NonNull::from(numbers).cast(), count, of: PhantomData })
    }

    #[inline]
    fn check<T: Plain>(&self, offset: usize, count: usize) -> Option<()> {
        let () = T::FITS;
        let end = count.checked_mul(size_of::<T>())?.checked_add(offset)?;
        // A mapping begins at a page, so what is aligned in it is aligned.
        (end <= self.mapping.len() && offset.is_multiple_of(align_of::<T>())).then_some(())
    }

    /// Lets the system make all pages at once, of memory that is about to be filled, which costs less than one by one as they are
    /// touched. Where it cannot, it makes them as they are touched.
    #[cfg(poolmap_linux)]
    pub(crate) fn populate(&self) {
        self.prefer_large();
        self.mapping.advise(MmapAdvise::MADV_POPULATE_WRITE);
    }

    #[cfg(not(poolmap_linux))]
    pub(crate) fn populate(&self) {}

    /// Lets the system use large pages, where it has them for such memory.
    #[cfg(poolmap_linux)]
    pub(crate) fn prefer_large(&self) {
        self.mapping.advise(MmapAdvise::MADV_HUGEPAGE);
    }

    #[cfg(not(poolmap_linux))]
    pub(crate) fn prefer_large(&self) {}
}

/// Borrows a range of [`Pages`] exclusively. It becomes a `&mut [T]` only on a deref, so that another process may have the numbers
/// before that.
pub(crate) struct Part<'a, T> {
    start: NonNull<T>,
    count: usize,
    of: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a `&mut [T]`, which is `Send` where `T` is.
unsafe impl<T: Send> Send for Part<'_, T> {}
// SAFETY: as above; shared, it is a `&[T]`.
unsafe impl<T: Sync> Sync for Part<'_, T> {}

impl<T: Plain> Part<'_, T> {
    /// The first `count` of the numbers, and the others.
    ///
    /// # Panics
    ///
    /// There are not so many.
    pub(crate) fn split_at(self, count: usize) -> (Self, Self) {
        assert!(count <= self.count, "a part is split inside of it");
        // SAFETY: the offset is inside of the numbers, or right behind the last of them (checked above).
        let rest = unsafe { self.start.add(count) };
        let of = PhantomData;
        (Self { start: self.start, count, of }, Self { start: rest, count: self.count - count, of })
    }

    /// A part without numbers.
    pub(crate) fn empty() -> Self {
        Self { start: NonNull::dangling(), count: 0, of: PhantomData }
    }

    /// Whether it has no numbers. Like `len` it borrows none of them.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many numbers it has.
    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

impl<T: Plain> Deref for Part<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: these are numbers out of `numbers_mut`, which are borrowed as long as this lives; each is in one part,
        // as a part is only made from all of them, and then divided.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl<T: Plain> DerefMut for Part<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; and the part is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_divided_and_never_meet() {
        let mut pages = Pages::private(4096).unwrap();
        assert!(pages.parts::<u64>(0, 513).is_none());
        let (first, rest) = pages.parts::<u64>(8, 511).unwrap().split_at(100);
        let (mut second, third) = rest.split_at(411);
        second.fill(2);
        assert_eq!((first.len(), second.len(), third.len()), (100, 411, 0));
        assert!(first.iter().all(|&number| number == 0));
        assert_eq!(pages.numbers::<u64>(800, 2), Some(&[0, 2][..]));
    }

    #[test]
    fn numbers_outside_or_unaligned_are_none() {
        let mut pages = Pages::private(4096).unwrap();
        pages.numbers_mut::<u32>(4, 2).unwrap().copy_from_slice(&[7, 9]);
        pages.populate();
        assert_eq!(pages.numbers::<u32>(4, 2), Some(&[7, 9][..]));
        assert_eq!(pages.numbers::<u32>(4, 1023).map(<[u32]>::len), Some(1023));
        assert_eq!(pages.numbers::<u32>(4, 1024), None);
        assert_eq!(pages.numbers::<u32>(2, 1), None);
        assert_eq!(pages.numbers::<u64>(8, usize::MAX / 4), None);
        assert_eq!(pages.numbers::<u8>(usize::MAX, 2), None);
    }

    #[test]
    #[cfg(poolmap_linux)]
    fn what_another_has_filled_is_read_once_nobody_can_write_it() {
        let (mut ours, memory) = Pages::shared(8).unwrap();
        ours.numbers_mut::<u64>(0, 1).unwrap()[0] = 42;
        let sent = FromParent::in_test(memory.try_clone().unwrap());
        assert!(Pages::filled(&sent, 8).is_err());
        crate::sys::seal_against_writers(&memory).unwrap();
        assert!(Pages::filled(&sent, 4097).is_err());
        // Its maker could still write it.
        assert!(Pages::sealed(&memory, 8).is_err());
        let mut theirs = Pages::filled(&sent, 8).unwrap();
        assert_eq!(theirs.numbers::<u64>(0, 1), Some(&[42][..]));
        assert_eq!(theirs.numbers_mut::<u64>(0, 1), None);
        let (ours, memory) = Pages::shared(8).unwrap();
        let ours = ours.into_sealed(&memory).unwrap();
        assert_eq!(ours.numbers::<u64>(0, 1), Some(&[0][..]));
        assert_eq!(Pages::sealed(&memory, 8).unwrap().numbers::<u64>(0, 1), Some(&[0][..]));
    }
}
