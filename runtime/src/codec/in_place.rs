//! Values that are read where they stand: texts, paths and sequences of numbers, for a function that borrows them. It knows the
//! format of these, and what alignment they need.
//!
//! 1. A borrowed sequence of numbers is written behind padding, so that the first number is aligned: a byte that says how many bytes
//!    are left out, and these. Both sides know by the function's type that it is there.
//! 2. The bytes may have been moved since to an address with another alignment, such as those of a task that came over a socket:
//!    nothing is believed, and the reader looks at the address. What is not aligned is copied.
//! 3. What is written decides, and not what a function names: a type of the program's own that is called `Cow` has its own format.

use std::any::TypeId;
use std::borrow::Cow;
use std::path::Path;

use bincode::enc::write::Writer as _;
use bincode::error::DecodeError;
use serde::de::Deserialize;

use super::{Decoder, Encoder, Writer, decode_error, deserializer, encode_error};
use crate::error::CodecError;
use crate::sys::{self, Same};

/// The bytes of a sequence's length.
const LENGTH_BYTES: usize = 8;
/// No number needs a larger alignment.
const ALIGN_MAX: usize = 16;

/// Whether a type is written as a `B` is: it is the type that owns one, or std's `Cow` of it. A type of the same name is neither.
#[cfg_attr(not(debug_assertions), inline(always))]
fn is_written_as<B: ?Sized + ToOwned<Owned: 'static> + 'static>(written: TypeId) -> bool {
    written == TypeId::of::<B::Owned>() || written == TypeId::of::<Cow<'static, B>>()
}

/// The alignment that the elements of `B` need, if it is a slice of numbers of which `T` is the owned form; 1 for anything else.
#[cfg_attr(not(debug_assertions), inline(always))]
fn alignment_of<B: ?Sized + 'static, T>() -> usize {
    if const { may_stand::<B>() } { alignment_of_ids(TypeId::of::<B>(), sys::type_id::<T>()) } else { 1 }
}

/// Whether a `B` may be read where it stands: a reference to one that has a length. It is known where code is generated, so that none
/// is for another.
const fn may_stand<B: ?Sized>() -> bool {
    size_of::<&B>() > size_of::<usize>()
}

/// It is not generic, so that there is one copy of it.
#[cfg_attr(not(debug_assertions), inline(always))]
fn alignment_of_ids(borrowed: TypeId, written: TypeId) -> usize {
    macro_rules! each {
        ($($number:ty)*) => {$(
            if borrowed == const { TypeId::of::<[$number]>() } && is_written_as::<[$number]>(written) {
                return const { assert!(align_of::<$number>() <= ALIGN_MAX); align_of::<$number>() };
            }
        )*};
    }
    sys::for_each_plain!(each);
    1
}

impl Encoder<'_> {
    /// Leaves out as many bytes as a value needs before it that is written as a `T`, and read as a `B` where it stands.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn pad_for<B: ?Sized + 'static, T>(&mut self) -> Result<(), CodecError> {
        if const { !may_stand::<B>() } {
            return Ok(());
        }
        match alignment_of::<B, T>() {
            1 => Ok(()),
            align => self.pad(align).map_err(|error| encode_error::<T>(&error, self.start, self.bytes_max)),
        }
    }

    fn pad(&mut self, align: usize) -> Result<(), bincode::error::EncodeError> {
        let behind = self.offset.wrapping_add(self.sink.len() + 1 + LENGTH_BYTES);
        let left_out = behind.next_multiple_of(align) - behind;
        let mut padding = [0; ALIGN_MAX];
        padding[0] = left_out as u8;
        Writer(self).write(&padding[..=left_out])
    }
}

