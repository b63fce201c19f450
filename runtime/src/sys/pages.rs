//! Memory that is filled once and then only read, by this process and by others: as bytes, and as the numbers that they are.
//! It knows nothing of what stands in it.

use std::io;
use std::os::fd::AsFd;

use super::memory::{Access, Mapping};
use super::plain::Plain;

/// Memory that is written through `&mut` alone, by the one who made it, before anyone else has it.
pub(crate) struct Pages {
    mapping: Mapping,
    access: Access,
}

impl Pages {
    /// New memory that processes share, to be filled.
    pub(crate) fn shared(memory: impl AsFd, bytes: usize) -> io::Result<Self> {
        let mapping = Mapping::new(memory, bytes, Access::ReadWrite)?;
        Ok(Self { mapping, access: Access::ReadWrite })
    }

    /// New memory of this process alone, to be filled.
    pub(crate) fn private(bytes: usize) -> io::Result<Self> {
        Ok(Self { mapping: Mapping::private(bytes)?, access: Access::ReadWrite })
    }

    /// Memory that another has filled, or a file. The other must not change it any more: the parent that sent it keeps to
    /// that, and of a file `SharedSlice::from_file` asks it.
    pub(crate) fn filled(memory: impl AsFd, bytes: usize) -> io::Result<Self> {
        Ok(Self { mapping: Mapping::new(memory, bytes, Access::Read)?, access: Access::Read })
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

    #[inline]
    fn check<T>(&self, offset: usize, count: usize) -> Option<()> {
        let end = count.checked_mul(size_of::<T>())?.checked_add(offset)?;
        // A mapping begins at a page, so what is aligned in it is aligned.
        (end <= self.mapping.len() && offset.is_multiple_of(align_of::<T>())).then_some(())
    }

    /// Lets the system make all pages at once, for what this memory was made for, which costs less than one by one as they
    /// are touched. Where it cannot, it makes them as they are touched.
    #[cfg(poolmap_linux)]
    pub(crate) fn populate(&self) {
        use nix::sys::mman::MmapAdvise;

        let advice = match self.access {
            Access::Read => MmapAdvise::MADV_POPULATE_READ,
            Access::ReadWrite => MmapAdvise::MADV_POPULATE_WRITE,
        };
        // Large pages first, where the system has them for such memory.
        self.mapping.advise(MmapAdvise::MADV_HUGEPAGE);
        self.mapping.advise(advice);
    }

    #[cfg(not(poolmap_linux))]
    pub(crate) fn populate(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_another_has_filled_is_read_alone() {
        let memory = crate::sys::shared_memory(8).unwrap();
        let mut ours = Pages::shared(&memory, 8).unwrap();
        ours.numbers_mut::<u64>(0, 1).unwrap()[0] = 42;
        let mut theirs = Pages::filled(&memory, 8).unwrap();
        assert_eq!(theirs.numbers::<u64>(0, 1), Some(&[42][..]));
        assert_eq!(theirs.numbers_mut::<u64>(0, 1), None);
    }
}
