//! Memory of another process that this one may write in parts: reserved first, so that its descriptor can be closed, and each
//! part made accessible when it is used.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::memory::Mapping;
use super::pages::Pages;
#[cfg(poolmap_linux)]
use super::seals::is_raced;
use super::socket::FromParent;

/// A range of the parent's memory, of which this process has nothing yet: it is mapped, and can be neither read nor written.
///
/// It trusts the parent, which leaves the range to this process as long as a part of it lives.
pub(crate) struct Lease {
    reserved: Mapping,
    /// Where the range begins in the memory: at a page.
    offset: usize,
    /// The parts that were taken, each by its beginning, and their ends. None is taken twice.
    taken: Mutex<BTreeMap<usize, usize>>,
}

impl Lease {
    /// Reserves a range, which begins at a page.
    ///
    /// # Errors
    ///
    /// The memory is one that several processes write at once (`PermissionDenied`); the system has no address space.
    #[cfg(poolmap_linux)]
    pub(crate) fn new(memory: &FromParent, offset: usize, bytes: usize) -> io::Result<Self> {
        if is_raced(memory.descriptor()) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let reserved = Mapping::reserved(memory.descriptor(), offset, bytes)?;
        Ok(Self { reserved, offset, taken: Mutex::default() })
    }

    #[cfg(not(poolmap_linux))]
    pub(crate) fn new(_memory: &FromParent, _offset: usize, _bytes: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether the range holds these bytes of the memory.
    pub(crate) fn holds(&self, offset: usize, bytes: usize) -> bool {
        offset >= self.offset && (offset - self.offset).checked_add(bytes).is_some_and(|end| end <= self.reserved.len())
    }

    /// Takes some bytes, to be written, and returns where they begin in the pages: a page at their ends may hold other bytes too.
    ///
    /// # Errors
    ///
    /// Some of them were taken before, or are not in the range; the system has no address space.
    pub(crate) fn take(&self, offset: usize, bytes: usize) -> io::Result<(Pages, usize)> {
        let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
        if !self.holds(offset, bytes) || bytes == 0 {
            return Err(refused());
        }
        let (start, end) = (offset - self.offset, offset - self.offset + bytes);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Those before it end where it begins, at most, as they do not overlap either.
        if taken.range(..end).next_back().is_some_and(|(_, &other_end)| other_end > start) {
            return Err(refused());
        }
        let in_page = start % super::page::page_bytes();
        let first = start - in_page;
        let writable = self.reserved.writable_copy(first, end - first)?;
        taken.insert(start, end);
        Ok((Pages::taken(writable), in_page))
    }
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use super::*;
    use crate::sys::Pages;

    #[test]
    fn what_is_taken_is_written_where_it_stands_and_taken_once() {
        let (ours, memory) = Pages::shared(1 << 20).unwrap();
        let lease = Lease::new(&FromParent::in_test(memory), 4096, 8192).unwrap();
        for (offset, bytes) in [(0, 16), (4088, 16), (4096, 8193), (4096, 0), (1 << 20, 8), (usize::MAX, 8)] {
            assert!(lease.take(offset, bytes).is_err(), "{offset}, {bytes}");
        }
        let mut parts = Vec::new();
        for offset in [4096 + 8, 4096, 8192 - 8, 8192, 12288 - 8] {
            let (mut part, start) = lease.take(offset, 8).unwrap();
            part.numbers_mut::<u64>(start, 1).unwrap()[0] = offset as u64;
            parts.push(part);
        }
        for (offset, bytes) in [(4096, 8), (4096, 16), (4100, 4), (8192 - 4, 8), (4096, 8192), (5000, 7000)] {
            assert!(lease.take(offset, bytes).is_err(), "{offset}, {bytes}");
        }
        drop(parts);
        assert!(lease.take(4096, 8).is_err());
        for offset in [4096 + 8, 4096, 8192 - 8, 8192, 12288 - 8] {
            assert_eq!(ours.numbers::<u64>(offset, 1), Some(&[offset as u64][..]));
        }
    }
}
