//! Rings of bytes, mapped twice in a row, so that no read and no write needs to be cut at their end. One process writes a ring, and
//! another reads what was announced to it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use super::memory::{Access, Mapping, check_raced};
use super::socket::FromParent;

/// A ring, to be read.
pub(crate) struct Ring(Mapping);

impl Ring {
    /// The ring in the `bytes` from `offset` on, each a multiple of the page's size.
    ///
    /// # Errors
    ///
    /// The memory was not made to be written by several processes (`PermissionDenied`), or cannot be mapped.
    pub(crate) fn new(memory: impl AsFd, offset: usize, bytes: usize) -> io::Result<Self> {
        check_raced(&memory)?;
        Mapping::twice(memory, offset, bytes, Access::Read).map(Self)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.0.len() / 2
    }

    /// Fills a room of at most the capacity with what stands at a position.
    pub(super) fn copy_into(&self, position: u32, room: &mut [MaybeUninit<u8>]) {
        self.0.copy_into(position as usize % self.capacity(), room);
    }

    /// Copies out the few bytes that stand at a position.
    pub(crate) fn read<const BYTES: usize>(&self, position: u32) -> [u8; BYTES] {
        let mut bytes = [MaybeUninit::new(0); BYTES];
        self.copy_into(position, &mut bytes);
        // SAFETY: each byte was initialised twice.
        bytes.map(|byte| unsafe { byte.assume_init() })
    }

    /// Copies out what stands at a position, `bytes` at most the capacity.
    pub(crate) fn copy_out(&self, position: u32, bytes: usize, to: &mut Vec<u8>) {
        self.0.copy_out(position as usize % self.capacity(), bytes, to);
    }
}

/// A ring, to be written.
pub(crate) struct RingWriter(Mapping);

impl RingWriter {
    /// The ring in the `bytes` from `offset` on, each a multiple of the page's size. It takes the parent's descriptor with it, so
    /// that of what the parent sends once there is one writer; the parent sends it to this process alone, and only reads.
    ///
    /// # Errors
    ///
    /// As those of [`Ring::new`].
    pub(crate) fn new(memory: FromParent, offset: usize, bytes: usize) -> io::Result<Self> {
        let memory = memory.into_descriptor();
        check_raced(&memory)?;
        Mapping::twice(memory, offset, bytes, Access::ReadWrite).map(Self)
    }

    /// A process forked from this one does not get the memory.
    pub(crate) fn keep_from_forks(&mut self) {
        self.0.keep_from_forks();
    }

    pub(crate) fn capacity(&self) -> usize {
        self.0.len() / 2
    }

    /// The room from a position on.
    pub(crate) fn room(&mut self, position: u32, bytes: usize) -> &mut [u8] {
        let offset = position as usize % self.capacity();
        assert!(bytes <= self.capacity(), "more room than the ring has");
        // SAFETY: the range is mapped, and for `bytes` up to the capacity no byte is in it twice. It is borrowed from the
        // one writer of this memory (see `new`); the other process only copies from what was handed over to it.
        unsafe { std::slice::from_raw_parts_mut(self.0.address(offset), bytes) }
    }
}

/// Both ends of a ring of so many bytes.
#[cfg(test)]
#[cfg(poolmap_linux)]
pub(crate) fn ring_in_test(bytes: usize) -> (Ring, RingWriter) {
    let memory = super::raced_memory(bytes).unwrap();
    let ring = Ring::new(&memory, 0, bytes).unwrap();
    (ring, RingWriter::new(FromParent::in_test(memory), 0, bytes).unwrap())
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use super::*;
    use crate::sys::raced_memory;

    #[test]
    fn a_ring_wraps_without_a_seam() {
        let memory = raced_memory(3 << 12).unwrap();
        let reader = Ring::new(&memory, 1 << 12, 2 << 12).unwrap();
        let mut writer = RingWriter::new(FromParent::in_test(memory), 1 << 12, 2 << 12).unwrap();
        let text: Vec<u8> = (0..5000).map(|byte| byte as u8).collect();
        for position in [0u32, 4000, 8000, u32::MAX - 100] {
            writer.room(position, text.len()).copy_from_slice(&text);
            let mut copy = Vec::new();
            reader.copy_out(position, text.len(), &mut copy);
            assert_eq!(copy, text);
        }
    }
}
