//! The owned type of a parameter, as the expansion writes it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::place::Place;
use crate::function::{OwnedForm, Parameter};

/// The owned type of a parameter, which stands where the user's type does.
pub(super) fn owned(parameter: &Parameter) -> TokenStream {
    let Place { first, .. } = Place::of(&parameter.written);
    match &parameter.owned {
        OwnedForm::Same(ty) | OwnedForm::Cow { owned: ty, .. } => quote!(#ty),
        OwnedForm::String => quote_spanned!(first=> ::std::string::String),
        OwnedForm::Vec(element) => quote_spanned!(first=> ::std::vec::Vec<#element>),
        OwnedForm::ToOwned(ty) => quote_spanned!(first=> <#ty as ::std::borrow::ToOwned>::Owned),
    }
}

/// The type that the function borrows an argument as: the owned type itself, where it takes it by value.
pub(super) fn borrowed(parameter: &Parameter) -> TokenStream {
    let Place { first, .. } = Place::of(&parameter.written);
    match &parameter.owned {
        OwnedForm::Same(ty) | OwnedForm::ToOwned(ty) => quote!(#ty),
        OwnedForm::Cow { borrowed, .. } => quote!(#borrowed),
        OwnedForm::String => quote_spanned!(first=> ::core::primitive::str),
        OwnedForm::Vec(element) => quote_spanned!(first=> [#element]),
    }
}
