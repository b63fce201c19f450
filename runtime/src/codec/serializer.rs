//! Values to bytes: serde's calls, each much as bincode encodes it, and sequences of numbers as a whole. It knows no limit of
//! bytes: the writer does.
//!
//! It is in the place of bincode's own serializer, over the same encoder; the tests hold both to the same bytes, but for what
//! says of the types what they are ([`shape`]). A value that could not be read again is refused here, where its type is known:
//!
//! 1. A field that is left out (`skip_serializing_if`), and parts that are more or fewer than was said before them.
//! 2. A value that is nested too deep ([`depth`](super::depth)).
//! 3. More elements without a byte than [`EMPTY_ELEMENTS_MAX`], which no limit of bytes would ever end.

use bincode::enc::write::Writer;
use bincode::enc::{Encode, Encoder as _, EncoderImpl};
use bincode::error::EncodeError;
use bincode::serde::EncodeError as SerdeError;
use serde::ser::{self, Serialize};

use super::depth::Depth;
use super::shape::{self, Tag};
use super::{CONFIG, Config, EMPTY_ELEMENTS_MAX, plain};
use crate::sys;

/// A writer that knows how much was written.
pub(super) trait CountingWriter: Writer {
    /// The bytes so far. It may begin anywhere.
    fn written(&self) -> usize;
}

/// Writes one value.
#[inline]
pub(super) fn encode<T: Serialize + ?Sized, W: CountingWriter>(value: &T, writer: W) -> Result<(), EncodeError> {
    let encoder = EncoderImpl::new(writer, CONFIG);
    let mut state = SerializerState { encoder, sum: 0, empty_elements: 0 };
    value.serialize(Serializer { state: &mut state, depth: Depth::outermost() })?;
    // By rule 1 of `shape`.
    if state.sum != 0 {
        state.encoder.writer().write(&state.sum.to_le_bytes())?;
    }
    Ok(())
}

/// Whether a serializer is this one, as an [`Encoder`](super::Encoder) uses it, and neither another format nor a wrapper.
#[inline]
pub(crate) fn is_own_serializer<S>() -> bool {
    sys::type_id::<S>() == sys::type_id::<Serializer<'static, super::Writer<'static, 'static>>>()
}

/// The state that all parts of a value have in common.
struct SerializerState<W: Writer> {
    encoder: EncoderImpl<W, Config>,
    /// That of the structs so far.
    sum: u32,
    /// The elements so far that took no bytes.
    empty_elements: usize,
}

/// The part of a value that is written next.
struct Serializer<'a, W: Writer> {
    state: &'a mut SerializerState<W>,
    depth: Depth,
}

