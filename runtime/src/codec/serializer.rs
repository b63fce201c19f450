//! Values to bytes: serde's calls, each as bincode encodes it, and sequences of numbers as a whole. It knows no limit: the
//! writer does.
//!
//! It stands in the place of bincode's own serializer, over the same encoder; the tests hold both to the same bytes.

use bincode::enc::write::Writer;
use bincode::enc::{Encode, Encoder as _, EncoderImpl};
use bincode::error::EncodeError;
use bincode::serde::EncodeError as SerdeError;
use serde::ser::{self, Serialize};

use super::{CONFIG, Config, plain};
use crate::sys;

/// Writes one value.
#[inline]
pub(super) fn encode<T: Serialize + ?Sized, W: Writer>(value: &T, writer: W) -> Result<(), EncodeError> {
    value.serialize(Serializer { encoder: &mut EncoderImpl::new(writer, CONFIG) })
}

/// Whether a serializer is this one, as an [`Encoder`](super::Encoder) uses it, and neither another format nor a wrapper.
#[inline]
pub(crate) fn is_own_serializer<S>() -> bool {
    sys::type_id::<S>() == sys::type_id::<Serializer<'static, super::Writer<'static, 'static>>>()
}

/// What it writes next, be it a value or the next part of one.
struct Serializer<'a, W: Writer> {
    encoder: &'a mut EncoderImpl<W, Config>,
}

impl<W: Writer> Serializer<'_, W> {
    #[inline]
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(Serializer { encoder: self.encoder })
    }

    /// Bytes as they stand. It is how bincode encodes numbers of fixed width, too, but by calls that are not inlined.
    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.encoder.writer().write(bytes)
    }

    #[inline(always)]
    fn length(&mut self, length: usize) -> Result<(), EncodeError> {
        self.bytes(&(length as u64).to_le_bytes())
    }

    /// A length, and bytes.
    #[inline]
    fn sized(mut self, length: usize, bytes: &[u8]) -> Result<(), EncodeError> {
        self.length(length)?;
        self.bytes(bytes)
    }

    #[inline]
    fn counted(mut self, length: Option<usize>) -> Result<Self, EncodeError> {
        self.length(length.ok_or(EncodeError::Serde(SerdeError::SequenceMustHaveLength))?)?;
        Ok(self)
    }

    #[inline]
    fn variant(mut self, index: u32) -> Result<Self, EncodeError> {
        self.bytes(&index.to_le_bytes())?;
        Ok(self)
    }
}

/// Numbers of fixed width.
macro_rules! numbers {
    ($($method:ident: $number:ty,)*) => {$(
        #[inline(always)]
        fn $method(mut self, value: $number) -> Result<(), EncodeError> {
            self.bytes(&value.to_le_bytes())
        }
    )*};
}

impl<W: Writer> ser::Serializer for Serializer<'_, W> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

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
        value.encode(self.encoder)
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        value.encode(self.encoder)
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
        value.serialize(self)
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
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), EncodeError> {
        self.variant(index).map(drop)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self.variant(index)?)
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Self, EncodeError> {
        self.counted(length)
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
        let mut serializer = self.counted(length)?;
        elements.try_for_each(|element| serializer.part(&element))
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self, EncodeError> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, EncodeError> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, EncodeError> {
        self.variant(index)
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Self, EncodeError> {
        self.counted(length)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, EncodeError> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, EncodeError> {
        self.variant(index)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// What has parts is written part after part, and has no end.
macro_rules! parts {
    ($($of:ident: $($method:ident($($key:ty)?)),*;)*) => {$(
        impl<W: Writer> ser::$of for Serializer<'_, W> {
            type Ok = ();
            type Error = EncodeError;

            $(#[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Result<(), EncodeError> {
                self.part(value)
            })*

            #[inline]
            fn end(self) -> Result<(), EncodeError> {
                Ok(())
            }
        }
    )*};
}

parts! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeMap: serialize_key(), serialize_value();
    SerializeStruct: serialize_field(&'static str);
    SerializeStructVariant: serialize_field(&'static str);
}
