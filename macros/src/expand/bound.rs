//! Bounds on the user's types, each written so that an error about it stands on the type as the user wrote it.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};

use super::owned::owned;
use super::place::{self, Place};
use crate::function::{Output, Parameter};

/// `<ty as bound>`, at a place of the user's.
pub(super) struct Bound {
    ty: TokenStream,
    bound: TokenStream,
    place: Place,
}

impl Bound {
    /// A parameter's owned type is an argument.
    pub(super) fn argument(parameter: &Parameter, krate: &TokenStream) -> Self {
        let place = Place::of(&parameter.written);
        Self::new(owned(parameter), "Argument", place, krate)
    }

    /// The value of a call is an output.
    pub(super) fn output(output: &Output, krate: &TokenStream) -> Self {
        match output {
            Output::Nothing => Self::new(quote!(()), "Output", Place::here(), krate),
            Output::Value(returned) => {
                Self::new(returned.inferred.to_token_stream(), "Output", Place::of(&returned.written), krate)
            }
            Output::Fallible { ok_written, .. } => Self::of_inferred("Output", ok_written, krate),
        }
    }

    /// The `E` of a returned `Result<T, E>` is an error.
    pub(super) fn failure(error_written: &TokenStream, krate: &TokenStream) -> Self {
        Self::of_inferred("WorkerFailure", error_written, krate)
    }

    /// The `T` or `E` of a `Result` that may be written as any alias: the compiler knows the type.
    fn of_inferred(bound: &str, written: &TokenStream, krate: &TokenStream) -> Self {
        let place = Place::of(written);
        Self::new(quote_spanned!(place.first=> _), bound, place, krate)
    }

    /// A type named `Result` is one.
    pub(super) fn fallible(ty: &impl ToTokens, written: &TokenStream, krate: &TokenStream) -> Self {
        Self::new(place::own_type(ty), "Fallible", Place::of(written), krate)
    }

    fn new(ty: TokenStream, bound: &str, place: Place, krate: &TokenStream) -> Self {
        let bound = Ident::new(bound, place.last);
        Self { ty, bound: quote_spanned!(place.last=> #krate::__private::#bound), place }
    }

    /// The path of a function or type that the bound gives.
    pub(super) fn associated(&self, name: &str) -> TokenStream {
        let Self { ty, bound, place } = self;
        let open = quote_spanned!(place.first=> <);
        let name = Ident::new(name, place.last);
        let rest = quote_spanned!(place.last=> as #bound>::#name);
        quote!(#open #ty #rest)
    }
}
