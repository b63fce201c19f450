//! `#[state]`: a first parameter that is no argument, but what the worker keeps from task to task.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::parse::Parse;
use syn::{Attribute, Meta, PatType, Path, Token, Type};

use super::groups::ungrouped;
use super::redaction;
use crate::mistakes::Mistakes;

/// The state of a worker function.
pub(crate) struct State {
    /// Its type, without the reference.
    pub(crate) ty: Type,
    /// The expression that makes it; `Default` where there is none.
    pub(crate) init: Option<Path>,
    /// The type as the user wrote it: errors about it stand here.
    pub(crate) written: TokenStream,
}

/// The state of a function with these parameters, and the parameters that are arguments.
pub(super) fn part<'a>(parameters: Vec<&'a PatType>, mistakes: &mut Mistakes) -> (Option<State>, Vec<&'a PatType>) {
    let is_state = |parameter: &&PatType| parameter.attrs.iter().any(is_mark);
    let mut state = None;
    let mut arguments = Vec::new();
    for (position, parameter) in parameters.into_iter().enumerate() {
        if !is_state(&parameter) {
            arguments.push(parameter);
        } else if position > 0 {
            let mark = parameter.attrs.iter().find(|attribute| is_mark(attribute));
            mistakes.on(
                mark,
                "the state of a worker function is its first parameter, and it has one state: move this to the front",
            );
        } else {
            redaction::check_state(parameter, mistakes);
            state = read(parameter, mistakes);
        }
    }
    (state, arguments)
}

fn is_mark(attribute: &Attribute) -> bool {
    attribute.path().is_ident("state")
}

fn read(parameter: &PatType, mistakes: &mut Mistakes) -> Option<State> {
    let mark = parameter.attrs.iter().find(|attribute| is_mark(attribute))?;
    let init = match &mark.meta {
        Meta::Path(_) => None,
        Meta::List(list) => match list.parse_args::<Init>() {
            Ok(init) => Some(init.path),
            Err(_) => {
                mistakes.on(
                    &list.tokens,
                    "`#[state]` takes the function that makes the state, without parameters: `#[state(init = load)]`; \
                     without it, the state is made by `Default`",
                );
                return None;
            }
        },
        Meta::NameValue(_) => {
            mistakes.on(mark, "write `#[state]`, or `#[state(init = load)]` with the function that makes the state");
            return None;
        }
    };
    match ungrouped(&parameter.ty) {
        Type::Reference(reference) if reference.mutability.is_some() && reference.lifetime.is_none() => {
            let ty = (*reference.elem).clone();
            Some(State { init, written: ty.to_token_stream(), ty })
        }
        other => {
            mistakes.on(other, "the state of a worker function is taken by `&mut`: write `&mut` and its type");
            None
        }
    }
}

/// `init = path`.
struct Init {
    path: Path,
}

impl Parse for Init {
    fn parse(input: syn::parse::ParseStream) -> syn::Result<Self> {
        let name: syn::Ident = input.parse()?;
        if name != "init" {
            return Err(syn::Error::new(name.span(), "init is expected"));
        }
        input.parse::<Token![=]>()?;
        Ok(Self { path: input.parse()? })
    }
}
