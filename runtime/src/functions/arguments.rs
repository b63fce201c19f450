//! Which items an iterator may give for a parameter: the owned type itself, or what borrows or points to it.
//!
//! An implementation for a concrete pointer each, and not one for "whatever points to what encodes": `Box<T>` as the
//! parameter's own type would be covered twice.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;

use super::function::Parameter;
use crate::codec::Encoder;
#[cfg(feature = "json")]
use crate::codec::Json;
use crate::error::CodecError;
use crate::shared::{Element, SharedPart, SharedSliceMut};

/// An item that can stand for a parameter whose owned type is `T`, and which the function has as a `W`.
#[diagnostic::on_unimplemented(
    message = "an item of type `{Self}` cannot be the argument for a parameter of type `{W}`",
    label = "gives items of type `{Self}`",
    note = "the items may be `T`, `&T`, `Box<T>`, `Rc<T>` or `Arc<T>`; `&str` for `String`; slices and arrays for `Vec<T>`; \
            `&Path` for `PathBuf`; `&OsStr` for `OsString`"
)]
pub trait Item<T, W, E>: EncodeAs<T> {
    /// `T`, for an item that can stand for it; a type unknown to the compiler for any other, so that it finds no further
    /// errors after the one.
    type Parameter;
    /// `E`, likewise.
    type EncodedBy;
}

#[diagnostic::do_not_recommend]
impl<I: EncodeAs<T>, T, W, E> Item<T, W, E> for I {
    type Parameter = I::Parameter;
    type EncodedBy = I::EncodedBy<E>;
}

/// An item that encodes to the same bytes as a `T`.
#[diagnostic::on_unimplemented(
    message = "an item of type `{Self}` cannot be the argument for a parameter of type `{T}`",
    label = "gives items of type `{Self}`"
)]
pub trait EncodeAs<T> {
    /// [`Item::Parameter`].
    type Parameter;
    /// [`Item::EncodedBy`].
    type EncodedBy<E>;

    /// Appends the bytes of the argument; `E` knows how a `T` is encoded.
    fn encode_as<E: EncodeOwned<T>>(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError>;
}

/// How the argument for a parameter is encoded in its owned form.
pub trait EncodeOwned<T> {
    /// [`Parameter::Borrowed`].
    type Borrowed: ?Sized + 'static;

    /// Appends its bytes.
    fn encode(argument: &T, encoder: &mut Encoder<'_>) -> Result<(), CodecError>;
}

/// The parameter at place `N` of `F`.
pub struct ParameterOf<F, const N: usize>(PhantomData<F>);

impl<F: Parameter<N>, const N: usize> EncodeOwned<F::Owned> for ParameterOf<F, N> {
    type Borrowed = F::Borrowed;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn encode(argument: &F::Owned, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        F::encode(argument, encoder)
    }
}

/// Appends the bytes of an item that stands for an argument, placed as the function is to read it.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn encode_item<T, E: EncodeOwned<T>>(
    item: &impl EncodeAs<T>,
    encoder: &mut Encoder<'_>,
) -> Result<(), CodecError> {
    encoder.pad_for::<E::Borrowed, T>()?;
    item.encode_as::<E>(encoder)
}

/// Appends the bytes of the argument for the parameter at place `N` of `F`, placed as the function is to read it.
#[cfg_attr(not(debug_assertions), inline(always))]
pub fn encode_argument<F: Parameter<N>, const N: usize>(
    argument: &F::Owned,
    encoder: &mut Encoder<'_>,
) -> Result<(), CodecError> {
    encode_item::<F::Owned, ParameterOf<F, N>>(argument, encoder)
}

/// A value given for the parameter at place `N` of `F`. It is `Self` that a parameter is missed for: the compiler then says so of
/// the iterator, and not of the function.
#[diagnostic::on_unimplemented(
    message = "one iterator too many: this worker function takes {N}",
    label = "the function has no parameter for this",
    note = "a map takes one iterator for each parameter; a function without parameters is called with `pool.apply(f {{}})`"
)]
pub trait Given<F, const N: usize> {
    /// [`Parameter::Owned`].
    type Owned;
    /// [`Parameter::Written`].
    type Written<'a>;
    /// `F` itself: a type unknown to the compiler where there is no such parameter, so that it finds no further errors.
    type Function;
    /// The type that encodes its owned form.
    type EncodedBy;
}

#[diagnostic::do_not_recommend]
impl<S, F: Parameter<N>, const N: usize> Given<F, N> for S {
    type Owned = F::Owned;
    type Written<'a> = F::Written<'a>;
    type Function = F::Function;
    type EncodedBy = ParameterOf<F::Function, N>;
}

#[diagnostic::do_not_recommend]
impl<T> EncodeAs<T> for T {
    type Parameter = T;
    type EncodedBy<E> = E;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn encode_as<E: EncodeOwned<T>>(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        E::encode(self, encoder)
    }
}

