//! Bytes to values: serde's calls, each much as bincode decodes it, and sequences of numbers as a whole. No bytes are believed:
//!
//! 1. Memory follows the bytes that are there, and not what a length claims. That is all for elements that take bytes and are
//!    small in memory. The memory of a large one counts against [`MEMORY_MAX`] and [`MEMORY_PER_BYTE`].
//! 2. Elements that take no bytes count against [`EMPTY_ELEMENTS_MAX`], by their size.
//! 3. A value is not nested too deep ([`depth`](super::depth)).
//! 4. A type that reads other fields or variants than were written is an error ([`shape`]).
//!
//! So it ends soon, in bounded memory, whatever stands there: the time limits of tasks need not cover it.
//!
//! It is in the place of bincode's own deserializer, over the same decoder. That one holds lengths against a limit,
//! which must be a constant and is counted with each scalar; here they are held against the bytes that are left.

use bincode::de::read::{BorrowReader, Reader};
use bincode::de::{BorrowDecode, Decode, Decoder as _, DecoderImpl};
use bincode::error::{AllowedEnumVariants, DecodeError};
use bincode::serde::DecodeError as SerdeError;
use serde::de::value::{StrDeserializer, U32Deserializer};
use serde::de::{self, Deserialize, DeserializeSeed, IntoDeserializer, Visitor};

use super::depth::Depth;
use super::shape::{self, FoundVariant, SUM_BYTES, Tag};
use super::{ASYMMETRIC, CONFIG, Config, EMPTY_ELEMENTS_MAX, plain};
use crate::sys;

/// Elements, and structs in boxes, of so many bytes in memory need not be counted: no more of them can come than there are bytes.
const SMALL_BYTES: usize = 64;
/// Larger elements may take so much memory for each byte of the whole value …
const MEMORY_PER_BYTE: u64 = 64;
/// … and so much in any case, as a frame by default: a value that is honest and larger has more bytes, too.
const MEMORY_MAX: u64 = 1 << 31;
/// An element without bytes counts so often as one with them.
const EMPTY_COST: u64 = MEMORY_MAX / EMPTY_ELEMENTS_MAX as u64;
/// A visitor that reserves without asking for more gets no greater length.
const HINT_MAX: usize = 1 << 16;

/// Reads one value off the front, and returns what is behind it.
#[inline]
pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<(T, &'de [u8]), DecodeError> {
    let memory_max = (bytes.len() as u64).saturating_mul(MEMORY_PER_BYTE).saturating_add(MEMORY_MAX);
    let (value, mut source) = read(bytes, memory_max)?;
    if source.sum != 0 {
        source.check_sum()?;
    }
    Ok((value, source.bytes))
}

/// Reads one value, but for the sum behind it.
#[inline]
fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8], memory_left: u64) -> Result<(T, InputBytes<'de>), DecodeError> {
    let mut decoder = DecoderImpl::new(InputBytes { bytes, sum: 0, memory_left }, CONFIG, ());
    let value = T::deserialize(Deserializer { decoder: &mut decoder, depth: Depth::outermost() })?;
    let &mut InputBytes { bytes, sum, memory_left } = decoder.reader();
    Ok((value, InputBytes { bytes, sum, memory_left }))
}

/// Reads a value that stands without its sum, as bincode writes one without an enum, and may take so much memory.
#[cfg(test)]
pub(super) fn decode_without_sum<T: de::DeserializeOwned>(
    bytes: &[u8],
    memory_max: u64,
) -> Result<(T, &[u8]), DecodeError> {
    read(bytes, memory_max).map(|(value, source)| (value, source.bytes))
}

/// Whether a deserializer is this one, and neither another format nor a wrapper.
#[inline]
pub(crate) fn is_own_deserializer<D>() -> bool {
    sys::type_id::<D>() == sys::type_id::<Deserializer<'static, 'static>>()
}

/// The bytes that were not read yet, and what is known of those that were.
struct InputBytes<'de> {
    bytes: &'de [u8],
    /// That of the structs so far.
    sum: u32,
    /// The memory that the value may still take.
    memory_left: u64,
}

