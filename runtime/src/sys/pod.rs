//! Plain numbers as the bytes that they are in memory, so that many are copied at once. It knows no format and no serde:
//! whether these bytes are an encoding is the caller's to say.
//!
//! A caller is generic, and asks whether its type is a sequence of numbers. It need not be `'static`, as `Any` wants it;
//! `typeid` gives it the identity that it has with every lifetime made `'static`. So one identity can stand for types that
//! differ in their lifetimes, and the code below holds by these rules:
//!
//! 1. A [`Plain`] type has no lifetime in it, so `Vec<T>` has none: what has its identity is `Vec<T>` itself.
//! 2. A type that has the identity of `&'static Vec<T>` or `&'static [T]` is such a reference of some lifetime, and is never used
//!    for longer than the value itself is borrowed.

use std::any::TypeId;
use std::iter::{Cloned, Copied, Repeat, RepeatN};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Range, RangeInclusive};
use std::{slice, vec};

pub(crate) use typeid::of as type_id;

/// A number, or a value that consists of numbers alone.
///
/// # Safety
///
/// The type has no padding, whatever bytes are there are a value of it, and it has no lifetimes.
pub unsafe trait Plain: Copy + 'static {
    /// Naming it compiles where memory can hold a slice of these: they take bytes, and pages are aligned for them.
    #[doc(hidden)]
    const FITS: () = assert!(
        size_of::<Self>() > 0 && align_of::<Self>() <= PAGE_BYTES_MIN,
        "a shared slice holds values of at least one byte, aligned to 4,096 bytes at most",
    );
}

/// The bytes of the largest number.
const NUMBER_BYTES_MAX: usize = size_of::<u128>();

/// No system has smaller pages.
const PAGE_BYTES_MIN: usize = 4096;

/// Hands the plain types to another macro. `usize` is not among them where its width is not that of an encoded length.
#[cfg(target_pointer_width = "64")]
macro_rules! for_each_plain {
    ($each:ident) => {
        $each! { u8 f64 f32 i64 i32 u64 u32 usize isize i16 u16 i8 i128 u128 }
    };
}
#[cfg(not(target_pointer_width = "64"))]
macro_rules! for_each_plain {
    ($each:ident) => {
        $each! { u8 f64 f32 i64 i32 u64 u32 i16 u16 i8 i128 u128 }
    };
}
pub(crate) use for_each_plain;

#[cfg(not(feature = "bytemuck"))]
macro_rules! implement {
    ($($number:ty)*) => {$(
        // SAFETY: integers and floats have neither padding, nor bytes that are no value, nor lifetimes.
        unsafe impl Plain for $number {}
    )*};
}
#[cfg(not(feature = "bytemuck"))]
for_each_plain!(implement);

// SAFETY: that is what `Pod` promises: no padding, any bytes are a value, neither pointers nor interior mutability. The trait itself
// asks for `Copy` and `'static`.
#[cfg(feature = "bytemuck")]
unsafe impl<T: bytemuck::Pod> Plain for T {}

/// The elements of `sequence`, how many and their bytes, if it is a `&Vec<T>` or a `&[T]` of a plain type.
#[inline]
pub(crate) fn plain_bytes<I>(sequence: &I) -> Option<(usize, &[u8])> {
    let sequence_type = type_id::<I>();
    macro_rules! each {
        ($($number:ty)*) => {$(
            if sequence_type == const { TypeId::of::<&'static Vec<$number>>() } {
                // SAFETY: by rule 2, `I` is `&Vec<$number>`, and the borrow of `sequence` bounds the use.
                let vec = unsafe { &*(&raw const *sequence).cast::<&Vec<$number>>() };
                return Some((vec.len(), bytes_of(vec.as_slice())));
            }
            if sequence_type == const { TypeId::of::<&'static [$number]>() } {
                // SAFETY: by rule 2, `I` is `&[$number]`, and the borrow of `sequence` bounds the use.
                let slice = unsafe { &*(&raw const *sequence).cast::<&[$number]>() };
                return Some((slice.len(), bytes_of(slice)));
            }
        )*};
    }
    for_each_plain!(each);
    None
}