impl<'a> Decoder<'a> {
    /// Steps over what was left out before a value that is written as a `T`, and read as a `B` where it stands.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn skip_padding<B: ?Sized + 'static, T>(&mut self) -> Result<(), CodecError> {
        if const { may_stand::<B>() } && alignment_of::<B, T>() > 1 {
            let padded = self.bytes.split_first().and_then(|(&left_out, rest)| rest.get(usize::from(left_out)..));
            self.bytes = padded.ok_or_else(|| decode_error::<T>(&ended(1)))?;
        }
        Ok(())
    }

    /// Takes a value that was written as a `T`, by which an error names it, where it stands; none is taken if it cannot be read as a
    /// `B` there, or stands at an address that is not aligned for one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn in_place<B: ?Sized + 'static, T>(&mut self) -> Result<Option<&'a B>, CodecError> {
        if const { !may_stand::<B>() } {
            return Ok(None);
        }
        let written = sys::type_id::<T>();
        if let Some(same) = Same::<str, B>::proof().filter(|_| is_written_as::<str>(written)) {
            return self.borrowed::<&str, T>().map(|text| Some(same.cast(text)));
        }
        if let Some(same) = Same::<Path, B>::proof().filter(|_| is_written_as::<Path>(written)) {
            return self.borrowed::<&Path, T>().map(|path| Some(same.cast(path)));
        }
        macro_rules! each {
            ($($number:ty)*) => {$(
                if let Some(same) = Same::<[$number], B>::proof().filter(|_| is_written_as::<[$number]>(written)) {
                    let (bytes, rest) = self.sequence(size_of::<$number>()).map_err(|error| decode_error::<T>(&error))?;
                    let numbers = sys::numbers_of::<$number>(bytes);
                    self.bytes = if numbers.is_some() { rest } else { self.bytes };
                    return Ok(numbers.map(|numbers| same.cast(numbers)));
                }
            )*};
        }
        if cfg!(target_endian = "little") {
            sys::for_each_plain!(each);
        }
        Ok(None)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn borrowed<V: Deserialize<'a>, T>(&mut self) -> Result<V, CodecError> {
        let (value, left) = deserializer::decode(self.bytes).map_err(|error| decode_error::<T>(&error))?;
        self.bytes = left;
        Ok(value)
    }

    /// The bytes of a sequence of elements of this size, and what stands behind it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn sequence(&self, element_bytes: usize) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
        let (length, rest) = self.bytes.split_first_chunk::<LENGTH_BYTES>().ok_or_else(|| ended(LENGTH_BYTES))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        // Too large a product is more bytes than there can be.
        let bytes = length.saturating_mul(element_bytes);
        rest.split_at_checked(bytes).ok_or_else(|| ended(bytes - rest.len()))
    }
}

fn ended(additional: usize) -> DecodeError {
    DecodeError::UnexpectedEnd { additional }
}

#[cfg(test)]
mod tests {
    use super::super::Sink;
    use super::*;

    /// Bytes that begin at an address that is aligned for any number.
    #[repr(align(16))]
    struct Aligned([u8; 256]);

    /// Writes `before`, and then numbers for a function that borrows them, so far behind an aligned address.
    fn written(offset: usize, before: &str, numbers: &[f64]) -> (Aligned, usize) {
        let mut room = Aligned([0xff; 256]);
        let mut spill = Vec::new();
        let mut encoder = Encoder::new(Sink::new(&mut room.0[offset..], &mut spill), 200).at_offset(offset);
        encoder.value(before).unwrap();
        encoder.pad_for::<[f64], Vec<f64>>().unwrap();
        encoder.value(numbers).unwrap();
        let end = offset + encoder.sink().len();
        (room, end)
    }

    #[test]
    fn numbers_are_read_where_they_stand_whatever_is_before_them() {
        for offset in 0..16 {
            for before in ["", "a", "ab", "abcdefg"] {
                let (room, end) = written(offset, before, &[1.5, -0.0, f64::MAX]);
                let mut decoder = Decoder::new(&room.0[offset..end]);
                assert_eq!(decoder.in_place::<str, String>().unwrap(), Some(before));
                decoder.skip_padding::<[f64], Vec<f64>>().unwrap();
                assert_eq!(decoder.in_place::<[f64], Vec<f64>>().unwrap(), Some(&[1.5, -0.0, f64::MAX][..]));
                assert!(decoder.is_at_end());
            }
        }
    }

