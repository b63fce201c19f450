//! Tests alone: what a visitor is told of lengths, and what it borrows.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;

use super::*;

/// What the length of a sequence or of a map is said to be.
#[derive(Debug, PartialEq)]
struct Told<const MAP: bool>(Option<usize>);

impl<'de, const MAP: bool> Visitor<'de> for Told<MAP> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parts")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, sequence: A) -> Result<Self::Value, A::Error> {
        Ok(Told(sequence.size_hint()))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(Told(map.size_hint()))
    }
}

impl<'de, const MAP: bool> Deserialize<'de> for Told<MAP> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if MAP { deserializer.deserialize_map(Told(None)) } else { deserializer.deserialize_seq(Told(None)) }
    }
}

#[test]
fn a_visitor_is_told_no_length_that_cannot_be() {
    let claim = |length: u64| [&length.to_le_bytes()[..], &[0; 4]].concat();
    assert_eq!(decode::<Told<false>>(&claim(4)).unwrap().0, Told(Some(4)));
    assert_eq!(decode::<Told<false>>(&claim(5)).unwrap().0, Told(None));
    assert_eq!(decode::<Told<true>>(&claim(4)).unwrap().0, Told(Some(4)));
    assert_eq!(decode::<Told<true>>(&claim(u64::MAX)).unwrap().0, Told(None));
    assert_eq!(decode::<Vec<()>>(&claim(5)).unwrap().0.len(), 5);
    assert_eq!(decode::<HashSet<u8>>(&claim(4)).unwrap().0.len(), 1);
    assert!(decode::<HashSet<u8>>(&claim(5)).is_err());
}

#[test]
fn text_and_bytes_are_lent_to_who_borrows() {
    struct Borrowed(Vec<u8>);

    impl<'de> Deserialize<'de> for Borrowed {
        fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let bytes = <&'de [u8]>::deserialize(deserializer)?;
            Ok(Self(bytes.to_vec()))
        }
    }
    let mut bytes = Vec::new();
    crate::codec::encode("ab", &mut bytes, usize::MAX).unwrap();
    assert_eq!(decode::<Borrowed>(&bytes).unwrap().0.0, b"ab");
    assert!(decode::<String>(&[1, 0, 0, 0, 0, 0, 0, 0, 0xff]).is_err());
}
