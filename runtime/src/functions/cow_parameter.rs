//! A parameter that is written as a `Cow` of something that can be read where it stands. By its name alone a type of the program's own
//! could be meant: which it is, the compiler finds by the method.

use std::borrow::Cow;
use std::marker::PhantomData;

use super::borrowed_argument::BorrowedArgument;
use super::function::Argument;
use super::task_phase::TaskAbort;
use super::task_run::TaskCall;

/// A parameter that is called a `Cow` of a `B`, and whose owned type is `T`. The compiler takes the method of its own if it is std's.
pub struct CowParameter<T, B: ?Sized>(PhantomData<(T, *const B)>);

impl<T, B: ?Sized> CowParameter<T, B> {
    /// The parameter.
    pub const HERE: Self = Self(PhantomData);
}

impl<B> CowParameter<Cow<'static, B>, B>
where
    B: ?Sized + ToOwned + 'static,
    Cow<'static, B>: Argument,
{
    /// Takes the argument, to be lent.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn take<'a>(
        self,
        call: &mut TaskCall<'a>,
        name: &str,
    ) -> Result<BorrowedArgument<'a, B, Cow<'static, B>>, TaskAbort> {
        Argument::borrow(call, name)
    }
}

/// The same for a type of the program's own of that name.
pub trait NamedCow<T> {
    /// Takes the argument, to be handed over.
    fn take(self, call: &mut TaskCall<'_>, name: &str) -> Result<DecodedArgument<T>, TaskAbort>;
}

impl<T: Argument, B: ?Sized> NamedCow<T> for CowParameter<T, B> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn take(self, call: &mut TaskCall<'_>, name: &str) -> Result<DecodedArgument<T>, TaskAbort> {
        T::decode(call, name).map(|argument| DecodedArgument(Some(argument)))
    }
}

/// An argument that the function takes by value.
pub struct DecodedArgument<T>(Option<T>);

impl<T> DecodedArgument<T> {
    /// Hands it over.
    ///
    /// # Panics
    ///
    /// It was handed over before.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn lend(&mut self) -> T {
        self.0.take().expect("an expansion asks for each argument once")
    }
}
