//! The expansions of `#[poolmap::main]` and `#[poolmap::test]`: the function as it was, entered through poolmap.

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
        Ok(entry) if entry.has_test_runtime() => wrapped_test(&entry),
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
    let (registration, enter) = (registration(entry, &krate), enter(entry, &krate));
    quote! {
        #[::core::prelude::v1::test]
        #(#attributes)*
        #visibility #signature {
            #(#inner)*
            #registration
            #enter
            #body
        }
    }
}

/// A test inside of a test: what is put first comes before a runtime that an attribute of the inner one starts.
fn wrapped_test(entry: &Entry) -> TokenStream {
    let krate = place::krate(entry.krate.as_ref());
    let (outer_attributes, inner_attributes) = (entry.outer_attributes_of_test(), entry.inner_attributes_of_test());
    let Entry { visibility, signature, body, .. } = entry;
    let output = &signature.output;
    let name = place::own(&signature.ident);
    let (registration, enter) = (registration(entry, &krate), enter(entry, &krate));
    quote! {
        #[::core::prelude::v1::test]
        #(#outer_attributes)*
        // The attribute of the runtime makes the inner function a test, too, which the harness does not see.
        #[allow(unnameable_test_items)]
        #visibility fn #name() #output {
            #registration
            #(#inner_attributes)*
            #signature #body
            #enter
            #name()
        }
    }
}

/// The test's path, which the harness knows it by.
fn path(entry: &Entry) -> TokenStream {
    let name = entry.signature.ident.to_string();
    quote!(::core::concat!(::core::module_path!(), "::", #name))
}

/// The registration that makes the test known to others of its binary. It stands inside of the test, so that it is there whenever the
/// test is.
fn registration(entry: &Entry, krate: &TokenStream) -> TokenStream {
    let path = path(entry);
    quote!(#krate::__private::inventory::submit! { #krate::__private::Test(#path) })
}

fn enter(entry: &Entry, krate: &TokenStream) -> TokenStream {
    let path = path(entry);
    quote!(#krate::__private::enter_test(#path);)
}

/// The attributes at the start of a body, which must stay there, and the rest.
fn split_inner(body: TokenStream) -> (Vec<Attribute>, TokenStream) {
    let parser = |input: ParseStream| Ok((input.call(Attribute::parse_inner)?, input.parse()?));
    parser.parse2(body.clone()).unwrap_or((Vec::new(), body))
}
