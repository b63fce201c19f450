//! `#[state]`: a first parameter that is no argument, but what the worker keeps from task to task.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::Parse;
use syn::{Attribute, Meta, PatType, Path, Token, Type};

use super::groups::ungrouped;
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

/// The function without `#[state]`, which the compiler does not know.
pub(crate) fn without_marks(item: TokenStream) -> TokenStream {
    let mut is_behind_fn = false;
    let mut is_done = false;
    let strip = |token| match token {
        TokenTree::Ident(word) if word == "fn" => {
            is_behind_fn = true;
            TokenTree::Ident(word)
        }
        TokenTree::Group(group) if is_behind_fn && !is_done && group.delimiter() == Delimiter::Parenthesis => {
            is_done = true;
            let mut stripped = Group::new(Delimiter::Parenthesis, strip_parameters(group.stream()));
            stripped.set_span(group.span());
            TokenTree::Group(stripped)
        }
        token => token,
    };
    item.into_iter().map(strip).collect()
}

fn strip_parameters(parameters: TokenStream) -> TokenStream {
    let mut kept = Vec::new();
    for token in parameters {
        let is_mark = matches!(&token, TokenTree::Group(group) if is_state_in_brackets(group));
        if is_mark && matches!(kept.last(), Some(TokenTree::Punct(punct)) if punct.as_char() == '#') {
            kept.pop();
        } else {
            kept.push(token);
        }
    }
    kept.into_iter().collect()
}

fn is_state_in_brackets(group: &Group) -> bool {
    let first = group.stream().into_iter().next();
    group.delimiter() == Delimiter::Bracket && matches!(first, Some(TokenTree::Ident(word)) if word == "state")
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn marks_are_taken_off_and_nothing_else() {
        let marked = quote! {
            #[state] pub(crate) fn f(#[state(init = load)] a: &mut A, #[allow(x)] b: [state; 2]) { #[state] let x = 1; }
        };
        let stripped = quote! {
            #[state] pub(crate) fn f(a: &mut A, #[allow(x)] b: [state; 2]) { #[state] let x = 1; }
        };
        assert_eq!(without_marks(marked).to_string(), stripped.to_string());
    }
}
