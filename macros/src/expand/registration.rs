//! A worker function's entry in the table, and what its struct implements.
//!
//! A bound on a type of the user's is asked for by a path that stands on that type, `<A as Argument>::…`, and by the same
//! path each time: the compiler then says once, and there, what the type lacks.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;

use super::arguments::{arguments, has_redacted};
use super::bound::Bound;
use super::owned::{borrowed, owned};
use super::place::{self, Place};
use crate::function::{Function, Output, OwnedForm, Parameter, Passing, State, names_number};

/// The registration. A block of its own keeps its names apart.
pub(super) fn registration(function: &Function, krate: &TokenStream) -> TokenStream {
    let name = place::own(&function.name);
    let conditions = &function.attributes.conditions;
    let lints = &function.attributes.lints;
    let deprecated = (function.attributes.deprecated).then(|| quote!(#[allow(deprecated)]));
    let text = name.unraw().to_string();
    let fields = (function.parameters.iter()).map(|parameter| parameter.field.unraw().to_string());
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let implementation = implementation(function, krate);
    let owned = function.parameters.iter().map(owned);
    let parameters = parameters(function, krate);
    let merging = merging(function);
    let redacted = has_redacted(function).then(|| quote!(.redacted()));
    quote! {
        #(#conditions)*
        #(#lints)*
        #deprecated
        const _: () = {
            static __POOLMAP_REGISTRATION: #krate::__private::Registration = #krate::__private::Registration::new(
                #krate::__private::Identity {
                    module: ::core::module_path!(),
                    path: ::core::concat!(::core::module_path!(), "::", #text),
                    file: ::core::file!(),
                    line: ::core::line!(),
                    column: ::core::column!(),
                    version: #version,
                },
                &[#(#fields),*],
                #krate::__private::type_names::<#name, fn(#(#owned),*)>,
                #krate::__private::run_tasks::<#name>,
                #krate::__private::fold_tasks::<#name>,
                #krate::__private::show_arguments::<#name>,
            )#merging #redacted;
            #krate::__private::inventory::submit! { #krate::__private::Entry(&__POOLMAP_REGISTRATION) }
            #implementation
            #parameters
        };
    }
}

/// The part of the registration for a function that may make one output of two: the function itself.
fn merging(function: &Function) -> Option<TokenStream> {
    let [one, other] = &function.parameters[..] else {
        return None;
    };
    let is_by_value = |parameter: &Parameter| !matches!(parameter.passing, Passing::Reference);
    let Output::Value(returned) = &function.output else {
        return None;
    };
    if function.state.is_some() || !is_by_value(one) || !is_by_value(other) {
        return None;
    }
    let name = place::own(&function.name);
    let (one, other, returned) = (owned(one), owned(other), &returned.named);
    Some(quote!(.merging(&((|one, other| #name(one, other)) as fn(#one, #other) -> #returned))))
}

fn implementation(function: &Function, krate: &TokenStream) -> TokenStream {
    let name = place::own(&function.name);
    let output = output(&function.output, krate);
    let encode_output = encode_output(&function.output, krate);
    let decode_output = decode_output(&function.output, krate);
    let encode = (function.parameters.iter().enumerate()).map(|(position, parameter)| {
        let position = Literal::usize_suffixed(position);
        let field = place::own(&parameter.field);
        quote!(#krate::__private::encode_argument::<Self, #position>(&self.#field, __poolmap_encoder)?;)
    });
    let (run, run_numbers) = (run(function, krate), run_numbers(function, krate));
    let arguments = arguments(function, krate);
    quote! {
        #[doc(hidden)]
        impl #krate::__private::Itself for #name {
            type Type = Self;
            fn itself(self) -> Self {
                self
            }
        }
        impl #krate::WorkerFn for #name {
            type Output = #output;
            fn __registration() -> &'static #krate::__private::Registration {
                &__POOLMAP_REGISTRATION
            }
            fn __encode(
                &self,
                __poolmap_encoder: &mut #krate::__private::Encoder<'_>,
            ) -> ::core::result::Result<(), #krate::__private::CodecError> {
                #(#encode)*
                ::core::result::Result::Ok(())
            }
            #[inline]
            fn __run(
                __poolmap_call: &mut #krate::__private::TaskCall<'_>,
            ) -> ::core::result::Result<(), #krate::__private::TaskAbort> {
                #run
            }
            #run_numbers
            #encode_output
            #decode_output
            #arguments
        }
    }
}

/// The function that runs one task after another, where all arguments and the output are numbers.
fn run_numbers(function: &Function, krate: &TokenStream) -> Option<TokenStream> {
    let Output::Value(returned) = &function.output else {
        return None;
    };
    let parameters = &function.parameters;
    let is_number = |parameter: &Parameter| matches!(&parameter.owned, OwnedForm::Same(ty) if names_number(ty));
    let takes_numbers = parameters.iter().all(|parameter| is_number(parameter) && parameter.passing == Passing::Value);
    if function.state.is_some() || parameters.is_empty() || !takes_numbers || !names_number(&returned.named) {
        return None;
    }
    let name = place::own(&function.name);
    let names = argument_names(function);
    let owned = parameters.iter().map(owned);
    let output = &returned.named;
    Some(quote! {
        #[inline]
        fn __run_numbers(__poolmap_call: &mut #krate::__private::TaskCall<'_>) {
            __poolmap_call.run_numbers::<(#(#owned,)*), #output>(|(#(#names,)*)| #name(#(#names),*));
        }
    })
}

/// The names of the arguments in an expansion.
fn argument_names(function: &Function) -> Vec<Ident> {
    (0..function.parameters.len())
        .map(|position| Ident::new(&format!("__poolmap_argument_{position}"), Span::mixed_site()))
        .collect()
}

/// The function that writes what a call gave.
fn encode_output(output: &Output, krate: &TokenStream) -> TokenStream {
    let encode = Bound::output(output, krate).associated("encode");
    quote_spanned! {place_of(output)=>
        fn __encode_output(
            __poolmap_output: &Self::Output,
            __poolmap_call: &mut #krate::__private::TaskCall<'_>,
        ) -> ::core::result::Result<(), #krate::__private::TaskAbort> {
            #encode(__poolmap_output, __poolmap_call)
        }
    }
}

/// The function that reads what a call gave. It stands on the returned type, where an error about that type is one with
/// those in `__run`.
fn decode_output(output: &Output, krate: &TokenStream) -> TokenStream {
    let decode = Bound::output(output, krate).associated("decode");
    quote_spanned! {place_of(output)=>
        fn __decode_output(
            __poolmap_decoder: &mut #krate::__private::Decoder<'_>,
        ) -> ::core::result::Result<Self::Output, #krate::__private::CodecError> {
            #decode(__poolmap_decoder)
        }
    }
}

/// Where an error about what is returned stands.
fn place_of(output: &Output) -> Span {
    match output {
        Output::Nothing => Place::here().last,
        Output::Value(returned) | Output::Fallible { returned, .. } => Place::of(&returned.written).last,
    }
}

/// The type of what a call gives.
fn output(output: &Output, krate: &TokenStream) -> TokenStream {
    match output {
        Output::Nothing => quote!(()),
        Output::Value(returned) => returned.named.to_token_stream(),
        Output::Fallible { returned, .. } => {
            Bound::fallible(&returned.named, &returned.written, krate).associated("Ok")
        }
    }
}

/// The body of `__run`: the arguments out of their bytes, the call, and what it gave into bytes.
fn run(function: &Function, krate: &TokenStream) -> TokenStream {
    let name = place::own(&function.name);
    let names = argument_names(function);
    let decode = function.parameters.iter().zip(&names).map(|(parameter, argument)| {
        let bound = Bound::argument(parameter, krate);
        let text = parameter.field.unraw().to_string();
        let (owned, borrowed) = (owned(parameter), borrowed(parameter));
        let redact = (parameter.redacted).then(|| quote!(.map_err(|_| #krate::__private::redacted_argument(#text))));
        match parameter.passing {
            Passing::Value => {
                let method = bound.associated("decode");
                quote!(let #argument = #method(__poolmap_call, #text)#redact?;)
            }
            Passing::Reference => {
                let method = bound.associated("borrow");
                quote!(let #argument = #method::<#borrowed>(__poolmap_call, #text)#redact?;)
            }
            Passing::Cow => quote! {
                let mut #argument = {
                    use #krate::__private::NamedCow as _;
                    #krate::__private::CowParameter::<#owned, #borrowed>::HERE.take(__poolmap_call, #text)#redact?
                };
            },
        }
    });
    let arguments = function.parameters.iter().zip(&names).map(|(parameter, argument)| match parameter.passing {
        Passing::Value => quote!(#argument),
        Passing::Reference => quote!(&*#argument),
        Passing::Cow => quote!(#argument.lend()),
    });
    let call = match &function.state {
        None => quote!(#name(#(#arguments),*)),
        Some(state) => with_state(state, krate, &quote!(#name(__poolmap_state, #(#arguments),*))),
    };
    let encode = Bound::output(&function.output, krate).associated("encode");
    let reply = match &function.output {
        Output::Fallible { returned, error_written, .. } => {
            let place = Place::of(&returned.written).last;
            let into_result = Bound::fallible(&returned.inferred, &returned.written, krate).associated("into_result");
            let fail = Bound::failure(error_written, krate).associated("fail");
            let result = quote_spanned!(place=> #into_result(#call));
            let arms = reply_arms(&encode, &fail, krate);
            quote_spanned!(place=> match #result { #arms })
        }
        Output::Nothing | Output::Value(_) => quote!(#encode(&#call, __poolmap_call)),
    };
    quote! {
        #(#decode)*
        __poolmap_call.end_of_arguments()?;
        #reply
    }
}

/// A call that gets the state of its worker.
fn with_state(state: &State, krate: &TokenStream, call: &TokenStream) -> TokenStream {
    let place = Place::of(&state.written);
    let ty = place::own_type(&state.ty);
    let init = match &state.init {
        Some(path) => quote!(#path),
        None => quote_spanned!(place.last=> || <#ty as ::core::default::Default>::default()),
    };
    quote!(#krate::__private::with_state::<#ty, _>(#init, |__poolmap_state| #call))
}

/// The reply of a function that returns a `Result`, by what it returned.
fn reply_arms(encode: &TokenStream, fail: &TokenStream, krate: &TokenStream) -> TokenStream {
    quote! {
        ::core::result::Result::Ok(__poolmap_output) => #encode(&__poolmap_output, __poolmap_call),
        ::core::result::Result::Err(__poolmap_error) => {
            use #krate::__private::{Typed as _, Untyped as _};
            let __poolmap_typed = (&#krate::__private::ErrorProbe(&__poolmap_error))
                .typed(__poolmap_call.failure_bytes_max());
            ::core::result::Result::Err(#fail(__poolmap_error, __poolmap_call, __poolmap_typed))
        }
    }
}

/// The traits that the maps need of a worker function: the number of its parameters, and the owned type of each.
fn parameters(function: &Function, krate: &TokenStream) -> TokenStream {
    let name = place::own(&function.name);
    let count = Literal::usize_suffixed(function.parameters.len());
    let each = (function.parameters.iter().enumerate()).map(|(position, parameter)| {
        let position = Literal::usize_suffixed(position);
        let (owned, borrowed) = (owned(parameter), borrowed(parameter));
        let written = &parameter.shown;
        let encode = Bound::argument(parameter, krate).associated("encode");
        let redact = (parameter.redacted).then(|| quote!(.map_err(|_| #krate::__private::redacted_encoding())));
        quote! {
            #[doc(hidden)]
            impl #krate::__private::Parameter<#position> for #name {
                type Owned = #owned;
                type Borrowed = #borrowed;
                type Written<'__poolmap> = #written;
                type Function = Self;
                #[inline(always)]
                fn encode(
                    __poolmap_argument: &#owned,
                    __poolmap_encoder: &mut #krate::__private::Encoder<'_>,
                ) -> ::core::result::Result<(), #krate::__private::CodecError> {
                    #encode(__poolmap_argument, __poolmap_encoder) #redact
                }
            }
        }
    });
    quote! {
        #[doc(hidden)]
        impl #krate::__private::Parameters<#count> for #name {
            type Function = Self;
        }
        #(#each)*
    }
}
