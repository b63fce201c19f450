//! The expansion of `#[worker]`: the function as it was, the struct of its arguments, and its registration.

use proc_macro2::TokenStream;
use quote::quote;

use super::owned::owned;
use super::{place, refused, registration};
use crate::function::{self, Function};
use crate::mistakes::Mistakes;
use crate::options::{Attribute, Options};

pub(crate) fn worker(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let options = Options::parse(options, Attribute::Worker, &mut mistakes);
    let parsed = function::parse(&item, mistakes)
        .and_then(|(declaration, mistakes)| function::check(declaration, &options, mistakes));
    let item = function::without_marks(item);
    match parsed {
        Ok(function) => {
            let krate = place::krate(options.krate.as_ref());
            let structure = structure(&function);
            let registration = registration::registration(&function, &krate);
            quote!(#item #structure #registration)
        }
        Err(refused) => refused::worker(refused, item),
    }
}

/// The struct: a call with named arguments.
fn structure(function: &Function) -> TokenStream {
    let name = place::own(&function.name);
    let visibility = &function.visibility;
    let conditions = &function.attributes.conditions;
    let lints = &function.attributes.lints;
    let marks = &function.attributes.marks;
    let title = format!("A call of the worker function `{name}`, with its arguments by name.");
    let fields = function.parameters.iter().map(|parameter| {
        let field = place::own(&parameter.field);
        let lints = &parameter.lints;
        let owned = owned(parameter);
        let title = format!("The argument `{field}`.");
        quote! {
            #[doc = #title]
            #(#lints)*
            pub #field: #owned,
        }
    });
    quote! {
        #(#conditions)*
        #[doc = #title]
        #(#lints)*
        #(#marks)*
        #visibility struct #name { #(#fields)* }
    }
}
