//! Tests alone: any value has the bytes that bincode's own serde support gives it, and any bytes are the value, or the error,
//! that they are to it; but for the sum behind structs and the tags of enums, which come back as they went.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::CONFIG;
use super::deserializer::{decode, decode_without_sum};
use super::shape::SUM_BYTES;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Whole {
    integers: (u8, i16, u32, i64, u128, i128),
    floats: (f32, f64),
    truth: bool,
    letter: char,
    text: String,
    option: Option<Vec<u16>>,
    array: [Newtype; 2],
    map: BTreeMap<String, (i8, usize)>,
    newtypes: Vec<Newtype>,
    path: std::path::PathBuf,
    unit: (),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Choice {
    Unit,
    New(Newtype),
    Tuple(u8, Box<[f64]>),
    Struct { words: Vec<String>, nested: Option<Box<Choice>> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Newtype(isize);

fn float() -> impl Strategy<Value = f64> {
    any::<i32>().prop_map(f64::from)
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..6).prop_map(String::from_iter)
}

fn choice() -> impl Strategy<Value = Choice> {
    let leaf = prop_oneof![
        Just(Choice::Unit),
        any::<isize>().prop_map(|number| Choice::New(Newtype(number))),
        (any::<u8>(), prop::collection::vec(float(), 0..4)).prop_map(|(a, b)| Choice::Tuple(a, b.into())),
    ];
    leaf.prop_recursive(3, 8, 1, |inner| {
        (prop::collection::vec(text(), 0..3), prop::option::of(inner.prop_map(Box::new)))
            .prop_map(|(words, nested)| Choice::Struct { words, nested })
    })
}

fn whole() -> impl Strategy<Value = Whole> {
    let scalars = (any::<(u8, i16, u32, i64, u128, i128)>(), float(), any::<bool>(), any::<char>());
    let parts = (
        text(),
        prop::option::of(prop::collection::vec(any::<u16>(), 0..4)),
        prop::collection::btree_map(text(), any::<(i8, usize)>(), 0..4),
    );
    let newtypes = prop::collection::vec(any::<isize>().prop_map(Newtype), 0..4);
    (scalars, parts, newtypes).prop_map(|(scalars, parts, newtypes)| Whole {
        integers: scalars.0,
        floats: (scalars.1 as f32, scalars.1),
        truth: scalars.2,
        letter: scalars.3,
        path: parts.0.clone().into(),
        text: parts.0,
        option: parts.1,
        array: [Newtype(7), newtypes.last().cloned().unwrap_or(Newtype(8))],
        map: parts.2,
        newtypes,
        unit: (),
    })
}

fn ours(value: &Whole) -> Vec<u8> {
    let mut bytes = Vec::new();
    super::encode(value, &mut bytes, usize::MAX).unwrap();
    bytes
}

/// As bincode's own deserializer has it, and how much it took.
fn theirs(bytes: &[u8]) -> Option<(Whole, usize)> {
    bincode::serde::decode_from_slice(bytes, CONFIG.with_limit::<{ 1 << 20 }>()).ok()
}

fn config() -> ProptestConfig {
    let cases = if cfg!(miri) { 4 } else { 256 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_value_is_what_bincode_makes_of_it(value in whole()) {
        let mut bytes = ours(&value);
        prop_assert_eq!(decode::<Whole>(&bytes).unwrap(), (value.clone(), &[][..]));
        bytes.truncate(bytes.len() - SUM_BYTES);
        prop_assert_eq!(&bytes, &bincode::serde::encode_to_vec(&value, CONFIG).unwrap());
        prop_assert_eq!(theirs(&bytes), Some((value, bytes.len())));
        prop_assert!(decode::<Whole>(&bytes).is_err());
    }

    #[test]
    fn enums_come_back_as_they_went(choices in prop::collection::vec(choice(), 0..8)) {
        let mut bytes = Vec::new();
        super::encode(&choices, &mut bytes, usize::MAX).unwrap();
        prop_assert_eq!(decode::<Vec<Choice>>(&bytes).unwrap(), (choices, &[][..]));
    }

    #[test]
    fn wrong_bytes_are_what_bincode_makes_of_them(
        value in whole(),
        cut: prop::sample::Index,
        wrong in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..3),
    ) {
        let mut bytes = ours(&value);
        bytes.truncate(cut.index(bytes.len() + 1));
        for (at, byte) in wrong {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let ours = decode_without_sum::<Whole>(&bytes, u64::MAX).ok();
        let ours = ours.map(|(value, left)| (value, bytes.len() - left.len()));
        // As text, in which a NaN is equal to itself.
        prop_assert_eq!(format!("{ours:?}"), format!("{:?}", theirs(&bytes)));
    }
}