/// The bytes of some numbers.
#[inline]
pub(crate) fn bytes_of<T: Plain>(numbers: &[T]) -> &[u8] {
    // SAFETY: the pointer and the length are those of a slice that is borrowed as long as the result; all its bytes are
    // initialised, for `T` is `Plain` and has no padding; any address is aligned for a `u8`.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast::<u8>(), size_of_val(numbers)) }
}

/// The proof that `V` is `Vec<T>`.
pub(crate) struct IsVec<T, V>(PhantomData<fn(T) -> V>);

impl<T: Plain, V> IsVec<T, V> {
    /// The proof, if it is so.
    #[inline]
    pub(crate) fn proof() -> Option<Self> {
        (type_id::<V>() == const { TypeId::of::<Vec<T>>() }).then_some(Self(PhantomData))
    }

    /// The elements that these bytes are: as many as are whole.
    #[inline]
    pub(crate) fn copy_of(self, bytes: &[u8]) -> V {
        let vec = ManuallyDrop::new(vec_of::<T>(bytes));
        // SAFETY: `self` exists, so `V` has the identity of `Vec<T>`, and by rule 1 is `Vec<T>`. The bits are taken once:
        // what they are copied from is not dropped.
        unsafe { std::mem::transmute_copy::<Vec<T>, V>(&vec) }
    }
}

#[inline]
fn vec_of<T: Plain>(bytes: &[u8]) -> Vec<T> {
    let length = bytes.len() / size_of::<T>();
    let mut numbers = Vec::<T>::with_capacity(length);
    // SAFETY: `bytes` holds `length` elements at least, and so does the memory of `numbers`, which was just made and so
    // overlaps nothing. Whatever the bytes are, they are values of `T`, which is `Plain`, so `length` elements are
    // initialised after the copy; the copy is by bytes, which need no alignment.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), numbers.as_mut_ptr().cast::<u8>(), length * size_of::<T>());
        numbers.set_len(length);
    }
    numbers
}

/// Whether a type may be one of the numbers, as far as its size says: known where code is generated, so that none is for another.
pub(crate) const fn may_be_number<T>() -> bool {
    matches!(size_of::<T>(), 1 | 2 | 4 | 8 | 16) && !std::mem::needs_drop::<T>()
}

/// Whether a type is one of the numbers. The comparisons are not generic: there is one copy of them, and not one for each type.
#[cfg_attr(not(debug_assertions), inline(always))]
fn is_number_id(id: TypeId) -> bool {
    macro_rules! each {
        ($($number:ty)*) => {
            $(id == const { TypeId::of::<$number>() })||*
        };
    }
    for_each_plain!(each)
}

/// Whether `T` is one of the numbers, all bytes of which are a value.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn is_number<T>() -> bool {
    if const { may_be_number::<T>() } { is_number_id(type_id::<T>()) } else { false }
}

/// The number that these bytes are, little-endian; none if `T` is no number, or they are not as many bytes.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn number_from<T>(bytes: &[u8]) -> Option<T> {
    if const { !may_be_number::<T>() } || bytes.len() != size_of::<T>() || !is_number::<T>() {
        return None;
    }
    let mut native = [0; NUMBER_BYTES_MAX];
    native[..bytes.len()].copy_from_slice(bytes);
    if cfg!(target_endian = "big") {
        native[..bytes.len()].reverse();
    }
    // SAFETY: `T` has the identity of a number, which has no lifetime in it, and so is that number: it is `Copy`, and any bytes are a
    // value of it. It takes as many bytes as were copied, which are no more than there are, and the read needs no alignment.
    Some(unsafe { native.as_ptr().cast::<T>().read_unaligned() })
}

