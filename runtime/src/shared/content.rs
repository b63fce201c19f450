//! What arguments are, beyond their bytes: the numbers and the values that the names among them stand for. Names are new each time, so
//! arguments are compared by this.
//!
//! A name is 16 random bytes that nobody else knows, so it is found among the bytes by itself. In its place stands a digest of what it
//! names. Memory that nobody can write any more is hashed once for each call; what can change, or stands for itself (a mutex, an array
//! that is written, a descriptor), has no content.

use std::collections::HashMap;
use std::sync::Arc;

use super::grant::{Grant, Name, Right, read_grants};
use super::segment::{Memory, Segment};
use crate::digest::{Digest, DigestKey};

/// So many digests are kept at a time.
const KEPT_MAX: usize = 1 << 16;

/// Why arguments have no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContentError {
    /// One stands for what it is, or may be changed.
    NoContent,
    /// The memory of one could not be read.
    Unreadable(String),
}

/// Digests of what was named so far.
#[derive(Default)]
pub(crate) struct Contents {
    key: DigestKey,
    values: HashMap<Name, u128>,
    /// By the segment, and the place there.
    slices: HashMap<(u64, u64, u64), u128>,
    /// The segment that was mapped last.
    mapped: Option<(u64, Memory)>,
}

/// The names that some tasks have been granted.
pub(crate) struct Names<'a> {
    grants: HashMap<Name, &'a Grant>,
    memory: Vec<&'a Arc<Segment>>,
    /// The first two bytes of each.
    beginnings: Vec<bool>,
}

const NAME_BYTES: usize = size_of::<Name>();

impl<'a> Names<'a> {
    pub(crate) fn new(grants: &'a [Grant], memory: impl Iterator<Item = &'a Arc<Segment>>) -> Self {
        let mut beginnings = vec![false; 1 << 16];
        grants.iter().for_each(|grant| beginnings[usize::from(grant.name as u16)] = true);
        Self { grants: grants.iter().map(|grant| (grant.name, grant)).collect(), memory: memory.collect(), beginnings }
    }

    /// The first name from a place on, where it stands, and what it is granted.
    fn find(&self, bytes: &[u8], from: usize) -> Option<(usize, &'a Grant)> {
        let windows = bytes.get(from..)?.windows(NAME_BYTES).enumerate();
        windows.filter(|(_, name)| self.beginnings[usize::from(u16::from_le_bytes([name[0], name[1]]))]).find_map(
            |(at, name)| {
                let name = Name::from_le_bytes(name.try_into().expect("a window has its bytes"));
                self.grants.get(&name).map(|grant| (from + at, *grant))
            },
        )
    }
}

impl Contents {
    /// Digests under this key.
    pub(crate) fn new(key: DigestKey) -> Self {
        Self { key, ..Self::default() }
    }

    /// Adds what these bytes are to a digest.
    pub(crate) fn add(&mut self, digest: &mut Digest, bytes: &[u8], names: &Names<'_>) -> Result<(), ContentError> {
        let mut done = 0;
        while let Some((at, grant)) = names.find(bytes, done) {
            digest.write(&bytes[done..at]);
            digest.write(&self.content(grant, &names.memory)?.to_le_bytes());
            done = at + NAME_BYTES;
        }
        digest.write(&bytes[done..]);
        Ok(())
    }

    fn content(&mut self, grant: &Grant, memory: &[&Arc<Segment>]) -> Result<u128, ContentError> {
        let place = (grant.segment, grant.offset, grant.bytes);
        let known = match grant.right {
            Right::Value => self.values.get(&grant.name),
            Right::Read => self.slices.get(&place),
            Right::Write | Right::Open | Right::Own => return Err(ContentError::NoContent),
        };
        if let Some(known) = known {
            return Ok(*known);
        }
        let segment = memory.iter().find(|segment| segment.id == grant.segment).ok_or_else(missing)?;
        let mapped = match self.mapped.take().filter(|(id, _)| *id == segment.id) {
            Some((_, mapped)) => mapped,
            None => Memory::of_own(segment).map_err(|error| ContentError::Unreadable(error.to_string()))?,
        };
        let mut digest = Digest::wide(&self.key);
        let bytes = part(&mapped, grant.offset, grant.bytes)?;
        if grant.right == Right::Value {
            // The grants of what the value names stand before it.
            let inner = part(&mapped, 0, grant.offset).ok().and_then(read_grants).ok_or_else(missing)?;
            let names = Names::new(&inner, memory.iter().copied());
            self.add(&mut digest, bytes, &names)?;
        } else {
            digest.write(bytes);
        }
        let content = digest.finish_wide();
        self.mapped = Some((segment.id, mapped));
        if self.values.len() + self.slices.len() >= KEPT_MAX {
            (self.values, self.slices) = Default::default();
        }
        match grant.right {
            Right::Value => self.values.insert(grant.name, content),
            _ => self.slices.insert(place, content),
        };
        Ok(content)
    }
}

fn part(memory: &Memory, offset: u64, bytes: u64) -> Result<&[u8], ContentError> {
    let place = usize::try_from(offset).ok().zip(usize::try_from(bytes).ok());
    place.and_then(|(offset, bytes)| memory.pages().numbers::<u8>(offset, bytes)).ok_or_else(missing)
}

fn missing() -> ContentError {
    ContentError::Unreadable("it is in memory that is not there".to_owned())
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use super::super::{Fd, SharedSlice, enter_encode_scope};
    use super::*;
    use crate::codec;

    /// The content of arguments, encoded anew.
    fn content<T: serde::Serialize>(contents: &mut Contents, arguments: &T) -> Result<u128, ContentError> {
        let scope = enter_encode_scope();
        let mut bytes = Vec::new();
        codec::encode(arguments, &mut bytes, 1000).unwrap();
        let collected = scope.finish();
        let mut digest = Digest::wide(&[3; 16]);
        contents.add(&mut digest, &bytes, &Names::new(&collected.grants, collected.memory.iter()))?;
        Ok(digest.finish_wide())
    }

    #[test]
    fn equal_numbers_have_one_content_whatever_their_memory_and_their_name() {
        let mut contents = Contents::new([3; 16]);
        let slice = |numbers: &[u32]| numbers.iter().copied().collect::<SharedSlice<u32>>();
        let (one, same, other) = (slice(&[1, 2, 3, 1, 2, 3]), slice(&[1, 2, 3, 1, 2, 3]), slice(&[1, 2, 3, 1, 2, 4]));
        let of_one = content(&mut contents, &(7u8, &one, "text")).unwrap();
        assert_eq!(content(&mut contents, &(7u8, &one, "text")).unwrap(), of_one);
        assert_eq!(content(&mut contents, &(7u8, &same, "text")).unwrap(), of_one);
        assert_ne!(content(&mut contents, &(7u8, &other, "text")).unwrap(), of_one);
        assert_ne!(content(&mut contents, &(7u8, &one, "next")).unwrap(), of_one);
        let halves = (one.slice(..3), one.slice(3..));
        assert_eq!(content(&mut contents, &halves).unwrap(), content(&mut contents, &(&halves.1, &halves.0)).unwrap());
    }

    #[test]
    fn an_object_has_no_content() {
        let file = Fd::from(std::fs::File::open("/dev/null").unwrap());
        assert_eq!(content(&mut Contents::default(), &(1u8, &file)), Err(ContentError::NoContent));
    }
}
