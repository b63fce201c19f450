//! A `Vec` of numbers whose bytes come one part after another, out of memory that another process may be writing.

use std::mem::MaybeUninit;

use super::pod::Plain;
use super::ring::Ring;

/// A `Vec` that is there once all its bytes have come.
pub(crate) struct Filling<T> {
    /// Empty, with room for them all.
    numbers: Vec<T>,
    /// So many bytes there will be, and so many have come: these are initialised, from the first on.
    bytes: usize,
    filled: usize,
}

impl<T: Plain> Filling<T> {
    /// Room for so many bytes. None if they are not whole numbers, or there is no memory for them.
    pub(crate) fn new(bytes: usize) -> Option<Self> {
        let mut numbers = Vec::new();
        let is_whole = bytes.is_multiple_of(size_of::<T>());
        (is_whole && numbers.try_reserve_exact(bytes / size_of::<T>()).is_ok()).then_some(Self {
            numbers,
            bytes,
            filled: 0,
        })
    }

    /// How many bytes are to come.
    pub(crate) fn left(&self) -> usize {
        self.bytes - self.filled
    }

    /// Takes the next bytes from a position of a ring, at most as many as are left.
    pub(crate) fn copy_from(&mut self, ring: &Ring, position: u32, bytes: usize) {
        assert!(bytes <= self.left(), "more bytes than there is room for");
        let room = &mut spare_bytes(&mut self.numbers)[self.filled..][..bytes];
        ring.copy_into(position, room);
        self.filled += bytes;
    }

    /// The bytes that have come.
    pub(crate) fn filled(&self) -> &[u8] {
        // SAFETY: so many bytes from the first on are initialised, in memory that is borrowed as long as the result.
        unsafe { std::slice::from_raw_parts(self.numbers.as_ptr().cast(), self.filled) }
    }

    /// The `Vec`, if all its bytes have come.
    pub(crate) fn into_vec(mut self) -> Option<Vec<T>> {
        if self.left() > 0 {
            return None;
        }
        // SAFETY: there is room for so many, and all their bytes have come; whatever these are, they are values of `T`, which is `Plain`.
        unsafe { self.numbers.set_len(self.bytes / size_of::<T>()) };
        Some(self.numbers)
    }
}

/// The memory behind the elements of a `Vec`, as bytes.
fn spare_bytes<T>(numbers: &mut Vec<T>) -> &mut [MaybeUninit<u8>] {
    let spare = numbers.spare_capacity_mut();
    // SAFETY: it is the same memory, borrowed exclusively as long; any byte of it is a `MaybeUninit<u8>`, which has no alignment, and
    // whatever is written there leaves each element a `MaybeUninit<T>`.
    unsafe { std::slice::from_raw_parts_mut(spare.as_mut_ptr().cast(), size_of_val(spare)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_for_whole_numbers_and_for_what_memory_holds() {
        assert!(Filling::<u32>::new(10).is_none());
        assert!(Filling::<u64>::new(usize::MAX - 7).is_none());
        let filling = Filling::<u32>::new(12).unwrap();
        assert_eq!((filling.left(), filling.filled()), (12, &[][..]));
        assert!(filling.into_vec().is_none());
        assert_eq!(Filling::<f64>::new(0).unwrap().into_vec(), Some(Vec::new()));
    }

    #[test]
    #[cfg(poolmap_linux)]
    #[cfg_attr(miri, ignore = "a ring is mapped twice")]
    fn bytes_that_come_in_any_parts_are_the_numbers() {
        let (ring, mut writer) = crate::sys::ring_in_test(2 << 12);
        let numbers: Vec<u32> = (0..1000u32).map(|number| number.wrapping_mul(0x0101_0101)).collect();
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        for (position, part) in [(0u32, 4000), (7000, 1), (8191, 7), (u32::MAX - 50, 333)] {
            writer.room(position, bytes.len()).copy_from_slice(&bytes);
            let mut filling = Filling::<u32>::new(bytes.len()).unwrap();
            while filling.left() > 0 {
                let at = bytes.len() - filling.left();
                filling.copy_from(&ring, position.wrapping_add(at as u32), part.min(filling.left()));
                assert_eq!(filling.filled(), &bytes[..bytes.len() - filling.left()]);
            }
            assert_eq!(filling.into_vec().unwrap(), numbers);
        }
    }
}
