//! Numbers: those that workers share, and random ones.

use std::ops::Range;

use poolmap::SharedSliceMut;

pub(crate) fn zeros(length: usize) -> SharedSliceMut<u64> {
    SharedSliceMut::zeroed(length).unwrap()
}

pub(crate) fn squares(range: Range<u64>) -> Vec<u64> {
    range.map(|number| number * number).collect()
}

/// What the first number of each part is.
pub(crate) fn firsts(first: u64, size: usize) -> impl Iterator<Item = u64> {
    (0..).map(move |part| first + part * size as u64)
}

/// An iterator of so many numbers whose `size_hint` says another length.
pub(crate) struct Wrong(pub(crate) usize, pub(crate) usize);

impl Iterator for Wrong {
    type Item = i128;

    fn next(&mut self) -> Option<i128> {
        self.0 = self.0.checked_sub(1)?;
        Some(self.0 as i128)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.1, Some(self.1))
    }
}

/// Random numbers of splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next of them.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below that.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A word that is likely to mean something: small, large, a power of two, or anything.
    pub(crate) fn word(&mut self) -> u64 {
        match self.below(5) {
            0 => self.below(8),
            1 => u64::MAX - self.below(8),
            2 => 1 << self.below(64),
            3 => self.below(1 << 32) << 32 | self.below(1 << 16),
            _ => self.next(),
        }
    }
}