/// For a parameter of any type, every pointer to its owned form.
macro_rules! encode_pointers {
    ($($item:ty),*) => {
        $(
            #[diagnostic::do_not_recommend]
            impl<T> EncodeAs<T> for $item {
                type Parameter = T;
                type EncodedBy<E> = E;

                #[cfg_attr(not(debug_assertions), inline(always))]
                fn encode_as<E: EncodeOwned<T>>(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
                    let argument: &T = self;
                    E::encode(argument, encoder)
                }
            }
        )*
    };
}

encode_pointers!(&T, &&T, &mut T, Box<T>, Rc<T>, Arc<T>, &Box<T>, &Rc<T>, &Arc<T>);

/// Not for a reference: a part has one task.
#[diagnostic::do_not_recommend]
impl<T: Element> EncodeAs<SharedSliceMut<T>> for SharedPart<'_, T> {
    type Parameter = SharedSliceMut<T>;
    type EncodedBy<E> = E;

    #[inline]
    fn encode_as<E: EncodeOwned<SharedSliceMut<T>>>(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        encoder.value(&self.name()?)
    }
}

/// A value that is borrowed, where the function has it as `Json`.
#[cfg(feature = "json")]
#[diagnostic::do_not_recommend]
impl<T: Serialize> EncodeAs<Json<T>> for Json<&T> {
    type Parameter = Json<T>;
    type EncodedBy<E> = E;

    #[inline]
    fn encode_as<E: EncodeOwned<Json<T>>>(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        encoder.value(self)
    }
}

/// For a parameter of type `$owned`, every pointer to a `$borrowed`.
macro_rules! encode_pointers_to {
    ([$($generics:tt)*] $borrowed:ty => $owned:ty) => {
        encode_items!([$($generics)*] $borrowed => $borrowed => $owned:
            &$borrowed, &&$borrowed, &mut $borrowed, Box<$borrowed>, Rc<$borrowed>, Arc<$borrowed>,
            &Box<$borrowed>, &Rc<$borrowed>, &Arc<$borrowed>);
    };
}

/// For a parameter of type `$owned`, items that dereference to `$target`, which coerces to `$borrowed`, which encodes to
/// the same bytes.
macro_rules! encode_items {
    ([$($generics:tt)*] $target:ty => $borrowed:ty => $owned:ty: $($item:ty),*) => {
        encode_items!(@each [$($generics)*] [$target] [$borrowed] [$owned] $([$item])*);
    };
    (@each $generics:tt $target:tt $borrowed:tt $owned:tt $($item:tt)*) => {
        $(encode_items!(@one $generics $target $borrowed $owned $item);)*
    };
    (@one [$($generics:tt)*] [$target:ty] [$borrowed:ty] [$owned:ty] [$item:ty]) => {
        #[diagnostic::do_not_recommend]
        impl<$($generics)*> EncodeAs<$owned> for $item {
            type Parameter = $owned;
            type EncodedBy<E> = E;

            #[cfg_attr(not(debug_assertions), inline(always))]
            fn encode_as<E: EncodeOwned<$owned>>(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
                let target: &$target = self;
                let borrowed: &$borrowed = target;
                encoder.value(borrowed)
            }
        }
    };
}

encode_pointers_to!([] str => String);
encode_pointers_to!([] Path => PathBuf);
encode_pointers_to!([] OsStr => OsString);
encode_pointers_to!([] CStr => CString);
encode_pointers_to!([T: Serialize] [T] => Vec<T>);
encode_items!([] str => str => String: Cow<'_, str>, &Cow<'_, str>);
encode_items!([] Path => Path => PathBuf: Cow<'_, Path>, &Cow<'_, Path>);
// A path encodes as the text it is.
encode_items!([] str => str => PathBuf: &str, &&str, String, &String);
encode_items!([T: Serialize + Clone] [T] => [T] => Vec<T>: Cow<'_, [T]>, &Cow<'_, [T]>);
encode_items!([T: Serialize, const N: usize] [T; N] => [T] => Vec<T>:
    [T; N], &[T; N], &&[T; N], &mut [T; N], Box<[T; N]>, Rc<[T; N]>, Arc<[T; N]>);
// A parameter can be a `Cow` itself.
encode_pointers_to!([] str => Cow<'static, str>);
encode_pointers_to!([T: Serialize + Clone] [T] => Cow<'static, [T]>);
encode_pointers_to!([] Path => Cow<'static, Path>);
encode_items!([] str => str => Cow<'static, str>: String, &String);
encode_items!([] Path => Path => Cow<'static, Path>: PathBuf, &PathBuf);
encode_items!([T: Serialize + Clone] [T] => [T] => Cow<'static, [T]>: Vec<T>, &Vec<T>);
encode_items!([T: Serialize + Clone, const N: usize] [T; N] => [T] => Cow<'static, [T]>: [T; N], &[T; N]);
