//! The functions that read the arguments of a failed task again: as the struct of the function, and as a text.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;

use super::bound::Bound;
use super::owned::borrowed;
use super::place;
use crate::function::{Function, Parameter};

/// The methods of `WorkerFn` for the arguments of a failed task.
pub(super) fn arguments(function: &Function, krate: &TokenStream) -> TokenStream {
    let take = function.parameters.iter().map(|parameter| {
        let field = place::own(&parameter.field);
        let method = method(parameter, krate);
        quote!(#field: #method(__poolmap_arguments)?,)
    });
    let show = function.parameters.iter().map(|parameter| show(parameter, krate));
    quote! {
        fn __take_arguments(
            __poolmap_arguments: &mut #krate::__private::KeptArguments<'_>,
        ) -> ::core::option::Option<Self> {
            ::core::option::Option::Some(Self { #(#take)* })
        }
        fn __show_arguments(__poolmap_texts: &mut #krate::__private::ArgumentTexts<'_>) {
            #(#show)*
        }
    }
}

/// Whether some argument of a function must be in no text.
pub(super) fn has_redacted(function: &Function) -> bool {
    function.parameters.iter().any(|parameter| parameter.redacted)
}

/// The function that takes the argument for a parameter out of the bytes that are left.
fn method(parameter: &Parameter, krate: &TokenStream) -> TokenStream {
    let method = Bound::argument(parameter, krate).associated("take_kept");
    let borrowed = borrowed(parameter);
    quote!(#method::<#borrowed>)
}

/// Adds the text of one argument. Which method it is, that for `Debug` or that for all other types, the compiler finds.
fn show(parameter: &Parameter, krate: &TokenStream) -> TokenStream {
    let text = parameter.field.unraw().to_string();
    let method = method(parameter, krate);
    if parameter.redacted {
        return quote! {
            let _ = #method(__poolmap_texts.next(#text));
            __poolmap_texts.redacted();
        };
    }
    quote! {
        match #method(__poolmap_texts.next(#text)) {
            ::core::option::Option::Some(__poolmap_argument) => {
                use #krate::__private::{HasDebug as _, HasNoDebug as _};
                (&#krate::__private::DebugProbe(&__poolmap_argument)).poolmap_show(__poolmap_texts);
            }
            ::core::option::Option::None => __poolmap_texts.missing(),
        }
    }
}
