//! The expansion of an item that broke a rule: its errors, the item as it was, and a stand-in for what is missing, so
//! that no error follows from another.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::quote;

use super::place;
use crate::function::Refused;

/// A worker function that broke a rule.
pub(super) fn worker(refused: Refused, item: TokenStream) -> TokenStream {
    let Refused { errors, stand_in, keep_item } = refused;
    let mut errors = errors.iter().map(syn::Error::to_compile_error);
    let stand_in = stand_in.and_then(|stand_in| {
        let conditions = stand_in.conditions;
        let visibility = stand_in.visibility;
        let name = place::own(&stand_in.name);
        // An array whose length is an error: whatever is done with such a type is none.
        let error = errors.next()?;
        Some(quote! {
            #(#conditions)*
            #[doc(hidden)]
            #visibility type #name = <[(); { #error }] as ::core::iter::IntoIterator>::Item;
        })
    });
    let item = keep_item.then_some(item);
    quote!(#item #stand_in #(#errors)*)
}

/// The item under `#[poolmap::main]`. A `main` that the compiler would refuse as well goes into one that it takes.
pub(super) fn main(errors: &[syn::Error], written: &TokenStream) -> TokenStream {
    if is_main(written) { item(errors, &quote!(fn main() { #written })) } else { item(errors, written) }
}

/// Whether `fn main` stands before the first braces.
fn is_main(item: &TokenStream) -> bool {
    let tokens: Vec<String> = (item.clone().into_iter())
        .take_while(|token| !matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace))
        .map(|token| token.to_string())
        .collect();
    tokens.windows(2).any(|pair| pair == ["fn", "main"])
}

/// Any other item.
pub(super) fn item(errors: &[syn::Error], item: &TokenStream) -> TokenStream {
    let errors = errors.iter().map(syn::Error::to_compile_error);
    quote!(#item #(#errors)*)
}

/// An expression.
pub(super) fn expression(errors: &[syn::Error]) -> TokenStream {
    let errors = errors.iter().map(syn::Error::to_compile_error);
    quote!({ #(#errors)* })
}