impl InputBytes<'_> {
    /// Compares the sum behind a value.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn check_sum(&mut self) -> Result<(), DecodeError> {
        match self.bytes.split_first_chunk::<SUM_BYTES>() {
            Some((sum, left)) if u32::from_le_bytes(*sum) == self.sum => {
                self.bytes = left;
                Ok(())
            }
            _ => Err(DecodeError::Other(ASYMMETRIC)),
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn charge(&mut self, bytes: u64) -> Result<(), DecodeError> {
        match self.memory_left.checked_sub(bytes) {
            Some(left) => {
                self.memory_left = left;
                Ok(())
            }
            None => Err(too_large()),
        }
    }
}

#[cold]
fn too_large() -> DecodeError {
    DecodeError::OtherString(format!(
        "it would take more memory than a value may: {} MiB, and {MEMORY_PER_BYTE} bytes for each of its own; send it in parts",
        MEMORY_MAX >> 20,
    ))
}

impl<'de> BorrowReader<'de> for InputBytes<'de> {
    #[inline]
    fn take_bytes(&mut self, length: usize) -> Result<&'de [u8], DecodeError> {
        let Some((taken, left)) = self.bytes.split_at_checked(length) else {
            return Err(DecodeError::UnexpectedEnd { additional: length - self.bytes.len() });
        };
        self.bytes = left;
        Ok(taken)
    }
}

impl Reader for InputBytes<'_> {
    #[inline]
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), DecodeError> {
        bytes.copy_from_slice(self.take_bytes(bytes.len())?);
        Ok(())
    }
}

/// The part of a value that is read next.
struct Deserializer<'a, 'de> {
    decoder: &'a mut DecoderImpl<InputBytes<'de>, Config, ()>,
    depth: Depth,
}

impl<'a, 'de> Deserializer<'a, 'de> {
    /// The same place, for a `V` that has a level of its own.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn nested<V>(self) -> Result<Self, DecodeError> {
        let depth = self.depth.deeper().map_err(DecodeError::OtherString)?;
        if size_of::<V>() > SMALL_BYTES {
            self.decoder.reader().charge(size_of::<V>() as u64)?;
        }
        Ok(Self { depth, ..self })
    }

    /// So many elements, as the bytes claim.
    #[inline]
    fn elements(self, length: usize) -> SizedItems<'a, 'de> {
        let bytes_before = self.decoder.reader().bytes.len();
        SizedItems { deserializer: self, length, left: length, bytes_before, is_bounded: length <= bytes_before }
    }

    /// So many fields, as the type says.
    #[inline]
    fn fields(self, length: usize) -> SizedItems<'a, 'de> {
        SizedItems { deserializer: self, length, left: length, bytes_before: usize::MAX, is_bounded: true }
    }

    /// A struct, whose fields count for the sum behind the value.
    #[inline]
    fn counted_fields<V: Visitor<'de>>(self, most: usize, visitor: V) -> Result<V::Value, DecodeError> {
        let mut parts = self.nested::<V::Value>()?.fields(most);
        let value = visitor.visit_seq(&mut parts)?;
        let source = parts.deserializer.decoder.reader();
        source.sum = source.sum.wrapping_add(shape::of_fields(most - parts.left));
        Ok(value)
    }

    #[inline]
    fn part<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        seed.deserialize(Deserializer { decoder: self.decoder, depth: self.depth })
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

