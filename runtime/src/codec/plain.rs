//! Which sequences are copied as a whole, both ways. It knows the format of a sequence of numbers, and nothing of any other.
//!
//! serde hands a sequence over element by element. Rust has no specialisation, so the serializer looks at the type of the
//! sequence that serde gives it, and the deserializer at the type of the visitor:
//!
//! 1. On a little-endian machine a sequence of plain numbers in memory is its encoding, but for the length before it. On
//!    others nothing here applies, and what both ways write and read is the same.
//! 2. Only serde's own `Vec<T>` is read so. That the visitor makes a `Vec<T>` is not enough: one that a user wrote for
//!    `deserialize_with` may check or change the elements. serde's visitor is private, and shows itself when `Vec<T>` is
//!    asked to deserialize from [`Probe`].

use std::fmt;
use std::marker::PhantomData;

use bincode::de::{Decode, Decoder};
use bincode::error::DecodeError;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::sys::{self, IsVec, Plain};

/// The number of elements of `sequence` and their encoding, if it is a `&Vec<T>` or a `&[T]` of numbers.
#[inline]
pub(super) fn encoding_of<I>(sequence: &I) -> Option<(usize, &[u8])> {
    if cfg!(target_endian = "little") { sys::plain_bytes(sequence) } else { None }
}

/// The value that `visitor` makes of a sequence of `length` elements, if it is serde's for a `Vec` of numbers; the visitor, if it
/// is not. `take` takes a number of bytes, or fails if so many are not there; nothing is reserved before.
#[inline]
pub(super) fn visit<'de, V: Visitor<'de>, E>(
    visitor: V,
    length: usize,
    take: impl FnOnce(usize) -> Result<&'de [u8], E>,
) -> Result<Result<V::Value, E>, V> {
    if cfg!(target_endian = "little") {
        macro_rules! each {
            ($($number:ty)*) => {$(
                if let Some(proof) = IsVec::<$number, V::Value>::proof()
                    && is_visitor_of_vec::<V, $number>()
                {
                    // Too large a product is more bytes than there can be.
                    let bytes = take(length.saturating_mul(size_of::<$number>()));
                    return Ok(bytes.map(|bytes| proof.copy_of(bytes)));
                }
            )*};
        }
        sys::for_each_plain!(each);
    }
    Err(visitor)
}

/// The bytes of a `T`, if it is a number: each has as many.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn number_bytes<T>() -> Option<usize> {
    if sys::is_number::<T>() { Some(size_of::<T>()) } else { None }
}

/// Whether `V` is the visitor with which serde reads a `Vec<T>`.
#[inline]
fn is_visitor_of_vec<'de, V, T: Plain + Deserialize<'de>>() -> bool {
    matches!(Vec::<T>::deserialize(Probe::<V>(PhantomData)), Err(Answer { is_expected: true }))
}

/// A deserializer that answers whether it is asked for a sequence by a visitor of type `Expected`.
struct Probe<Expected>(PhantomData<Expected>);

/// The answer, which is an error: nothing is read.
#[derive(Debug)]
struct Answer {
    is_expected: bool,
}

impl<'de, Expected> Deserializer<'de> for Probe<Expected> {
    type Error = Answer;

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
        Err(Answer { is_expected: sys::type_id::<Expected>() == sys::type_id::<V>() })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
        Err(Answer { is_expected: false })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl de::Error for Answer {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self { is_expected: false }
    }
}

impl de::StdError for Answer {}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing to read")
    }
}

