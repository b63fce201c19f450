//! Numbers that workers share.

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
