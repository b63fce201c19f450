//! Grants: what the tasks of a chunk may have of the memory and the descriptors that their worker gets.
//!
//! 1. A handle (a slice, a part, a mutex, …) among arguments is encoded as a *name* and nothing else. A name is 16 random bytes,
//!    made anew each time that a handle is encoded. The name stands for a *grant*, which goes to the worker beside the
//!    arguments, written by the pool and by no code of the program's.
//! 2. So bytes that a value's `Serialize` made up, or that were taken from elsewhere, name nothing, and a grant is only for the
//!    tasks of the chunk that it came with: see `grant_table` for how a worker looks it up.

use std::io;

use crate::locks::{Lock, Rank, Ranked};
use crate::sys::{self, PerProcess};

/// The name that a handle is encoded as. 0 is no name.
pub(crate) type Name = u128;

/// The right that a grant gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Decode the value there: one that all tasks share, each by the same name.
    Value = 1,
    /// Read the numbers there.
    Read = 2,
    /// Write the numbers there, which nobody else has meanwhile.
    Write = 3,
    /// Have the descriptor.
    Open = 4,
    /// The same, alone.
    Own = 5,
}

/// A right to some bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) name: Name,
    pub(crate) right: Right,
    /// The kind of the object, where the segment is a descriptor: the row that uses it says which numbers there are.
    pub(crate) kind: u32,
    /// The segment's number.
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// The bytes of a grant, as it travels.
pub(crate) const GRANT_BYTES: usize = 48;

impl Grant {
    /// Appends it to others.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.name.to_le_bytes());
        bytes.extend((self.right as u32).to_le_bytes());
        bytes.extend(self.kind.to_le_bytes());
        for number in [self.segment, self.offset, self.bytes] {
            bytes.extend(number.to_le_bytes());
        }
    }

    fn read(bytes: &[u8; GRANT_BYTES]) -> Option<Self> {
        let (name, rest) = bytes.split_first_chunk()?;
        let (right, rest) = rest.split_first_chunk()?;
        let (kind, rest) = rest.split_first_chunk()?;
        let mut numbers = rest.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number));
        let right = match u32::from_le_bytes(*right) {
            1 => Right::Value,
            2 => Right::Read,
            3 => Right::Write,
            4 => Right::Open,
            5 => Right::Own,
            _ => return None,
        };
        Some(Self {
            name: u128::from_le_bytes(*name),
            right,
            kind: u32::from_le_bytes(*kind),
            segment: numbers.next()?,
            offset: numbers.next()?,
            bytes: numbers.next()?,
        })
    }
}

/// Some grants as bytes.
pub(crate) fn write_grants(grants: &[Grant]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(grants.len() * GRANT_BYTES);
    grants.iter().for_each(|grant| grant.write(&mut bytes));
    bytes
}

/// The grants that these bytes are; none if they are something else.
pub(crate) fn read_grants(bytes: &[u8]) -> Option<Vec<Grant>> {
    let (grants, []) = bytes.as_chunks() else {
        return None;
    };
    grants.iter().map(Grant::read).collect()
}

/// A message has room for so many ranges. Where there are more, neighbours and what lies between them are one.
const RUNS_MAX: usize = 128;

/// The pages of the parts of a segment that are granted, as ranges: their beginnings and their lengths.
pub(crate) fn runs(grants: &[Grant], segment: u64) -> Vec<(u64, u64)> {
    let page = sys::page_bytes() as u64;
    let of_segment = grants.iter().filter(|grant| grant.right == Right::Write && grant.segment == segment);
    let mut pages: Vec<(u64, u64)> = of_segment
        .map(|grant| (grant.offset / page * page, (grant.offset + grant.bytes).next_multiple_of(page)))
        .collect();
    pages.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (start, end) in pages {
        match merged.last_mut() {
            Some((_, last_end)) if start <= *last_end => *last_end = end.max(*last_end),
            _ => merged.push((start, end)),
        }
    }
    while merged.len() > RUNS_MAX {
        merged = merged.chunks(2).map(|both| (both[0].0, both[both.len() - 1].1)).collect();
    }
    merged.into_iter().map(|(start, end)| (start, end - start)).collect()
}

/// Random bytes that are not used yet: the system call that gives a page of them takes as long as one for a few.
#[derive(Default)]
struct Batch {
    /// Empty before the first name, and not on the stack of whoever asks for that: that may be small.
    bytes: Vec<u8>,
    left: usize,
}

impl Ranked for Batch {
    const RANK: Rank = Rank::Names;
}

/// A page.
const BATCH_BYTES: usize = 4096;

/// A fork makes names that its parent does not make too.
static BATCH: PerProcess<Lock<Batch>> = PerProcess::new();

/// A name that nothing else has.
pub(super) fn fresh_name() -> io::Result<Name> {
    let mut batch = BATCH.get().lock();
    loop {
        let left = batch.left;
        if let Some((_, name)) = batch.bytes[..left].split_last_chunk() {
            let name = u128::from_ne_bytes(*name);
            batch.left -= size_of::<Name>();
            if name != 0 {
                return Ok(name);
            }
            continue;
        }
        let Batch { bytes, left } = &mut *batch;
        bytes.resize(BATCH_BYTES, 0);
        sys::random(bytes)?;
        *left = bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_come_back_as_they_went() {
        let grant = |right, kind| Grant { name: u128::MAX - 5, right, kind, segment: 7, offset: u64::MAX, bytes: 9 };
        let grants: Vec<Grant> = [Right::Value, Right::Read, Right::Write, Right::Open, Right::Own]
            .into_iter()
            .zip(3..)
            .map(|(r, k)| grant(r, k))
            .collect();
        let bytes = write_grants(&grants);
        assert_eq!(bytes.len(), 5 * GRANT_BYTES);
        assert_eq!(read_grants(&bytes), Some(grants));
        assert_eq!(read_grants(&bytes[1..]), None);
        assert_eq!(read_grants(&[0; GRANT_BYTES]), None);
    }

    #[test]
    fn neighbouring_pages_are_one_range_and_ranges_are_few() {
        let page = sys::page_bytes() as u64;
        let part =
            |offset: u64, bytes: u64, segment| Grant { name: 1, right: Right::Write, kind: 0, segment, offset, bytes };
        let grants = [part(8, 8, 1), part(page - 8, 16, 1), part(3 * page, page, 1), part(9 * page, 8, 2)];
        assert_eq!(runs(&grants, 1), [(0, 2 * page), (3 * page, page)]);
        assert_eq!(runs(&grants, 3), []);
        let many: Vec<Grant> = (0..1000).map(|at| part(2 * at * page, 8, 1)).collect();
        let runs = runs(&many, 1);
        assert!(runs.len() <= RUNS_MAX);
        assert!(
            many.iter().all(|part| runs.iter().any(|(start, bytes)| (*start..start + bytes).contains(&part.offset)))
        );
    }

    #[test]
    fn names_are_all_different() {
        let names: std::collections::BTreeSet<Name> = (0..5000).map(|_| fresh_name().unwrap()).collect();
        assert_eq!(names.len(), 5000);
    }
}
