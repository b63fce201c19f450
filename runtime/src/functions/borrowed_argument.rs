//! An argument that a function borrows: where it stands, or as a value that the task or the worker has.

use std::borrow::{Borrow, Cow};
use std::ops::Deref;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use crate::codec::Decoder;
use crate::error::CodecError;
use crate::shared::Memory;
use crate::sys::Held;

/// An argument whose owned type is `T`, and which the function borrows as a `B`.
pub enum BorrowedArgument<'a, B: ?Sized, T> {
    /// It is read where it stands, in the bytes of the task.
    InPlace(&'a B),
    /// The task's own.
    Own(T),
    /// That of all tasks.
    Kept(Rc<KeptArgument<B, T>>),
}

/// An argument of all tasks, as a worker keeps it.
pub struct KeptArgument<B: ?Sized, T>(KeptForm<B, T>);

enum KeptForm<B: ?Sized, T> {
    /// It is read where it stands, in memory that the parent has filled.
    InPlace(Held<Memory, B>),
    /// It was decoded out of that.
    Own(T),
}

impl<B: ?Sized, T> KeptArgument<B, T> {
    pub(super) fn in_place(value: Held<Memory, B>) -> Self {
        Self(KeptForm::InPlace(value))
    }

    pub(super) fn own(value: T) -> Self {
        Self(KeptForm::Own(value))
    }
}

impl<B: ?Sized + 'static, T: Borrow<B>> KeptArgument<B, T> {
    fn get(&self) -> &B {
        match &self.0 {
            KeptForm::InPlace(value) => value.get(),
            KeptForm::Own(value) => value.borrow(),
        }
    }
}

impl<'a, B: ?Sized + 'static, T: DeserializeOwned> BorrowedArgument<'a, B, T> {
    /// Takes an argument that is the task's alone.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn take(arguments: &mut Decoder<'a>) -> Result<Self, CodecError> {
        arguments.skip_padding::<B, T>()?;
        Ok(match arguments.in_place::<B, T>()? {
            Some(value) => Self::InPlace(value),
            None => Self::Own(arguments.value()?),
        })
    }
}

impl<B: ?Sized + 'static, T: Borrow<B>> Deref for BorrowedArgument<'_, B, T> {
    type Target = B;

    #[inline]
    fn deref(&self) -> &B {
        match self {
            Self::InPlace(value) => value,
            Self::Own(value) => value.borrow(),
            Self::Kept(value) => value.get(),
        }
    }
}

impl<B: ?Sized + ToOwned<Owned: Default> + 'static> BorrowedArgument<'_, B, Cow<'static, B>> {
    /// The argument, which is moved only if it is the task's own.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn lend(&mut self) -> Cow<'_, B> {
        match self {
            Self::InPlace(value) => Cow::Borrowed(value),
            Self::Own(value) => std::mem::take(value),
            Self::Kept(value) => Cow::Borrowed(value.get()),
        }
    }
}
