//! Which items an iterator may give for a parameter: the owned type itself, or what borrows or points to it.
//!
//! An implementation for a concrete pointer each, and not one for "whatever points to what encodes": `Box<T>` as the
//! parameter's own type would be covered twice.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;

use crate::codec::Encoder;
use crate::error::CodecError;
use crate::shared::{Number, SharedPart, SharedSliceMut};

/// An item that can stand for a parameter whose owned type is `T`: it encodes to the same bytes.
#[diagnostic::on_unimplemented(
    message = "an item of type `{Self}` cannot be the argument for a parameter of type `{T}`",
    label = "gives items of type `{Self}`",
    note = "the items may be `T`, `&T`, `Box<T>`, `Rc<T>` or `Arc<T>`; `&str` for `String`; slices and arrays for `Vec<T>`; \
            `&Path` for `PathBuf`; `&OsStr` for `OsString`"
)]
pub trait EncodeAs<T> {
    /// `T`, for an item that can stand for it; a type unknown to the compiler for any other, so that it finds no further
    /// errors after the one.
    type Parameter;

    /// Appends the bytes of the argument.
    fn encode_as(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> EncodeAs<T> for T {
    type Parameter = T;

    #[inline(always)]
    fn encode_as(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        encoder.value(self)
    }
}

/// Not for a reference: a part has one task.
#[diagnostic::do_not_recommend]
impl<T: Number> EncodeAs<SharedSliceMut<T>> for SharedPart<'_, T> {
    type Parameter = SharedSliceMut<T>;

    #[inline]
    fn encode_as(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        encoder.value(&self.name()?)
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

            #[inline(always)]
            fn encode_as(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
                let target: &$target = self;
                let borrowed: &$borrowed = target;
                encoder.value(borrowed)
            }
        }
    };
}

encode_pointers_to!([T: Serialize] T => T);
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
encode_items!([] str => str => Cow<'static, str>: String, &String);
encode_items!([T: Serialize + Clone] [T] => [T] => Cow<'static, [T]>: Vec<T>, &Vec<T>);
encode_items!([T: Serialize + Clone, const N: usize] [T; N] => [T] => Cow<'static, [T]>: [T; N], &[T; N]);
