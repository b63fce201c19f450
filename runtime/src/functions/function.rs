//! The traits that `#[worker]` gives a function: bounds stand here so that the compiler names them in our words.

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::borrowed_argument::BorrowedArgument;
use super::kept_arguments::{ArgumentTexts, KeptArguments};
use super::table::Registration;
use super::task_phase::TaskAbort;
use super::task_run::TaskCall;
use crate::codec::{Decoder, Encoder};
use crate::error::CodecError;

/// Represents a call of a worker function, with its arguments by name.
///
/// `#[worker]` on a function implements it for the struct of the same name, whose fields are the parameters. You cannot implement it
/// by hand.
///
/// # Examples
///
/// ```
/// use poolmap::worker;
///
/// #[worker]
/// fn repeat(text: &str, times: usize) -> String {
///     text.repeat(times)
/// }
///
/// let call = repeat { times: 2, text: "ab".into() };
/// assert_eq!(repeat(&call.text, call.times), "abab");
/// ```
#[diagnostic::on_unimplemented(
    message = "this is not a call of a worker function: its name and its arguments by name, in braces, are needed here",
    label = "write `f {{ x: 1, y: 2 }}`, or `f {{}}` for a function without parameters",
    note = "`f(1, 2)` runs the function here, and `f` alone has no arguments: `#[worker]` above a function makes the struct of its \
            name, which holds them until a worker runs the call"
)]
pub trait WorkerFn: Itself<Type = Self> + Sized + 'static {
    /// The output of a call: the function's return value, or the `T` of a returned `Result<T, E>`.
    type Output: 'static;

    #[doc(hidden)]
    const __SENDS_OUTPUT: bool = true;

    #[doc(hidden)]
    fn __registration() -> &'static Registration;

    #[doc(hidden)]
    fn __encode(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError>;

    #[doc(hidden)]
    fn __run(call: &mut TaskCall<'_>) -> Result<(), TaskAbort>;

    #[doc(hidden)]
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn __run_numbers(_call: &mut TaskCall<'_>) {}

    #[doc(hidden)]
    fn __encode_output(output: &Self::Output, call: &mut TaskCall<'_>) -> Result<(), TaskAbort>;

    #[doc(hidden)]
    fn __decode_output(decoder: &mut Decoder<'_>) -> Result<Self::Output, CodecError>;

    #[doc(hidden)]
    fn __take_arguments(_arguments: &mut KeptArguments<'_>) -> Option<Self> {
        None
    }

    #[doc(hidden)]
    fn __show_arguments(_texts: &mut ArgumentTexts<'_>) {}
}

/// A call, as it is in what is made of it. There, what is no call is of a type unknown to the compiler, which then finds no further
/// errors in what is done with it.
#[diagnostic::on_unimplemented(
    message = "this is not a call of a worker function: its name and its arguments by name, in braces, are needed here",
    label = "write `f {{ x: 1, y: 2 }}`, or `f {{}}` for a function without parameters",
    note = "`f(1, 2)` runs the function here, and `f` alone has no arguments: `#[worker]` above a function makes the struct of its \
            name, which holds them until a worker runs the call"
)]
pub trait Itself {
    /// The type of the call.
    type Type;

    /// The call.
    fn itself(self) -> Self::Type;
}

/// The worker function has `TAKEN` parameters: it has one such implementation, so the compiler finds the number.
pub trait Parameters<const TAKEN: usize>: WorkerFn {
    /// Itself: a type unknown to the compiler for what is no worker function, so that it finds no further errors.
    type Function;
}

/// The value that stands beside `F`, under one name. The compiler looks at `F` after it knows the value.
#[diagnostic::on_unimplemented(
    message = "this is not a worker function",
    label = "not a worker function",
    note = "put `#[worker]` above the function, and name the function itself here"
)]
pub trait Named<F, const TAKEN: usize> {
    /// `F` itself.
    type Function;
}

#[diagnostic::do_not_recommend]
impl<V, F: Parameters<TAKEN>, const TAKEN: usize> Named<F, TAKEN> for V {
    type Function = F::Function;
}

/// The parameter at place `N`, from 0.
pub trait Parameter<const N: usize> {
    /// Its owned form, as the worker decodes it.
    type Owned;
    /// What the function borrows of it; the owned form itself, if it takes the argument by value.
    type Borrowed: ?Sized + 'static;
    /// Its type as the function has it, for what the compiler says of it.
    type Written<'a>;
    /// The worker function itself.
    type Function;

    /// Appends the bytes of an argument: by [`Argument::encode`], which is asked for where the function stands. A type that is not serde
    /// is one error then, there, and none in each map.
    fn encode(argument: &Self::Owned, encoder: &mut Encoder<'_>) -> Result<(), CodecError>;
}

/// A worker function that a reduction folds with, named by its struct.
#[diagnostic::on_unimplemented(
    message = "this is not a worker function",
    label = "not a worker function",
    note = "put `#[worker]` above the function, and name the function itself here"
)]
pub trait Folding {
    /// The value that it makes of two.
    type Output;

