//! Where tokens of ours stand in the user's file.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::Path;

/// The first and the last place of some tokens, as spans of this expansion.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) first: Span,
    pub(super) last: Span,
}

impl Place {
    /// The macro itself.
    pub(super) fn here() -> Self {
        Self { first: Span::call_site(), last: Span::call_site() }
    }

    pub(super) fn of(tokens: &impl ToTokens) -> Self {
        let mut tokens = tokens.to_token_stream().into_iter();
        let first = tokens.next().map_or_else(Span::call_site, |token| token.span());
        let last = tokens.last().map_or(first, |token| token.span());
        Self { first: here(first), last: here(last) }
    }
}

/// A span of this expansion that stands at the user's.
pub(super) fn here(span: Span) -> Span {
    Span::call_site().located_at(span)
}

/// The user's name, as a token of this expansion.
pub(super) fn own(name: &Ident) -> Ident {
    let mut own = name.clone();
    own.set_span(here(name.span()));
    own
}

/// The user's type, as tokens of this expansion at their places, so that what the compiler says of it in one place and
/// another is the same. A `$crate` would mean another crate then, and keeps the type as it is.
pub(super) fn own_type(ty: &impl ToTokens) -> TokenStream {
    fn own(tokens: TokenStream) -> Option<TokenStream> {
        (tokens.into_iter())
            .map(|mut token| {
                if let TokenTree::Group(group) = &token {
                    let mut inner = Group::new(group.delimiter(), own(group.stream())?);
                    inner.set_span(here(group.span()));
                    return Some(TokenTree::Group(inner));
                }
                token.set_span(here(token.span()));
                (token.to_string() != "$crate").then_some(token)
            })
            .collect()
    }
    let tokens = ty.to_token_stream();
    own(tokens.clone()).unwrap_or(tokens)
}

/// The path of the crate poolmap.
pub(super) fn krate(renamed: Option<&Path>) -> TokenStream {
    renamed.map_or_else(|| quote::quote!(::poolmap), ToTokens::to_token_stream)
}