/// Questions that only a format that describes itself can answer.
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
            0 if size_of::<V::Value>() > SMALL_BYTES => {
                self.decoder.reader().charge(size_of::<V::Value>() as u64)?;
                visitor.visit_none()
            }
            0 => visitor.visit_none(),
            1 => visitor.visit_some(self.nested::<V::Value>()?),
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
        visitor.visit_newtype_struct(self.nested::<V::Value>()?)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let length = plain::claimed_length(self.decoder)?;
        match plain::visit(visitor, length, |bytes| self.decoder.reader().take_bytes(bytes)) {
            Ok(value) => value,
            Err(visitor) => visitor.visit_seq(self.nested::<V::Value>()?.elements(length)),
        }
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(self.nested::<V::Value>()?.fields(length))
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.counted_fields(length, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let length = plain::claimed_length(self.decoder)?;
        visitor.visit_map(self.nested::<V::Value>()?.elements(length))
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.counted_fields(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_enum(Enum { deserializer: self.nested::<V::Value>()?, variants })
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// So many elements, fields or entries.
struct SizedItems<'a, 'de> {
    deserializer: Deserializer<'a, 'de>,
    length: usize,
    left: usize,
    /// The bytes before the first; of fields, which are as many as the type says, more than there can be.
    bytes_before: usize,
    /// No more than the type says, or than there are bytes.
    is_bounded: bool,
}

impl<'de> SizedItems<'_, 'de> {
    #[inline]
    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.left == self.length.wrapping_sub(1)
            && self.deserializer.decoder.reader().bytes.len() == self.bytes_before
        {
            self.count_empty(size_of::<S::Value>())?;
        }
        self.left -= 1;
        self.deserializer.part(seed).map(Some)
    }

    /// Records that the first element took no bytes: so will the others, of which there can be any number.
    #[cold]
    fn count_empty(&mut self, element_bytes: usize) -> Result<(), DecodeError> {
        let cost = (self.length as u64).saturating_mul(element_bytes.max(1) as u64).saturating_mul(EMPTY_COST);
        let charged = self.deserializer.decoder.reader().charge(cost);
        charged.map_err(|_| DecodeError::OtherString(super::too_many_empty()))
    }

    /// The elements that a visitor may reserve. Elements that take no bytes can be more, which none needs to know beforehand.
    #[inline]
    fn hint(&self) -> Option<usize> {
        self.is_bounded.then_some(self.left.min(HINT_MAX))
    }
}

impl<'de> de::SeqAccess<'de> for SizedItems<'_, 'de> {
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

impl<'de> de::MapAccess<'de> for SizedItems<'_, 'de> {
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

/// The value of an enum.
struct Enum<'a, 'de> {
    deserializer: Deserializer<'a, 'de>,
    /// The names of the variants, and the aliases of each.
    variants: &'static [&'static str],
}

impl<'a, 'de> de::EnumAccess<'de> for Enum<'a, 'de> {
    type Error = DecodeError;
    type Variant = Variant<'a, 'de>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Variant<'a, 'de>), DecodeError> {
        let Self { deserializer, variants } = self;
        let tag = Tag(u32::decode(deserializer.decoder)?);
        let variant = match tag.find(variants) {
            FoundVariant::AtIndex => seed.deserialize(index(tag))?,
            FoundVariant::Named(name) => seed.deserialize(named(name))?,
            FoundVariant::Nowhere => return Err(DecodeError::Other(ASYMMETRIC)),
        };
        Ok((variant, Variant { deserializer, tag }))
    }
}

#[inline]
fn index(tag: Tag) -> U32Deserializer<DecodeError> {
    tag.index().into_deserializer()
}

fn named(name: &str) -> StrDeserializer<'_, DecodeError> {
    name.into_deserializer()
}

/// The fields of a variant.
struct Variant<'a, 'de> {
    deserializer: Deserializer<'a, 'de>,
    tag: Tag,
}

impl<'a, 'de> Variant<'a, 'de> {
    /// Its parts, if it was written with so many.
    #[inline]
    fn with(self, fields: usize) -> Result<Deserializer<'a, 'de>, DecodeError> {
        if self.tag.has_fields(fields) { Ok(self.deserializer) } else { Err(DecodeError::Other(ASYMMETRIC)) }
    }

    #[inline]
    fn fields<V: Visitor<'de>>(self, most: usize, visitor: V) -> Result<V::Value, DecodeError> {
        let Self { deserializer, tag } = self;
        let mut parts = deserializer.fields(most);
        let value = visitor.visit_seq(&mut parts)?;
        if tag.has_fields(most - parts.left) { Ok(value) } else { Err(DecodeError::Other(ASYMMETRIC)) }
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn unit_variant(self) -> Result<(), DecodeError> {
        self.with(0).map(drop)
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, DecodeError> {
        self.with(1)?.part(seed)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.fields(length, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.fields(fields.len(), visitor)
    }
}

#[cfg(test)]
mod tests;