    #[test]
    fn numbers_that_were_moved_are_not_read_where_they_stand() {
        let (room, end) = written(0, "", &[1.5]);
        for shift in 1..8 {
            let mut moved = Aligned([0; 256]);
            moved.0[shift..shift + end].copy_from_slice(&room.0[..end]);
            let mut decoder = Decoder::new(&moved.0[shift..shift + end]);
            assert_eq!(decoder.value::<String>().unwrap(), "");
            decoder.skip_padding::<[f64], Vec<f64>>().unwrap();
            assert_eq!(decoder.in_place::<[f64], Vec<f64>>().unwrap(), None);
            assert_eq!(decoder.value::<Vec<f64>>().unwrap(), [1.5]);
            assert!(decoder.is_at_end());
        }
    }

    /// A type of a program's own, which is written otherwise.
    struct Other;

    #[test]
    fn a_type_that_is_not_the_owned_form_is_not_read_where_it_stands() {
        let (room, end) = written(0, "text", &[]);
        let mut decoder = Decoder::new(&room.0[..end]);
        assert_eq!(decoder.in_place::<str, Other>().unwrap(), None);
        assert_eq!(decoder.in_place::<[u8], Other>().unwrap(), None);
        assert_eq!(decoder.in_place::<str, Cow<'static, str>>().unwrap(), Some("text"));
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(Sink::behind(&mut bytes), 200);
        encoder.pad_for::<[f64], Other>().unwrap();
        assert_eq!(encoder.sink().len(), 0);
        encoder.pad_for::<[f64], Cow<'static, [f64]>>().unwrap();
        assert_eq!(encoder.sink().len() % 8, 0);
    }

    #[test]
    fn nothing_is_left_out_before_what_needs_no_alignment() {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(Sink::behind(&mut bytes), 200);
        encoder.pad_for::<[u8], Vec<u8>>().unwrap();
        encoder.pad_for::<str, String>().unwrap();
        encoder.pad_for::<[String], Vec<String>>().unwrap();
        assert_eq!(encoder.sink().len(), 0);
    }

    #[test]
    fn a_path_is_read_where_it_stands_and_a_slice_of_texts_is_not() {
        let mut bytes = Vec::new();
        super::super::encode(Path::new("a/b"), &mut bytes, 200).unwrap();
        let mut decoder = Decoder::new(&bytes);
        assert_eq!(decoder.in_place::<Path, std::path::PathBuf>().unwrap(), Some(Path::new("a/b")));
        assert_eq!(Decoder::new(&bytes).in_place::<[String], Vec<String>>().unwrap(), None);
    }

    #[test]
    fn bytes_that_end_too_soon_or_are_no_text_are_errors_of_the_owned_type() {
        let (room, end) = written(0, "", &[1.5, 2.5]);
        for cut in 8..end {
            let mut decoder = Decoder::new(&room.0[..cut]);
            decoder.value::<String>().unwrap();
            let read = decoder.skip_padding::<[f64], Vec<f64>>().and_then(|()| decoder.in_place::<[f64], Vec<f64>>());
            assert!(read.unwrap_err().message().contains("its bytes ended too soon"), "cut at {cut}");
        }
        let huge = u64::MAX.to_le_bytes();
        assert!(Decoder::new(&huge).in_place::<[u8], Vec<u8>>().is_err());
        let no_text = [&1u64.to_le_bytes()[..], &[0xff]].concat();
        let error = Decoder::new(&no_text).in_place::<str, String>().unwrap_err();
        assert!(error.message().contains("String"), "{error}");
    }

    #[test]
    fn padding_counts_against_the_limit() {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(Sink::behind(&mut bytes), 4);
        let error = encoder.pad_for::<[f64], Vec<f64>>().unwrap_err();
        assert!(error.message().contains("Vec<f64>"), "{error}");
    }
}
