//! The expansions of the map macros: a chain of methods of `Map`, each on the token that it is about.
//!
//! The function's path is imported under a name of ours, `use f as __poolmap_function`, in a block inside of one that imports
//! everything of `not_a_worker_function`, where what the path does not name is found, a type or a value: for a worker function the name is
//! its struct, and for a plain function, which has no type, it is the type that says so. Only the imports stand in blocks: what the
//! user wrote stays outside, where its temporaries live as long as in a call.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Expr, Path};

use super::place::{self, Place};
use super::refused;
use crate::call::{self, Call};

pub(crate) fn call(tokens: TokenStream) -> TokenStream {
    match call::parse(tokens) {
        Ok(call) => expression(&call),
        Err(errors) => refused::expression(&errors),
    }
}

fn expression(call: &Call) -> TokenStream {
    let start = start(call);
    let on = call.pool.as_ref().map(|(keyword, pool)| {
        let on = Ident::new("on", place::here(keyword.span));
        quote!(.#on(#pool))
    });
    let arguments = call.iterators.iter().enumerate().map(|(position, iterator)| argument(call, position, iterator));
    let options = call.options.iter().map(|(option, value)| {
        let method = place::own(option);
        let holds = (value.is_none() && call::is_condition(option)).then(|| quote_spanned!(option.span()=> true));
        quote!(.#method(#value #holds))
    });
    let tuples = call.tuples.as_ref().map(|tuples| {
        let method = Ident::new("tuples", Place::of(tuples).first);
        quote!(.#method(#tuples))
    });
    let finish = &call.finish;
    let fold = call.fold.as_ref().map(|(with, identity)| {
        let merger = merger(&call.krate, with);
        quote!(#merger, #identity)
    });
    quote!(#start #on #(#arguments)* #tuples #(#options)* .#finish(#fold))
}

/// More than any worker function has parameters: what is given beyond it is refused all the same.
const ITERATORS_MAX: usize = 13;

fn start(call: &Call) -> TokenStream {
    let krate = &call.krate;
    let path = import_path(&call.function);
    let last = Place::of(&call.function).last;
    let name = Ident::new("__poolmap_function", last);
    let given = Literal::usize_suffixed(call.iterators.len().min(ITERATORS_MAX));
    let (function, arguments) = match &call.tuples {
        None => ("call", quote_spanned!(last=> #name, #given, _, _, _, _)),
        Some(_) => ("call_tuples", quote_spanned!(last=> #name, _, _, _)),
    };
    let function = Ident::new(function, Span::call_site());
    // A path through `krate` would be shown where the calling macro is defined, as the whole call.
    let start = quote_spanned!(last=> __poolmap_call::<#arguments>(#name));
    quote! {
        ({
            use #krate::__private::{#function as __poolmap_call, not_a_worker_function::*};
            {
                use #path as #name;
                #start
            }
        })
    }
}

/// The function that a reduction folds with, as a closure.
fn merger(krate: &TokenStream, path: &Path) -> TokenStream {
    let last = Place::of(path).last;
    let path = import_path(path);
    let name = Ident::new("__poolmap_function", last);
    let merger = quote_spanned!(last=> __poolmap_merger::<#name, _, _>(|one, other| #name(one, other)));
    quote! {
        ({
            use #krate::__private::{merger as __poolmap_merger, not_a_merger::*};
            {
                use #path as #name;
                #merger
            }
        })
    }
}

/// The path, where a single name cannot mean a local variable: an import of one would be two errors.
fn import_path(path: &Path) -> TokenStream {
    match path.get_ident() {
        Some(name) => {
            let mut name = name.clone();
            name.set_span(Span::mixed_site().located_at(name.span()));
            name.to_token_stream()
        }
        None => path.to_token_stream(),
    }
}

fn argument(call: &Call, position: usize, iterator: &Expr) -> TokenStream {
    let krate = &call.krate;
    let method = if call.takes_streams { "polled_argument" } else { "argument" };
    let argument = Ident::new(method, Place::of(iterator).first);
    let position = Literal::usize_suffixed(position);
    quote!(.#argument(#krate::__private::Position::<#position>, #iterator))
}