/// Returns how many elements the bytes claim, or `usize::MAX` where a machine of 32 bits cannot count as many.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn claimed_length<D: Decoder<Context = ()>>(decoder: &mut D) -> Result<usize, DecodeError> {
    u64::decode(decoder).map(|length| usize::try_from(length).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::VecDeque;

    use bincode::enc::write::Writer;
    use bincode::error::EncodeError;
    use proptest::prelude::*;
    use serde::Serialize;
    use serde::de::{DeserializeOwned, SeqAccess};

    use super::super::{CONFIG, decode, encode, serializer};
    use super::*;

    fn config() -> ProptestConfig {
        let cases = if cfg!(miri) { 2 } else { 64 };
        ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
    }

    fn ours<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(value, &mut bytes, usize::MAX).unwrap();
        bytes
    }

    /// Element by element, as bincode does it.
    fn slow<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
        bincode::serde::encode_to_vec(value, CONFIG).unwrap()
    }

    /// The values are compared as bytes, in which a NaN is equal to itself.
    fn is_the_same_fast_and_slow<T: Serialize + DeserializeOwned>(value: &T) {
        let bytes = slow(value);
        assert_eq!(ours(value), bytes);
        assert_eq!(slow(&decode::<T>(&bytes).unwrap()), bytes);
        assert_eq!(slow(&bincode::serde::decode_from_slice::<T, _>(&ours(value), CONFIG).unwrap().0), bytes);
    }

    macro_rules! each_is_the_same {
        ($($number:ident)*) => {$(
            mod $number {
                use super::*;

                proptest! {
                    #![proptest_config(config())]

                    #[test]
                    fn sequences_are_the_same_fast_and_slow(
                        rows in prop::collection::vec(prop::collection::vec(any::<$number>(), 0..20), 0..5),
                        deque in prop::collection::vec_deque(any::<$number>(), 0..20),
                    ) {
                        let boxed: Vec<Box<[$number]>> = rows.iter().map(|row| row.as_slice().into()).collect();
                        assert_eq!(ours(rows.concat().as_slice()), slow(&rows.concat()));
                        is_the_same_fast_and_slow(&rows.concat());
                        is_the_same_fast_and_slow(&(Cow::Borrowed(rows.concat().as_slice()), 1u8, Some(boxed)));
                        is_the_same_fast_and_slow(&(deque, [rows.concat(), rows.concat()], rows));
                    }

                    #[test]
                    fn bytes_cut_short_are_an_error(
                        row in prop::collection::vec(any::<$number>(), 0..20),
                        short in 1usize..8,
                    ) {
                        let bytes = ours(&row);
                        let error = decode::<Vec<$number>>(&bytes[..bytes.len() - short]).unwrap_err();
                        assert!(error.message().contains("ended too soon"), "{error}");
                    }
                }

                #[test]
                fn a_claimed_length_is_not_believed() {
                    let size = size_of::<$number>() as u64;
                    // The last is few bytes if the product wraps.
                    for claim in [2, 1 << 40, u64::MAX, (u64::MAX / size).saturating_add(2)] {
                        let bytes = [&claim.to_le_bytes()[..], &[0; size_of::<$number>()]].concat();
                        let error = decode::<Vec<$number>>(&bytes).unwrap_err();
                        assert!(error.message().contains("ended too soon"), "{error}");
                    }
                }

                #[test]
                #[cfg_attr(target_endian = "big", ignore = "by rule 1, nothing is")]
                fn a_vec_is_read_at_once() {
                    assert_eq!(Vec::<$number>::deserialize(AtOnce).unwrap(), [0 as $number; 2]);
                    assert!(Box::<[$number]>::deserialize(AtOnce).is_ok());
                    assert!(VecDeque::<$number>::deserialize(AtOnce).is_err());
                }
            }
        )*};
    }
    sys::for_each_plain!(each_is_the_same);

    /// Reads two zeroes at once, or nothing.
    struct AtOnce;

    impl<'de> Deserializer<'de> for AtOnce {
        type Error = Answer;

        fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Answer> {
            let taken = visit(visitor, 2, |bytes| Ok(&[0; 32][..bytes]));
            taken.unwrap_or(Err(Answer { is_expected: false }))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
            Err(Answer { is_expected: false })
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct tuple tuple_struct map struct enum identifier ignored_any
        }
    }

    #[test]
    fn a_vec_of_anything_else_is_read_element_by_element() {
        assert!(Vec::<bool>::deserialize(AtOnce).is_err());
        assert!(Vec::<char>::deserialize(AtOnce).is_err());
        assert!(Vec::<[u8; 2]>::deserialize(AtOnce).is_err());
        assert!(Vec::<std::num::NonZeroU8>::deserialize(AtOnce).is_err());
        assert!(decode::<Vec<bool>>(&ours(&vec![2u8])).is_err());
    }

    struct Writes(usize);

    impl Writer for &mut Writes {
        fn write(&mut self, _: &[u8]) -> Result<(), EncodeError> {
            self.0 += 1;
            Ok(())
        }
    }

    impl serializer::CountingWriter for &mut Writes {
        fn written(&self) -> usize {
            self.0
        }
    }

    fn writes<T: Serialize + ?Sized>(value: &T) -> usize {
        let mut writes = Writes(0);
        serializer::encode(value, &mut writes).unwrap();
        writes.0
    }

    #[test]
    #[cfg_attr(target_endian = "big", ignore = "by rule 1, nothing is")]
    fn a_sequence_of_numbers_is_written_at_once() {
        #[derive(Serialize)]
        struct Samples {
            samples: Vec<f32>,
            bytes: Box<[u8]>,
        }
        assert_eq!(writes(&vec![0.5f64; 100]), 2);
        assert_eq!(writes(&[0u8; 100][..]), 2);
        assert_eq!(writes(&vec![vec![0i128; 100]; 3]), 1 + 3 * 2);
        assert_eq!(writes(&Samples { samples: vec![0.5; 100], bytes: Box::new([0; 100]) }), 2 + 2 + 1);
        assert_eq!(writes(&vec![true; 100]), 1 + 100);
    }

    /// The name of serde's, and the type of value, and yet another's.
    struct VecVisitor<T>(PhantomData<T>);

    impl<'de> Visitor<'de> for VecVisitor<u8> {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("even numbers")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<u8>, A::Error> {
            assert_eq!(sequence.size_hint(), Some(2));
            let mut halves = Vec::new();
            while let Some(number) = sequence.next_element::<u8>()? {
                if number % 2 == 1 {
                    return Err(de::Error::custom("an odd number"));
                }
                halves.push(number / 2);
            }
            Ok(halves)
        }
    }

    fn halves<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_seq(VecVisitor(PhantomData))
    }

    fn sorted<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let mut numbers = Vec::deserialize(deserializer)?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    #[test]
    fn what_a_user_reads_in_another_way_is_read_so() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Numbers {
            #[serde(deserialize_with = "halves")]
            even: Vec<u8>,
            #[serde(deserialize_with = "sorted")]
            any: Vec<u8>,
        }
        let numbers = decode::<Numbers>(&ours(&Numbers { even: vec![2, 4], any: vec![3, 1] })).unwrap();
        assert_eq!((numbers.even, numbers.any), (vec![1, 2], vec![1, 3]));
        let error = decode::<Numbers>(&ours(&Numbers { even: vec![2, 5], any: vec![] })).err().unwrap();
        assert!(error.message().ends_with("an odd number"), "{error}");
    }

    #[test]
    fn a_large_sequence_is_the_same_fast_and_slow() {
        let length = if cfg!(miri) { 1000 } else { 1 << 21 };
        is_the_same_fast_and_slow(&(0..length).map(|n| n as f64).collect::<Vec<_>>());
    }
}