impl<'a, W: CountingWriter> Serializer<'a, W> {
    #[inline]
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(Serializer { state: self.state, depth: self.depth })
    }

    /// The same place, for what has a level of its own.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn nested(self) -> Result<Self, EncodeError> {
        let depth = self.depth.deeper().map_err(EncodeError::OtherString)?;
        Ok(Self { depth, ..self })
    }

    /// Bytes as they stand. It is how bincode encodes numbers of fixed width, too, but by calls that are not inlined.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.state.encoder.writer().write(bytes)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn length(&mut self, length: usize) -> Result<(), EncodeError> {
        self.bytes(&(length as u64).to_le_bytes())
    }

    /// A length, and bytes.
    #[inline]
    fn sized(mut self, length: usize, bytes: &[u8]) -> Result<(), EncodeError> {
        self.length(length)?;
        self.bytes(bytes)
    }

    /// Elements, or keys and values: `per_element` parts each.
    #[inline]
    fn elements(self, length: Option<usize>, per_element: usize) -> Result<Elements<'a, W>, EncodeError> {
        let length = length.ok_or(EncodeError::Serde(SerdeError::SequenceMustHaveLength))?;
        let mut serializer = self.nested()?;
        serializer.length(length)?;
        let left = length.saturating_mul(per_element);
        let begun_at = serializer.written();
        Ok(Elements { serializer, length, left, second: left.wrapping_sub(per_element), begun_at })
    }

    #[inline]
    fn fields(self, name: &'static str, fields: usize) -> Result<FieldWriter<'a, W>, EncodeError> {
        Ok(FieldWriter { serializer: self.nested()?, name, fields, left: fields })
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn variant(&mut self, index: u32, fields: usize, name: &'static str) -> Result<(), EncodeError> {
        let Tag(tag) = Tag::new(index, fields, name).ok_or(EncodeError::Other("it has more than 65536 variants"))?;
        self.bytes(&tag.to_le_bytes())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn written(&mut self) -> usize {
        self.state.encoder.writer().written()
    }
}

/// Numbers of fixed width.
macro_rules! numbers {
    ($($method:ident: $number:ty,)*) => {$(
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn $method(mut self, value: $number) -> Result<(), EncodeError> {
            self.bytes(&value.to_le_bytes())
        }
    )*};
}

impl<'a, W: CountingWriter> ser::Serializer for Serializer<'a, W> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Elements<'a, W>;
    type SerializeTuple = FieldWriter<'a, W>;
    type SerializeTupleStruct = Struct<'a, W>;
    type SerializeTupleVariant = FieldWriter<'a, W>;
    type SerializeMap = Elements<'a, W>;
    type SerializeStruct = Struct<'a, W>;
    type SerializeStructVariant = FieldWriter<'a, W>;

    numbers! {
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_f32: f32,
        serialize_f64: f64,
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        value.encode(&mut self.state.encoder)
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        value.encode(&mut self.state.encoder)
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<(), EncodeError> {
        self.sized(text.len(), text.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.sized(bytes.len(), bytes)
    }

    #[inline]
    fn serialize_none(mut self) -> Result<(), EncodeError> {
        self.bytes(&[0])
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<(), EncodeError> {
        self.bytes(&[1])?;
        value.serialize(self.nested()?)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), EncodeError> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(mut self, _: &'static str, index: u32, name: &'static str) -> Result<(), EncodeError> {
        self.variant(index, 0, name)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), EncodeError> {
        value.serialize(self.nested()?)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        index: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.variant(index, 1, name)?;
        value.serialize(self.nested()?)
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Elements<'a, W>, EncodeError> {
        self.elements(length, 1)
    }

    #[inline]
    fn collect_seq<I>(self, sequence: I) -> Result<(), EncodeError>
    where
        I: IntoIterator<Item: Serialize>,
    {
        if let Some((length, bytes)) = plain::encoding_of(&sequence) {
            return self.sized(length, bytes);
        }
        let mut elements = sequence.into_iter();
        let length = match elements.size_hint() {
            (least, Some(most)) if least == most => Some(least),
            _ => None,
        };
        let mut parts = self.elements(length, 1)?;
        elements.try_for_each(|element| parts.next(&element))?;
        parts.end_parts()
    }

    #[inline]
    fn serialize_tuple(self, fields: usize) -> Result<FieldWriter<'a, W>, EncodeError> {
        self.fields("a tuple", fields)
    }

    #[inline]
    fn serialize_tuple_struct(self, name: &'static str, fields: usize) -> Result<Struct<'a, W>, EncodeError> {
        self.fields(name, fields).map(Struct)
    }

    #[inline]
    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        index: u32,
        name: &'static str,
        fields: usize,
    ) -> Result<FieldWriter<'a, W>, EncodeError> {
        self.variant(index, fields, name)?;
        self.fields(name, fields)
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Elements<'a, W>, EncodeError> {
        self.elements(length, 2)
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, fields: usize) -> Result<Struct<'a, W>, EncodeError> {
        self.fields(name, fields).map(Struct)
    }

    #[inline]
    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        index: u32,
        name: &'static str,
        fields: usize,
    ) -> Result<FieldWriter<'a, W>, EncodeError> {
        self.variant(index, fields, name)?;
        self.fields(name, fields)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The elements of a sequence, or the keys and values of a map.
struct Elements<'a, W: Writer> {
    serializer: Serializer<'a, W>,
    /// How many elements, or pairs, were announced.
    length: usize,
    /// How many parts are left of them.
    left: usize,
    /// How many are left when the first element, or pair, is written.
    second: usize,
    /// Where they begin.
    begun_at: usize,
}

