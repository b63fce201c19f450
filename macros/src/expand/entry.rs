//! What `#[poolmap::main]` and `#[poolmap::test]` write: the function as it was, entered through poolmap.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Attribute;
use syn::parse::{ParseStream, Parser};

use super::{place, refused};
use crate::entry::{self, Entry};

pub(crate) fn main(options: TokenStream, item: &TokenStream) -> TokenStream {
    match entry::parse_main(options, item.clone()) {
        Ok(entry) => wrapped_main(&entry),
        Err(errors) => refused::main(&errors, item),
    }
}

pub(crate) fn test(options: TokenStream, item: &TokenStream) -> TokenStream {
    match entry::parse_test(options, item.clone()) {
        Ok(entry) => entered_test(&entry),
        Err(errors) => refused::item(&errors, item),
    }
}

/// `main` inside of a `main`: what is put first then comes before a runtime that an attribute of the inner one starts.
fn wrapped_main(entry: &Entry) -> TokenStream {
    let krate = place::krate(entry.krate.as_ref());
    let outer_attributes = entry.outer_attributes();
    let Entry { attributes, visibility, signature, body, .. } = entry;
    let output = &signature.output;
    let name = place::own(&signature.ident);
    quote! {
        #(#outer_attributes)*
        #visibility fn #name() #output {
            #(#attributes)*
            #signature #body
            let __poolmap_main = #krate::__private::enter_main();
            #name()
        }
    }
}

fn entered_test(entry: &Entry) -> TokenStream {
    let krate = place::krate(entry.krate.as_ref());
    let Entry { attributes, visibility, signature, body, .. } = entry;
    let (inner, body) = split_inner(body.stream());
    let name = signature.ident.to_string();
    quote! {
        #[::core::prelude::v1::test]
        #(#attributes)*
        #visibility #signature {
            #(#inner)*
            #krate::__private::enter_test(::core::concat!(::core::module_path!(), "::", #name));
            #body
        }
    }
}

/// The attributes at the start of a body, which must stay there, and the rest.
fn split_inner(body: TokenStream) -> (Vec<Attribute>, TokenStream) {
    let parser = |input: ParseStream| Ok((input.call(Attribute::parse_inner)?, input.parse()?));
    parser.parse2(body.clone()).unwrap_or((Vec::new(), body))
}
