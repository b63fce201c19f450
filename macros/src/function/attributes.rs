//! Which attributes of a worker function its struct and its table entry take over, and which it cannot have.

use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

use super::model::Copied;
use crate::mistakes::Mistakes;

/// Sorts a function's attributes.
pub(super) fn sort(attributes: &[Attribute], mistakes: &mut Mistakes) -> Copied {
    let mut copied = Copied::default();
    for attribute in attributes {
        let path = attribute.path();
        if let Some(copy) = only(attribute, is_condition) {
            copied.conditions.push(copy);
        }
        if let Some(copy) = only(attribute, is_lint) {
            copied.lints.push(as_lasting_lint(copy));
        }
        if path.is_ident("deprecated") {
            copied.deprecated = true;
            copied.marks.push(attribute.clone());
        } else if path.is_ident("doc") && is_doc_hidden(attribute) {
            copied.marks.push(attribute.clone());
        } else if path.is_ident("target_feature") {
            mistakes.on(
                attribute,
                "a worker function cannot have `#[target_feature]`: call the function that has it inside, where you have \
                 checked for the feature",
            );
        } else if path.is_ident("worker") {
            mistakes.on(attribute, "`#[worker]` is given twice: remove one");
        }
    }
    copied
}

/// The lint attributes of a parameter.
pub(super) fn sort_of_parameter(attributes: &[Attribute], mistakes: &mut Mistakes) -> Vec<Attribute> {
    let mut lints = Vec::new();
    for attribute in attributes {
        if only(attribute, is_condition).is_some() {
            mistakes.on(
                attribute,
                "a parameter of a worker function cannot have `cfg`: put it on the function, and write the function once \
                 for each case",
            );
        }
        if let Some(copy) = only(attribute, is_lint) {
            lints.push(as_lasting_lint(copy));
        }
    }
    lints
}

fn is_condition(meta: &Meta) -> bool {
    meta.path().is_ident("cfg")
}

fn is_lint(meta: &Meta) -> bool {
    ["allow", "warn", "deny", "forbid", "expect"].iter().any(|level| meta.path().is_ident(level))
}

fn is_doc_hidden(attribute: &Attribute) -> bool {
    matches!(&attribute.meta, Meta::List(list) if list.tokens.to_string() == "hidden")
}

/// The attribute, if it is wanted; a `cfg_attr` with those of its attributes that are.
fn only(attribute: &Attribute, wanted: fn(&Meta) -> bool) -> Option<Attribute> {
    let mut copy = attribute.clone();
    copy.meta = only_meta(&attribute.meta, wanted)?;
    Some(copy)
}

fn only_meta(meta: &Meta, wanted: fn(&Meta) -> bool) -> Option<Meta> {
    if wanted(meta) {
        return Some(meta.clone());
    }
    let Meta::List(list) = meta else { return None };
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    let conditional = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
    let mut conditional = conditional.into_iter();
    let mut kept = Punctuated::<Meta, Token![,]>::new();
    kept.push(conditional.next()?);
    kept.extend(conditional.filter_map(|meta| only_meta(&meta, wanted)));
    if kept.len() < 2 {
        return None;
    }
    let mut list = list.clone();
    list.tokens = quote::ToTokens::into_token_stream(kept);
    Some(Meta::List(list))
}

/// An expectation that is met on the function need not be met on what is made from it.
fn as_lasting_lint(mut attribute: Attribute) -> Attribute {
    fn weaken(meta: &mut Meta) {
        match meta {
            Meta::List(list) if list.path.is_ident("expect") => {
                let span = list.path.segments[0].ident.span();
                list.path = syn::Ident::new("allow", span).into();
            }
            Meta::List(list) if list.path.is_ident("cfg_attr") => {
                let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
                if let Ok(mut nested) = list.parse_args_with(parser) {
                    nested.iter_mut().for_each(weaken);
                    list.tokens = quote::ToTokens::into_token_stream(nested);
                }
            }
            _ => {}
        }
    }
    weaken(&mut attribute.meta);
    attribute
}

#[cfg(test)]
mod tests {
    use quote::{ToTokens, quote};
    use syn::ItemFn;

    use super::*;

    fn sorted(function: proc_macro2::TokenStream) -> (Copied, Vec<String>) {
        let function: ItemFn = syn::parse2(function).unwrap();
        let mut mistakes = Mistakes::default();
        let copied = sort(&function.attrs, &mut mistakes);
        (copied, mistakes.messages())
    }

    fn texts(attributes: &[Attribute]) -> Vec<String> {
        attributes.iter().map(|attribute| attribute.to_token_stream().to_string().replace(' ', "")).collect()
    }

    #[test]
    fn conditions_and_lints_are_taken_over_and_the_rest_is_not() {
        let (copied, mistakes) = sorted(quote! {
            #[cfg(unix)]
            #[inline]
            #[expect(dead_code)]
            #[cfg_attr(unix, allow(unused), inline, cfg(test))]
            #[cfg_attr(unix, must_use)]
            #[deprecated]
            fn f() {}
        });
        assert_eq!(mistakes, [""; 0]);
        assert_eq!(texts(&copied.conditions), ["#[cfg(unix)]", "#[cfg_attr(unix,cfg(test))]"]);
        assert_eq!(texts(&copied.lints), ["#[allow(dead_code)]", "#[cfg_attr(unix,allow(unused))]"]);
        assert_eq!(texts(&copied.marks), ["#[deprecated]"]);
    }

    #[test]
    fn what_a_worker_function_cannot_have_is_said() {
        let (_, mistakes) = sorted(quote! {
            #[target_feature(enable = "avx2")]
            #[worker]
            fn f() {}
        });
        assert_eq!(mistakes.len(), 2);
    }
}