    /// Its entry in the table.
    fn registration() -> &'static Registration;
}

#[diagnostic::do_not_recommend]
impl<G: WorkerFn> Folding for G {
    type Output = G::Output;

    fn registration() -> &'static Registration {
        G::__registration()
    }
}

/// A type that can be the argument of a worker function.
///
/// Like [`Output`] and [`WorkerFailure`] it has no supertraits, which the compiler would check, and miss, each by itself;
/// and expansions call it by `<A as Argument>::…` wherever they need it: the compiler then says the same of the same
/// token each time, and shows it once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to a worker",
    label = "not serialisable",
    note = "an argument travels as bytes: derive `serde::Serialize` and `serde::Deserialize` for a type of your own; of any \
            other, send what it is made from"
)]
pub trait Argument: Sized {
    /// Appends the bytes of the argument.
    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError>;
    /// Takes the argument of this name out of its bytes.
    fn decode(call: &mut TaskCall<'_>, name: &str) -> Result<Self, TaskAbort>;
    /// Takes it for a function that borrows it as a `B`.
    fn borrow<'a, B: ?Sized + 'static>(
        call: &mut TaskCall<'a>,
        name: &str,
    ) -> Result<BorrowedArgument<'a, B, Self>, TaskAbort>;
    /// Takes it again, after its task has failed; none where it is not among the bytes.
    fn take_kept<B: ?Sized + 'static>(arguments: &mut KeptArguments<'_>) -> Option<Self>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Argument for T {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        encoder.value(self)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn decode(call: &mut TaskCall<'_>, name: &str) -> Result<Self, TaskAbort> {
        call.argument(name)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn borrow<'a, B: ?Sized + 'static>(
        call: &mut TaskCall<'a>,
        name: &str,
    ) -> Result<BorrowedArgument<'a, B, Self>, TaskAbort> {
        call.borrowed(name)
    }

    fn take_kept<B: ?Sized + 'static>(arguments: &mut KeptArguments<'_>) -> Option<Self> {
        arguments.take::<B, T>()
    }
}

/// A type that a worker function can return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent back from a worker",
    label = "not serialisable",
    note = "a result travels as bytes: derive `serde::Serialize` and `serde::Deserialize` for a type of your own; of any \
            other, send what it is made from (of an `anyhow::Result`, leave out `plain`)"
)]
pub trait Output: Sized {
    /// Writes the output as the reply of the call.
    fn encode(&self, call: &mut TaskCall<'_>) -> Result<(), TaskAbort>;
    /// Reads it again.
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, CodecError>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Output for T {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn encode(&self, call: &mut TaskCall<'_>) -> Result<(), TaskAbort> {
        call.output(self)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, CodecError> {
        decoder.value()
    }
}

/// A type that can be the `E` of the `Result<T, E>` that a worker function returns.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a worker function",
    label = "not an error that can be sent",
    note = "an error must turn into `Box<dyn std::error::Error + Send + Sync>`: implement `std::error::Error` for it (of \
            `Box<dyn Error>`, write `Box<dyn Error + Send + Sync>`), or \
            send the whole `Result` as a value with `#[worker(plain)]`"
)]
pub trait WorkerFailure: Sized {
    /// Writes the error as the reply of the call; `typed` is the error itself, where it is serde.
    fn fail(self, call: &mut TaskCall<'_>, typed: Option<(u64, Vec<u8>)>) -> TaskAbort;
}

#[diagnostic::do_not_recommend]
impl<E: Into<Box<dyn Error + Send + Sync>> + 'static> WorkerFailure for E {
    fn fail(self, call: &mut TaskCall<'_>, typed: Option<(u64, Vec<u8>)>) -> TaskAbort {
        let error: Box<dyn Error + Send + Sync> = self.into();
        call.failed(std::any::type_name::<E>(), &*error, typed)
    }
}

/// The fallback for a name in a map that is that of a plain function.
///
/// A map imports the name under one of ours, `use f as __poolmap_function`, in a block inside of one that imports what stands below. Names
/// are looked up from the inside out, for types and values each by themselves: a plain function leaves the type to the outer block,
/// and a type that is no worker function's the value. A name that does not exist leaves nothing: the compiler takes both for known.
pub mod not_a_worker_function {
    /// Stands for the type of a function without `#[worker]`.
    pub enum NoWorkerFunction {}

    pub use NoWorkerFunction as __poolmap_function;

    /// Stands for the function of a type that is no worker function's.
    #[expect(non_upper_case_globals, reason = "it is found by the name that a map looks up")]
    pub const __poolmap_function: Option<NoWorkerFunction> = None;
}

/// The same, for what a reduction folds with: its value is called.
pub mod not_a_merger {
    pub use super::not_a_worker_function::NoWorkerFunction as __poolmap_function;

    /// Stands for the function of a type that is no worker function's.
    pub fn __poolmap_function<T>(one: T, _other: T) -> T {
        one
    }
}
