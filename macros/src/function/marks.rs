//! The marks on parameters that are ours: they are taken off the function, which stays as it was otherwise.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The words of our attributes on parameters.
const MARKS: [&str; 2] = ["state", "redact"];

/// The function without `#[state]` and `#[redact]`, which the compiler does not know.
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
        let is_mark = matches!(&token, TokenTree::Group(group) if is_mark_in_brackets(group));
        if is_mark && matches!(kept.last(), Some(TokenTree::Punct(punct)) if punct.as_char() == '#') {
            kept.pop();
        } else {
            kept.push(token);
        }
    }
    kept.into_iter().collect()
}

fn is_mark_in_brackets(group: &Group) -> bool {
    let first = group.stream().into_iter().next();
    group.delimiter() == Delimiter::Bracket
        && matches!(first, Some(TokenTree::Ident(word)) if MARKS.iter().any(|mark| word == mark))
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn marks_are_taken_off_and_nothing_else() {
        let marked = quote! {
            #[state] pub(crate) fn f(#[state(init = load)] a: &mut A, #[redact] #[allow(x)] b: [state; 2]) { #[state] let x = 1; }
        };
        let stripped = quote! {
            #[state] pub(crate) fn f(a: &mut A, #[allow(x)] b: [state; 2]) { #[state] let x = 1; }
        };
        assert_eq!(without_marks(marked).to_string(), stripped.to_string());
    }
}
