//! Parts of an array that workers fill: each number is in one of them at most.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use super::element::Element;
use super::encode_scope::{WriteAs, form, grant};
use super::grant::{Name, Right};
use super::segment::Segment;
use crate::error::CodecError;
use crate::sys::Part;

/// Borrows a part of a [`SharedSliceMut`](crate::SharedSliceMut): the argument for one task, or a mutable slice.
pub struct SharedPart<'a, T> {
    numbers: Part<'a, T>,
    /// None for no numbers, and where there is no memory to lend them.
    segment: Option<&'a Arc<Segment>>,
    /// Where they begin in the memory, in bytes.
    offset: usize,
}

impl<'a, T: Element> SharedPart<'a, T> {
    pub(super) fn new(numbers: Part<'a, T>, segment: Option<&'a Arc<Segment>>, offset: usize) -> Self {
        Self { numbers, segment, offset }
    }

    /// The first `count` of the numbers, and the others.
    pub(super) fn split_at(self, count: usize) -> (Self, Self) {
        let Self { numbers, segment, offset } = self;
        let (first, rest) = numbers.split_at(count);
        let behind = offset + count * size_of::<T>();
        (Self { numbers: first, segment, offset }, Self { numbers: rest, segment, offset: behind })
    }

    /// Grants the part to the task whose arguments are being encoded; 0 is the name of no numbers.
    pub(crate) fn name(&self) -> Result<Name, CodecError> {
        if form() != WriteAs::Name {
            return Err(CodecError::new("a part of a SharedSliceMut travels as an argument of a worker function only"));
        }
        if self.numbers.is_empty() {
            return Ok(0);
        }
        let segment = self.segment.ok_or_else(|| {
            CodecError::new("a worker had no memory for the copy of its part that its own workers are to fill")
        })?;
        grant(segment, Right::Write, 0, (self.offset, self.numbers.len() * size_of::<T>()))
    }
}

impl<T: Element> Deref for SharedPart<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.numbers
    }
}

impl<T: Element> DerefMut for SharedPart<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.numbers
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for SharedPart<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Iterates over the parts of a [`SharedSliceMut`](crate::SharedSliceMut).
///
/// [`chunks_mut`](crate::SharedSliceMut::chunks_mut) returns it.
pub struct SharedChunksMut<'a, T> {
    rest: Option<SharedPart<'a, T>>,
    size: usize,
}

impl<'a, T> SharedChunksMut<'a, T> {
    pub(super) fn new(all: SharedPart<'a, T>, size: usize) -> Self {
        Self { rest: Some(all), size }
    }
}

impl<'a, T: Element> Iterator for SharedChunksMut<'a, T> {
    type Item = SharedPart<'a, T>;

    fn next(&mut self) -> Option<SharedPart<'a, T>> {
        let rest = self.rest.take().filter(|rest| !rest.numbers.is_empty())?;
        let size = self.size.min(rest.numbers.len());
        let (next, rest) = rest.split_at(size);
        self.rest = Some(rest);
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest.as_ref().map_or(0, |rest| rest.numbers.len().div_ceil(self.size));
        (left, Some(left))
    }
}

impl<T: Element> ExactSizeIterator for SharedChunksMut<'_, T> {}
impl<T: Element> FusedIterator for SharedChunksMut<'_, T> {}

impl<T: Element> fmt::Debug for SharedChunksMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedChunksMut").field("len", &self.len()).field("size", &self.size).finish()
    }
}

/// Divides an array into the parts that these ranges name, in their order.
pub(super) fn divide<T: Element>(
    array: SharedPart<'_, T>,
    ranges: Vec<Range<usize>>,
) -> io::Result<Vec<SharedPart<'_, T>>> {
    let mut ranges: Vec<(usize, Range<usize>)> = ranges.into_iter().enumerate().collect();
    ranges.sort_by_key(|(_, range)| (range.start, range.end));
    check(&ranges, array.numbers.len()).map_err(|what| io::Error::new(io::ErrorKind::InvalidInput, what))?;
    let mut rest = array;
    let mut at = 0;
    let mut parts = Vec::with_capacity(ranges.len());
    for (position, range) in ranges {
        // An empty range may stand inside of one that has gone before: its place is no matter.
        let skipped = rest.split_at(range.start.saturating_sub(at)).1;
        let (part, behind) = skipped.split_at(range.len());
        rest = behind;
        at = at.max(range.end);
        parts.push((position, part));
    }
    parts.sort_by_key(|(position, _)| *position);
    Ok(parts.into_iter().map(|(_, part)| part).collect())
}

/// Returns the first mistake in ranges that are sorted by where they begin.
fn check(ranges: &[(usize, Range<usize>)], length: usize) -> Result<(), String> {
    if let Some((_, range)) = ranges.iter().find(|(_, range)| range.start > range.end) {
        return Err(format!("the range {range:?} ends before it begins"));
    }
    if let Some((_, range)) = ranges.iter().find(|(_, range)| range.end > length) {
        return Err(format!("the range {range:?} is not in an array of {length} numbers"));
    }
    let mut longest: Option<&(usize, Range<usize>)> = None;
    for next in ranges.iter().filter(|(_, range)| !range.is_empty()) {
        if let Some(before) = longest.filter(|before| before.1.end > next.1.start) {
            let (first, second) = if before.0 < next.0 { (before, next) } else { (next, before) };
            return Err(format!("the ranges {:?} and {:?} overlap: a number is in one part only", first.1, second.1));
        }
        longest = Some(next);
    }
    Ok(())
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use proptest::prelude::*;

    use super::super::slice_mut::SharedSliceMut;

    proptest! {
        #[test]
        fn parts_are_all_disjoint_or_an_error(
            ranges in proptest::collection::vec((0..60usize, 0..20usize), 0..6),
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(start, length)| start..start + length).collect();
            let is_in = ranges.iter().all(|range| range.end <= 64);
            let is_disjoint = (0..64).all(|at| ranges.iter().filter(|range| range.contains(&at)).count() < 2);
            let mut array: SharedSliceMut<u32> = (0..64).collect();
            match array.parts(ranges.clone()) {
                Ok(mut parts) => {
                    prop_assert!(is_in && is_disjoint);
                    for (range, part) in ranges.iter().zip(&mut parts) {
                        prop_assert_eq!(&**part, &(range.start as u32..range.end as u32).collect::<Vec<_>>()[..]);
                        part.fill(100);
                    }
                }
                Err(error) => prop_assert!(!is_in || !is_disjoint, "{}", error),
            }
        }
    }
}