impl<W: CountingWriter> Elements<'_, W> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn next<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        if self.left == self.second && self.serializer.written() == self.begun_at {
            self.count_empty()?;
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| wrong_length(self.length))?;
        self.serializer.part(value)
    }

    /// Records that the elements take no bytes.
    #[cold]
    fn count_empty(&mut self) -> Result<(), EncodeError> {
        let count = &mut self.serializer.state.empty_elements;
        *count = count.saturating_add(self.length);
        if *count > EMPTY_ELEMENTS_MAX {
            return Err(EncodeError::OtherString(super::too_many_empty()));
        }
        Ok(())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_parts(self) -> Result<(), EncodeError> {
        if self.left == 0 { Ok(()) } else { Err(wrong_length(self.length)) }
    }
}

#[cold]
fn wrong_length(length: usize) -> EncodeError {
    EncodeError::OtherString(format!(
        "its Serialize says that a sequence or a map has {length} elements, and writes more or fewer: a format without an end of \
         a sequence cannot carry that; let it say how many it writes",
    ))
}

/// The fields of a tuple or of a variant.
struct FieldWriter<'a, W: Writer> {
    serializer: Serializer<'a, W>,
    /// The kind of value that they are the fields of.
    name: &'static str,
    /// How many were announced, and how many are left of them.
    fields: usize,
    left: usize,
}

impl<W: CountingWriter> FieldWriter<'_, W> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn next<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| wrong_fields(self.name, self.fields))?;
        self.serializer.part(value)
    }

    #[cold]
    fn left_out(&self, field: &str) -> EncodeError {
        EncodeError::OtherString(format!(
            "the field `{field}` of `{}` is left out (`skip_serializing_if`), which only a format with names can carry: remove \
             that attribute, or send the value as a String or as bytes that you encode yourself",
            self.name,
        ))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_parts(self) -> Result<(), EncodeError> {
        if self.left == 0 { Ok(()) } else { Err(wrong_fields(self.name, self.fields)) }
    }
}

#[cold]
fn wrong_fields(name: &str, fields: usize) -> EncodeError {
    EncodeError::OtherString(format!(
        "the Serialize of `{name}` says that it has {fields} fields, and writes more or fewer: let it say how many it writes",
    ))
}

/// The fields of a struct, which count for the sum behind the value.
struct Struct<'a, W: Writer>(FieldWriter<'a, W>);

impl<W: CountingWriter> Struct<'_, W> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn next<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.0.next(value)
    }

    #[cold]
    fn left_out(&self, field: &str) -> EncodeError {
        self.0.left_out(field)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end_parts(self) -> Result<(), EncodeError> {
        let Self(fields) = self;
        let sum = &mut fields.serializer.state.sum;
        *sum = sum.wrapping_add(shape::of_fields(fields.fields));
        fields.end_parts()
    }
}

/// A value with parts is written part after part; a field that is left out is an error.
macro_rules! parts {
    ($($of:ident for $parts:ident: $($method:ident($($key:ty)?)),* $(or $skip:ident)?;)*) => {$(
        impl<W: CountingWriter> ser::$of for $parts<'_, W> {
            type Ok = ();
            type Error = EncodeError;

            $(#[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Result<(), EncodeError> {
                self.next(value)
            })*

            $(fn $skip(&mut self, field: &'static str) -> Result<(), EncodeError> {
                Err(self.left_out(field))
            })?

            #[inline]
            fn end(self) -> Result<(), EncodeError> {
                self.end_parts()
            }
        }
    )*};
}

parts! {
    SerializeSeq for Elements: serialize_element();
    SerializeTuple for FieldWriter: serialize_element();
    SerializeTupleStruct for Struct: serialize_field();
    SerializeTupleVariant for FieldWriter: serialize_field();
    SerializeMap for Elements: serialize_key(), serialize_value();
    SerializeStruct for Struct: serialize_field(&'static str) or skip_field;
    SerializeStructVariant for FieldWriter: serialize_field(&'static str) or skip_field;
}
