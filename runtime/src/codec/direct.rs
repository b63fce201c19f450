//! Outputs whose encoding is their memory but for a length before it, `Vec`s of numbers and texts: copied from where a worker wrote
//! them straight into that memory, they need not be decoded.

use std::any::{Any, TypeId};
use std::mem::size_of;

use super::{CodecError, decode};
use crate::sys::{self, Filling, Plain, Ring};

/// The bytes of the length that stands before the elements.
pub(crate) const LENGTH_BYTES: usize = 8;

/// An output whose elements come one part after another.
pub(crate) trait DirectOutput: Send {
    /// How many bytes of its elements are to come.
    fn left(&self) -> usize;

    /// Takes the next bytes from a position of a ring, at most as many as are left.
    fn copy_from(&mut self, ring: &Ring, position: u32, bytes: usize);

    /// What has come of its encoding: the length, and the elements.
    fn encoding(&self) -> ([u8; LENGTH_BYTES], &[u8]);

    /// How many bytes its encoding has in all.
    fn bytes(&self) -> usize;

    /// The output, of the type for which [`direct_output`] was asked.
    fn finish(self: Box<Self>) -> Result<Box<dyn Any>, CodecError>;
}

/// Makes room for an output with this length before it; none if its elements take more than so many bytes, or more than there are.
pub(crate) type NewDirect = fn([u8; LENGTH_BYTES], usize) -> Option<Box<dyn DirectOutput>>;

/// How room is made for an output of type `T`, if it is a `Vec` of numbers, or a `String`. With 32 bits there is none: room is made for
/// as much as a worker claims, and addresses are few.
#[inline]
pub(crate) fn direct_output<T: 'static>() -> Option<NewDirect> {
    direct_output_of(TypeId::of::<T>())
}

/// It is not generic, so that there is one copy of it.
fn direct_output_of(output: TypeId) -> Option<NewDirect> {
    if cfg!(any(target_endian = "big", not(target_pointer_width = "64"))) {
        return None;
    }
    macro_rules! each {
        ($($number:ty)*) => {$(
            if output == const { TypeId::of::<Vec<$number>>() } {
                return Some(|length, most| DirectElements::<$number>::room(length, most, |_, numbers| Ok(Box::new(numbers))));
            }
        )*};
    }
    sys::for_each_plain!(each);
    if output == const { TypeId::of::<String>() } {
        return Some(|length, most| DirectElements::room(length, most, text));
    }
    None
}

/// The elements of an output, which `finish` makes of them and of the length that stood before them.
struct DirectElements<T> {
    length: [u8; LENGTH_BYTES],
    elements: Filling<T>,
    finish: Finish<T>,
}

type Finish<T> = fn([u8; LENGTH_BYTES], Vec<T>) -> Result<Box<dyn Any>, CodecError>;

impl<T: Plain + Send> DirectElements<T> {
    fn room(length: [u8; LENGTH_BYTES], most: usize, finish: Finish<T>) -> Option<Box<dyn DirectOutput>> {
        let bytes = usize::try_from(u64::from_le_bytes(length)).ok()?.checked_mul(size_of::<T>())?;
        (bytes <= most).then_some(())?;
        Some(Box::new(Self { length, elements: Filling::new(bytes)?, finish }))
    }
}

impl<T: Plain + Send> DirectOutput for DirectElements<T> {
    fn left(&self) -> usize {
        self.elements.left()
    }

    fn copy_from(&mut self, ring: &Ring, position: u32, bytes: usize) {
        self.elements.copy_from(ring, position, bytes);
    }

    fn encoding(&self) -> ([u8; LENGTH_BYTES], &[u8]) {
        (self.length, self.elements.filled())
    }

    fn bytes(&self) -> usize {
        LENGTH_BYTES + self.elements.filled().len() + self.elements.left()
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn Any>, CodecError> {
        let elements = self.elements.into_vec().ok_or_else(|| CodecError::new("the bytes ended too soon"))?;
        (self.finish)(self.length, elements)
    }
}

/// A text. One that is none has the error that a short one has.
fn text(length: [u8; LENGTH_BYTES], bytes: Vec<u8>) -> Result<Box<dyn Any>, CodecError> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Box::new(text)),
        Err(error) => decode::<String>(&[&length, &error.into_bytes()[..]].concat()).map(|text| Box::new(text) as _),
    }
}

#[cfg(test)]
#[cfg(all(target_endian = "little", target_pointer_width = "64"))]
mod tests {
    use super::*;

    #[test]
    #[cfg(poolmap_linux)]
    #[cfg_attr(miri, ignore = "a ring is mapped twice")]
    fn a_text_of_other_bytes_is_an_error_of_the_output() {
        let (ring, mut writer) = sys::ring_in_test(1 << 12);
        writer.room(0, 4).copy_from_slice(b"ab\xffd");
        let mut text = direct_output::<String>().unwrap()(4u64.to_le_bytes(), 4).unwrap();
        text.copy_from(&ring, 0, 4);
        let error = text.finish().unwrap_err();
        assert_eq!(error.message(), decode::<String>(b"\x04\0\0\0\0\0\0\0ab\xffd").unwrap_err().message());
    }

    #[test]
    fn vecs_of_numbers_and_texts_are_direct_and_nothing_else_is() {
        assert!(direct_output::<Vec<u8>>().is_some());
        assert!(direct_output::<Vec<f64>>().is_some());
        assert!(direct_output::<String>().is_some());
        assert!(direct_output::<Vec<bool>>().is_none());
        assert!(direct_output::<Vec<String>>().is_none());
        assert!(direct_output::<Option<Vec<u8>>>().is_none());
        assert!(direct_output::<u64>().is_none());
    }

    #[test]
    fn a_claimed_length_is_not_believed() {
        let new = direct_output::<Vec<f64>>().unwrap();
        for claim in [u64::MAX, u64::MAX / 8 + 1, u64::MAX / 8, 1 << 61] {
            assert!(new(claim.to_le_bytes(), usize::MAX).is_none(), "{claim}");
        }
        assert!(new(2u64.to_le_bytes(), 15).is_none());
        let short = new(1u64.to_le_bytes(), 8).unwrap();
        assert_eq!((short.left(), short.bytes(), short.encoding()), (8, 16, (1u64.to_le_bytes(), &[][..])));
        assert!(short.finish().is_err());
    }
}