/// Writes the bytes of a number, little-endian; returns whether it is one, and `bytes` as many as it has.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn write_number<T>(number: &T, bytes: &mut [u8]) -> bool {
    if const { !may_be_number::<T>() } || bytes.len() != size_of::<T>() || !is_number::<T>() {
        return false;
    }
    // SAFETY: `T` has the identity of a number, which has no lifetime in it, and so is that number: it has no padding, so all its bytes
    // are initialised, and they are borrowed as long as `number` is.
    let native = unsafe { std::slice::from_raw_parts((&raw const *number).cast::<u8>(), size_of::<T>()) };
    bytes.copy_from_slice(native);
    if cfg!(target_endian = "big") {
        bytes.reverse();
    }
    true
}

/// How many more numbers an iterator has, at least, that counts them or reads them from memory; zero for any other.
#[inline]
pub(crate) fn plain_left<I: Iterator>(iterator: &I) -> usize {
    if is_plain_iterator_id(type_id::<I>()) { iterator.size_hint().0 } else { 0 }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn is_plain_iterator_id(id: TypeId) -> bool {
    macro_rules! each {
        ($($number:ty)*) => {
            $(each! { @Range<$number>, RangeInclusive<$number>, slice::Iter<'static, $number>,
                Copied<slice::Iter<'static, $number>>, Cloned<slice::Iter<'static, $number>>, vec::IntoIter<$number>, Repeat<$number>,
                RepeatN<$number> })||*
        };
        (@$($plain:ty),*) => {
            ($(id == const { TypeId::of::<$plain>() })||*)
        };
    }
    for_each_plain!(each)
}

/// The proof that `A` and `B` are one type.
pub(crate) struct Same<A: ?Sized, B: ?Sized>(PhantomData<(*const A, *const B)>);

impl<A: ?Sized + 'static, B: ?Sized + 'static> Same<A, B> {
    /// The proof, if it is so.
    #[inline]
    pub(crate) fn proof() -> Option<Self> {
        (TypeId::of::<A>() == TypeId::of::<B>()).then_some(Self(PhantomData))
    }

    /// The value, by its other name.
    #[inline]
    pub(crate) fn cast(self, value: &A) -> &B {
        // SAFETY: `self` exists, so `A` and `B`, which are `'static`, are one type, and the two references are one too. The lifetime
        // is that of `value`, by the signature.
        unsafe { std::mem::transmute_copy::<&A, &B>(&value) }
    }
}

/// The numbers that these bytes are, where they stand: as many as are whole. None if their address is not that of a `T`.
#[inline]
pub(crate) fn numbers_of<T: Plain>(bytes: &[u8]) -> Option<&[T]> {
    let numbers = bytes.as_ptr().cast::<T>();
    // SAFETY: the address is aligned, and so many elements are in the bytes, which are borrowed as long as the result. Whatever they
    // are, they are values of `T`, which is `Plain`.
    numbers.is_aligned().then(|| unsafe { std::slice::from_raw_parts(numbers, bytes.len() / size_of::<T>()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<I>(sequence: I) -> Option<(usize, Vec<u8>)> {
        plain_bytes(&sequence).map(|(length, bytes)| (length, bytes.to_vec()))
    }

    #[test]
    fn vecs_and_slices_of_numbers_are_their_bytes() {
        let numbers = vec![1u16, 0x0203];
        let native = [1u16.to_ne_bytes(), 0x0203u16.to_ne_bytes()].concat();
        assert_eq!(bytes(&numbers), Some((2, native.clone())));
        assert_eq!(bytes(&numbers[..]), Some((2, native.clone())));
        assert_eq!(IsVec::<u16, Vec<u16>>::proof().unwrap().copy_of(&native), numbers);
        assert_eq!(bytes(&Vec::<f64>::new()), Some((0, Vec::new())));
    }

    #[test]
    fn nothing_else_is() {
        assert_eq!(bytes(&vec![true]), None);
        assert_eq!(bytes(&vec!['a']), None);
        assert_eq!(bytes(&vec![[1u8; 2]]), None);
        assert_eq!(bytes(&vec!["a"]), None);
        assert_eq!(bytes(&[1u8, 2]), None);
        assert_eq!(bytes(vec![1u8]), None);
        assert!(IsVec::<u8, Vec<i8>>::proof().is_none());
        assert!(IsVec::<u8, Box<[u8]>>::proof().is_none());
        assert!(IsVec::<u8, Vec<&u8>>::proof().is_none());
    }

    #[test]
    fn one_type_is_the_same_as_itself_alone() {
        let text = Same::<str, str>::proof().unwrap();
        assert_eq!(text.cast("text"), "text");
        let numbers = Same::<[u16], [u16]>::proof().unwrap();
        assert_eq!(numbers.cast(&[1, 2]), [1, 2]);
        assert!(Same::<[u16], [i16]>::proof().is_none());
        assert!(Same::<str, [u8]>::proof().is_none());
    }

    #[test]
    fn a_number_is_its_bytes_and_nothing_else_is() {
        let mut bytes = [0; 8];
        assert!(write_number(&-1.5f64, &mut bytes));
        assert_eq!(number_from::<f64>(&bytes), Some(-1.5));
        assert_eq!(number_from::<u64>(&bytes), Some((-1.5f64).to_bits()));
        assert_eq!(number_from::<u32>(&bytes), None);
        assert_eq!(number_from::<char>(&bytes[..4]), None);
        assert!(!write_number(&1u32, &mut bytes));
        assert!(!write_number(&'a', &mut bytes[..4]));
        assert!(write_number(&7u8, &mut bytes[..1]));
        assert_eq!(bytes[0], 7);
    }

    #[test]
    fn an_iterator_is_plain_if_it_runs_no_code_of_the_program() {
        let numbers = [1u16, 2, 3];
        assert_eq!(plain_left(&(0..5i64)), 5);
        assert_eq!(plain_left(&(0..=5u128)), 6);
        assert_eq!(plain_left(&numbers.iter()), 3);
        assert_eq!(plain_left(&numbers.iter().copied()), 3);
        assert_eq!(plain_left(&numbers.iter().cloned()), 3);
        assert_eq!(plain_left(&vec![1u16, 2, 3].into_iter()), 3);
        assert_eq!(plain_left(&std::iter::repeat(1u8)), usize::MAX);
        assert_eq!(plain_left(&std::iter::repeat_n(1u8, 3)), 3);
        assert_eq!(plain_left(&numbers.iter().map(|number| number + 1)), 0);
        assert_eq!(plain_left(&(0..5i64).inspect(|_| ())), 0);
        assert_eq!(plain_left(&('a'..'c')), 0);
        assert_eq!(plain_left(&["a"].iter()), 0);
    }

    #[test]
    fn bytes_are_numbers_where_they_are_aligned() {
        let numbers: Vec<u64> = (0..4).map(|number| number * 0x0101_0101).collect();
        let bytes = bytes_of(&numbers);
        assert_eq!(numbers_of::<u64>(bytes), Some(&numbers[..]));
        assert_eq!(numbers_of::<u64>(&bytes[8..29]), Some(&numbers[1..3]));
        assert_eq!(numbers_of::<u64>(&bytes[1..]), None);
        assert_eq!(numbers_of::<u8>(&bytes[1..3]), Some(&bytes[1..3]));
    }

    #[test]
    fn bytes_at_any_address_make_aligned_numbers() {
        let bytes: Vec<u8> = (0..33).collect();
        for start in 0..=8 {
            let numbers = IsVec::<u128, Vec<u128>>::proof().unwrap().copy_of(&bytes[start..]);
            assert_eq!(numbers.len(), (33 - start) / 16);
            assert_eq!(numbers[0].to_ne_bytes(), bytes[start..start + 16]);
        }
    }
}
