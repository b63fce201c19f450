//! The description, in a format without names, of the types that it carries, so that a type whose Serialize writes other fields or
//! variants than its Deserialize reads (`skip_serializing`, `skip_deserializing` and their like) is an error, and never another value.
//!
//! 1. A struct's fields stand one behind the other and nothing else. Each side counts the fields of each struct that it passes,
//!    and adds a number up for it ([`of_fields`]); the sum stands behind the value, if there was a struct in it.
//! 2. An enum's value begins with 4 bytes: the variant's index in the lowest 16 bits, the number of its fields in 4 more, and a
//!    mark of its name in the rest. So the reader sees whether the variant of that index is the one that was written, and whether
//!    it has those fields. No type has more variants than fit: each is code of its own.
//! 3. serde gives the reader the names of the variants, aliases among them, so an index need not be a place among the names.
//!    Where the mark at that place is another, the one name with the mark is looked for.
//! 4. Tuples, arrays and newtypes count nothing: no attribute leaves out a part of them.

/// The bytes of the check sum behind a value with a struct in it.
pub(super) const SUM_BYTES: usize = 4;

const INDEX_BITS: u32 = 16;
const FIELDS_BITS: u32 = 4;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;
const FIELDS_MASK: u32 = (1 << FIELDS_BITS) - 1;

/// Returns the summand of a struct of so many fields. Sums of different structs are different, as good as always.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) const fn of_fields(fields: usize) -> u32 {
    let mut mixed = (fields as u32 + 1).wrapping_mul(0x9e37_79b1);
    mixed ^= mixed >> 15;
    mixed = mixed.wrapping_mul(0x85eb_ca77);
    mixed ^ mixed >> 13
}

/// The beginning of an enum's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(pub(super) u32);

impl Tag {
    /// None if there is no room for the index.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn new(index: u32, fields: usize, name: &str) -> Option<Self> {
        let fields = fields as u32 & FIELDS_MASK;
        (index <= INDEX_MASK).then(|| Self(mark(name) << (INDEX_BITS + FIELDS_BITS) | fields << INDEX_BITS | index))
    }

    /// The variant's index, as it was written.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn index(self) -> u32 {
        self.0 & INDEX_MASK
    }

    /// Whether the variant was written with so many fields.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn has_fields(self, fields: usize) -> bool {
        self.0 >> INDEX_BITS & FIELDS_MASK == fields as u32 & FIELDS_MASK
    }

    /// Which of these variants it is.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn find<'n>(self, names: &'n [&'n str]) -> FoundVariant<'n> {
        match names.get(self.index() as usize) {
            Some(name) if self.is_mark_of(name) => FoundVariant::AtIndex,
            _ => self.find_by_name(names),
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_mark_of(self, name: &str) -> bool {
        self.0 >> (INDEX_BITS + FIELDS_BITS) == mark(name)
    }

    #[cold]
    fn find_by_name<'n>(self, names: &'n [&'n str]) -> FoundVariant<'n> {
        let mut marked = names.iter().filter(|name| self.is_mark_of(name));
        match (marked.next(), marked.next()) {
            (Some(name), None) => FoundVariant::Named(name),
            // A Deserialize that is written by hand may name no variants.
            (None, None) if names.is_empty() => FoundVariant::AtIndex,
            _ => FoundVariant::Nowhere,
        }
    }
}

/// The variant that a tag is of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FoundVariant<'n> {
    /// The one that Deserialize knows by the same index.
    AtIndex,
    /// Another one, by name.
    Named(&'n str),
    /// None that is known.
    Nowhere,
}

/// A number of 12 bits out of a name's length and its bytes, of a long name the first, the middle and the last 8. It is inlined:
/// names are constants where a value is written, and so is this.
#[cfg_attr(not(debug_assertions), inline(always))]
fn mark(name: &str) -> u32 {
    const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
    const MIDDLE: u64 = 0xc2b2_ae3d_27d4_eb4f;
    const LAST: u64 = 0x1656_67b1_9e37_79f9;
    let bytes = name.as_bytes();
    let length = bytes.len();
    let mixed = if length >= 8 {
        let at = |place: usize| bytes[place..].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
        at(0).wrapping_mul(FIRST)
            ^ at(length / 2 - 4).wrapping_mul(MIDDLE)
            ^ at(length - 8).wrapping_mul(LAST).rotate_left(29)
    } else if length >= 4 {
        let at = |place: usize| bytes[place..].first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk));
        u64::from(at(0)).wrapping_mul(FIRST) ^ u64::from(at(length - 4)).wrapping_mul(LAST).rotate_left(29)
    } else {
        let at = |place: usize| bytes.get(place).map_or(0, |&byte| u64::from(byte));
        (at(0) | at(1) << 8 | at(2) << 16).wrapping_mul(FIRST)
    };
    ((mixed ^ length as u64).wrapping_mul(FIRST) >> (32 + INDEX_BITS + FIELDS_BITS)) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_variant_is_found_by_its_index_its_name_or_not_at_all() {
        let tag = Tag::new(1, 2, "Open").unwrap();
        assert_eq!((tag.index(), tag.has_fields(2), tag.has_fields(1)), (1, true, false));
        assert_eq!(tag.find(&["Legacy", "Open", "Closed"]), FoundVariant::AtIndex);
        assert_eq!(tag.find(&["Open", "Closed"]), FoundVariant::Named("Open"));
        assert_eq!(tag.find(&["Legacy", "older", "oldest", "Open"]), FoundVariant::Named("Open"));
        assert_eq!(tag.find(&["Legacy", "Closed"]), FoundVariant::Nowhere);
        assert_eq!(tag.find(&[]), FoundVariant::AtIndex);
        assert_eq!(Tag::new(1 << 16, 0, "Last"), None);
    }

    #[test]
    fn names_and_numbers_of_fields_that_are_alike_are_told_apart() {
        for width in [0, 1, 2, 5, 9] {
            let names: Vec<String> = (0..10).map(|n| format!("V{n:0>width$}n")).collect();
            let marks: BTreeSet<u32> = names.iter().map(|name| mark(name)).collect();
            assert!(marks.len() >= 9, "{names:?}");
        }
        let sums: BTreeSet<u32> = (0..1000).map(of_fields).collect();
        assert_eq!(sums.len(), 1000);
    }
}
