//! Bytes to values: serde's calls, each as bincode decodes it, and sequences of numbers as a whole. Lengths are not
//! believed: memory follows the bytes that are there.
//!
//! It stands in the place of bincode's own deserializer, over the same decoder. That one holds lengths against a limit,
//! which must be a constant and is counted with each scalar; here they are held against the bytes that are left.

use bincode::de::read::{BorrowReader, Reader};
use bincode::de::{BorrowDecode, Decode, Decoder as _, DecoderImpl};
use bincode::error::{AllowedEnumVariants, DecodeError};
use bincode::serde::DecodeError as SerdeError;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};

use super::{CONFIG, Config, plain};
use crate::sys;

/// Reads one value off the front, and gives what stands behind it.
#[inline]
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), DecodeError> {
    let mut decoder = DecoderImpl::new(Source { bytes }, CONFIG, ());
    let value = T::deserialize(Deserializer { decoder: &mut decoder })?;
    Ok((value, decoder.reader().bytes))
}

/// Whether a deserializer is this one, and neither another format nor a wrapper.
#[inline]
pub(crate) fn is_own_deserializer<D>() -> bool {
    sys::type_id::<D>() == sys::type_id::<Deserializer<'static, 'static>>()
}

/// The bytes that were not read yet.
struct Source<'de> {
    bytes: &'de [u8],
}

impl<'de> BorrowReader<'de> for Source<'de> {
    #[inline]
    fn take_bytes(&mut self, length: usize) -> Result<&'de [u8], DecodeError> {
        let Some((taken, left)) = self.bytes.split_at_checked(length) else {
            return Err(DecodeError::UnexpectedEnd { additional: length - self.bytes.len() });
        };
        self.bytes = left;
        Ok(taken)
    }
}

impl Reader for Source<'_> {
    #[inline]
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), DecodeError> {
        bytes.copy_from_slice(self.take_bytes(bytes.len())?);
        Ok(())
    }
}

/// What it reads next, be it a value or the next part of one.
struct Deserializer<'a, 'de> {
    decoder: &'a mut DecoderImpl<Source<'de>, Config, ()>,
}

impl<'a, 'de> Deserializer<'a, 'de> {
    /// So many parts, as the bytes claim.
    #[inline]
    fn parts(self, length: usize) -> Parts<'a, 'de> {
        let is_bounded = length <= self.decoder.reader().bytes.len();
        Parts { deserializer: self, left: length, is_bounded }
    }

    #[inline]
    fn part<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        seed.deserialize(Deserializer { decoder: self.decoder })
    }

    #[inline]
    fn text(&mut self) -> Result<&'de str, DecodeError> {
        BorrowDecode::borrow_decode(self.decoder)
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'de [u8], DecodeError> {
        BorrowDecode::borrow_decode(self.decoder)
    }
}

/// Scalars, as bincode decodes them.
macro_rules! scalars {
    ($($method:ident $visit:ident,)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            visitor.$visit(Decode::decode(self.decoder)?)
        }
    )*};
}

/// What only a format that describes itself can answer.
macro_rules! not_supported {
    ($($method:ident $error:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DecodeError> {
            Err(DecodeError::Serde(SerdeError::$error))
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Deserializer<'_, 'de> {
    type Error = DecodeError;

    scalars! {
        deserialize_bool visit_bool,
        deserialize_i8 visit_i8,
        deserialize_i16 visit_i16,
        deserialize_i32 visit_i32,
        deserialize_i64 visit_i64,
        deserialize_i128 visit_i128,
        deserialize_u8 visit_u8,
        deserialize_u16 visit_u16,
        deserialize_u32 visit_u32,
        deserialize_u64 visit_u64,
        deserialize_u128 visit_u128,
        deserialize_f32 visit_f32,
        deserialize_f64 visit_f64,
        deserialize_char visit_char,
    }

    not_supported! {
        deserialize_any AnyNotSupported,
        deserialize_identifier IdentifierNotSupported,
        deserialize_ignored_any IgnoredAnyNotSupported,
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_string(self.text()?.to_owned())
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_byte_buf(self.bytes()?.to_owned())
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match u8::decode(self.decoder)? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(self),
            other => Err(DecodeError::UnexpectedVariant {
                found: other.into(),
                allowed: &AllowedEnumVariants::Range { min: 0, max: 1 },
                type_name: "Option<T>",
            }),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let length = usize::decode(self.decoder)?;
        match plain::visit(visitor, length, |bytes| self.decoder.reader().take_bytes(bytes)) {
            Ok(value) => value,
            Err(visitor) => visitor.visit_seq(self.parts(length)),
        }
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(Parts { deserializer: self, left: length, is_bounded: true })
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(length, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let length = usize::decode(self.decoder)?;
        visitor.visit_map(self.parts(length))
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_enum(self)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// So many elements, fields or entries.
struct Parts<'a, 'de> {
    deserializer: Deserializer<'a, 'de>,
    left: usize,
    /// No more than the type says, or than there are bytes.
    is_bounded: bool,
}

impl<'de> Parts<'_, 'de> {
    #[inline]
    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.deserializer.part(seed).map(Some)
    }

    /// What a visitor may reserve. Parts that take no bytes can be more, which none needs to know beforehand.
    #[inline]
    fn hint(&self) -> Option<usize> {
        self.is_bounded.then_some(self.left)
    }
}

impl<'de> de::SeqAccess<'de> for Parts<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        self.next(seed)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> de::MapAccess<'de> for Parts<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        self.next(seed)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        self.deserializer.part(seed)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.hint()
    }
}

impl<'de> de::EnumAccess<'de> for Deserializer<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), DecodeError> {
        let index = u32::decode(self.decoder)?;
        Ok((seed.deserialize(index.into_deserializer())?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Deserializer<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<S::Value, DecodeError> {
        self.part(seed)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_tuple(self, length, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_tuple(self, fields.len(), visitor)
    }
}

#[cfg(test)]
mod tests {
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
        super::super::encode("ab", &mut bytes, usize::MAX).unwrap();
        assert_eq!(decode::<Borrowed>(&bytes).unwrap().0.0, b"ab");
        assert!(decode::<String>(&[1, 0, 0, 0, 0, 0, 0, 0, 0xff]).is_err());
    }
}
