//! What `#[worker]` says of a function, as traits: bounds stand here so that the compiler names them in our words.

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::{Stop, TaskCall};
use super::held::Held;
use super::table::Registration;
use crate::codec::{Decoder, Encoder};
use crate::error::CodecError;

/// A call of a worker function, with its arguments by name.
///
/// `#[worker]` on a function implements it for the struct of the same name, whose fields are the parameters. It cannot
/// be implemented by hand.
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
    message = "this is not a worker function",
    label = "not a worker function",
    note = "put `#[worker]` above the function, and name the function itself here"
)]
pub trait WorkerFn: Sized + 'static {
    /// What a call gives: what the function returns, or the `T` of the `Result<T, E>` that it returns.
    type Output: 'static;

    #[doc(hidden)]
    const __SENDS_OUTPUT: bool = true;

    #[doc(hidden)]
    fn __registration() -> &'static Registration;

    #[doc(hidden)]
    fn __encode(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError>;

    #[doc(hidden)]
    fn __run(call: &mut TaskCall<'_>) -> Result<(), Stop>;

    #[doc(hidden)]
    fn __encode_output(output: &Self::Output, call: &mut TaskCall<'_>) -> Result<(), Stop>;

    #[doc(hidden)]
    fn __decode_output(decoder: &mut Decoder<'_>) -> Result<Self::Output, CodecError>;
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
    fn decode(call: &mut TaskCall<'_>, name: &str) -> Result<Self, Stop>;
    /// Takes it for a function that borrows it.
    fn borrow(call: &mut TaskCall<'_>, name: &str) -> Result<Held<Self>, Stop>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Argument for T {
    #[inline(always)]
    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        encoder.value(self)
    }

    #[inline(always)]
    fn decode(call: &mut TaskCall<'_>, name: &str) -> Result<Self, Stop> {
        call.argument(name)
    }

    #[inline]
    fn borrow(call: &mut TaskCall<'_>, name: &str) -> Result<Held<Self>, Stop> {
        call.borrowed(name)
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
    fn encode(&self, call: &mut TaskCall<'_>) -> Result<(), Stop>;
    /// Reads it again.
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, CodecError>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Output for T {
    #[inline(always)]
    fn encode(&self, call: &mut TaskCall<'_>) -> Result<(), Stop> {
        call.output(self)
    }

    #[inline(always)]
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
    fn fail(self, call: &mut TaskCall<'_>, typed: Option<(u64, Vec<u8>)>) -> Stop;
}

#[diagnostic::do_not_recommend]
impl<E: Into<Box<dyn Error + Send + Sync>> + 'static> WorkerFailure for E {
    fn fail(self, call: &mut TaskCall<'_>, typed: Option<(u64, Vec<u8>)>) -> Stop {
        let error: Box<dyn Error + Send + Sync> = self.into();
        call.failed(std::any::type_name::<E>(), &*error, typed)
    }
}

/// What the name of a worker function falls back to where it names a plain function.
///
/// A map imports the name under one of ours, `use f as __poolmap_function`, and everything below by a glob. An import by
/// name wins over a glob, for each namespace by itself: a plain function leaves the type to the glob.
pub mod not_a_worker_function {
    /// Stands for a function without `#[worker]`.
    #[expect(non_camel_case_types, reason = "it is found by the name that a map looks up")]
    pub enum __poolmap_function {}
}
