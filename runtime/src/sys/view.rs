//! Memory of the parent's that a worker reads where it stands. The one who writes it keeps still meanwhile.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::memory::{Access, Mapping};
use super::seals::is_sealed_against_writers;
use super::socket::FromParent;

/// Memory of the parent's, to be read, which nobody else can write. The parent writes nothing that this process was given to read,
/// until this one has reported that it is done: the protocol says so, and a worker trusts its parent.
pub(crate) struct View(Mapping);

impl View {
    /// Maps memory of the parent's.
    ///
    /// # Errors
    ///
    /// It is not sealed against writers (`PermissionDenied`), or cannot be mapped.
    pub(crate) fn new(memory: &FromParent, bytes: usize) -> io::Result<Self> {
        if !is_sealed_against_writers(memory.descriptor()) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Mapping::new(memory.descriptor(), bytes, Access::Read).map(Self)
    }

    /// The word at an offset, a multiple of 8, which the other process writes at any time.
    #[inline]
    pub(crate) fn word(&self, offset: usize) -> ReadWord<'_> {
        ReadWord(self.0.word(offset))
    }

    /// Some of the bytes; none if they are not all there.
    pub(crate) fn bytes(&self, offset: usize, bytes: usize) -> Option<&[u8]> {
        let end = offset.checked_add(bytes)?;
        if end > self.0.len() {
            return None;
        }
        // SAFETY: the range is mapped (checked above) and lives as long as `self`. It does not change while it is borrowed: the
        // memory is sealed against writers, so the parent alone can write it, and does not.
        Some(unsafe { std::slice::from_raw_parts(self.0.address(offset), bytes) })
    }
}

/// A word that is read here, and written by another process: the memory is mapped to be read.
#[derive(Clone, Copy)]
pub(crate) struct ReadWord<'a>(&'a AtomicU64);

impl ReadWord<'_> {
    /// Returns the bytes that stand there.
    #[inline]
    pub(crate) fn load(self, ordering: Ordering) -> u64 {
        self.0.load(ordering)
    }
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use super::*;
    use crate::sys::{CommonMemory, Lease, Pages, Region, Words, raced_memory};

    #[test]
    fn sealed_memory_can_be_read_and_not_written_by_others() {
        let (mut region, memory) = Region::shared(1 << 12).unwrap();
        region[7] = 42;
        let parent = FromParent::in_test(memory.try_clone().unwrap());
        assert_eq!(View::new(&parent, 1 << 12).unwrap().bytes(7, 1), Some(&[42][..]));
        assert!(Words::new(&memory, 1 << 12).is_err());
        assert!(nix::unistd::ftruncate(&memory, 0).is_err());
        assert!(nix::unistd::write(&memory, b"x").is_err());
    }

    #[test]
    fn memory_is_mapped_for_what_it_was_made_for() {
        let (pages, lent) = Pages::shared(1 << 12).unwrap();
        assert!(Words::new(&lent, 1 << 12).is_err());
        assert!(CommonMemory::new(&lent, 1 << 12).is_err());
        assert!(View::new(&FromParent::in_test(lent), 1 << 12).is_err());
        drop(pages);
        let raced = raced_memory(1 << 12).unwrap();
        assert!(Words::new(&raced, 1 << 12).is_ok());
        let raced = FromParent::in_test(raced);
        assert!(View::new(&raced, 1 << 12).is_err());
        assert!(Lease::new(&raced, 0, 1 << 12).is_err());
    }
}
