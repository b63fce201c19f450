//! The rules for a worker function as a whole. Every broken rule is a mistake on the token that breaks it, and says what to
//! write instead.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{FnArg, GenericParam, Generics, Ident, Lifetime, PatType, Safety, Signature, WherePredicate};

use super::model::{Function, Parameter};
use super::parse::{Declaration, Refused, StandIn};
use super::state::State;
use super::{attributes, enclosing, names, owned, redaction, returned, state, types};
use crate::mistakes::Mistakes;
use crate::options::Options;

/// A worker function has a struct with a field for each parameter, and a table entry that names each. More than this is a
/// call that no one can read: such a function takes a struct of its own.
const PARAMETERS_MAX: usize = 12;

/// Checks the function, and makes the model of one that keeps all the rules.
pub(crate) fn check(declaration: Declaration, options: &Options, mut mistakes: Mistakes) -> Result<Function, Refused> {
    let Declaration { attributes, visibility, signature } = declaration;
    let place = check_place(&signature, &mut mistakes);
    let copied = attributes::sort(&attributes, &mut mistakes);
    check_qualifiers(&signature, &mut mistakes);
    check_generics(&signature.generics, &mut mistakes);
    let (state, parameters) = parameters(&signature, options.redact, &mut mistakes);
    let output = returned::output(&signature.output, options.plain, &mut mistakes);
    if mistakes.is_empty() {
        return Ok(Function { name: signature.ident, visibility, attributes: copied, state, parameters, output });
    }
    let stands_alone = place == Where::Free && signature.receiver().is_none();
    let is_marked_once = !attributes.iter().any(|attribute| attribute.path().is_ident("worker"));
    Err(Refused {
        errors: mistakes.into_errors(),
        // A second `#[worker]` below writes the struct.
        stand_in: (stands_alone && is_marked_once).then(|| StandIn {
            conditions: copied.conditions,
            visibility,
            name: signature.ident.clone(),
        }),
        // The compiler refuses these too.
        keep_item: signature.variadic.is_none() && (place == Where::Associated || self_words(&signature).is_empty()),
    })
}

/// Where a function stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Free,
    Associated,
}

/// Finds out where it stands: an associated function is one mistake, with `self` or without.
fn check_place(signature: &Signature, mistakes: &mut Mistakes) -> Where {
    let place = if enclosing::is_associated() { Where::Associated } else { Where::Free };
    if let Some(receiver) = signature.receiver() {
        mistakes.on(
            receiver.self_token,
            "a worker function cannot take `self`: make it a function outside of the `impl`, with the value as its first \
             parameter",
        );
    } else if place == Where::Associated {
        mistakes.on(
            &signature.ident,
            "an associated function cannot be a worker function: move it out of the `impl` or `trait`",
        );
    } else {
        for word in self_words(signature).iter().filter(|&word| word == "Self") {
            mistakes.on(word, "`Self` is not known to a worker function: write the name of the type");
        }
    }
    place
}

/// Every `self` and `Self` in the signature.
fn self_words(signature: &Signature) -> Vec<Ident> {
    fn collect(tokens: TokenStream, words: &mut Vec<Ident>) {
        for token in tokens {
            match token {
                TokenTree::Ident(word) if word == "self" || word == "Self" => words.push(word),
                TokenTree::Group(group) => collect(group.stream(), words),
                _ => {}
            }
        }
    }
    let mut words = Vec::new();
    collect(signature.to_token_stream(), &mut words);
    words
}

fn check_qualifiers(signature: &Signature, mistakes: &mut Mistakes) {
    if let Some(asyncness) = &signature.asyncness {
        mistakes.on(
            asyncness,
            "a worker function cannot be `async`, for a worker runs one task at a time: remove `async`, and run the \
             future inside with your runtime's `block_on`",
        );
    }
    if let Safety::Unsafe(unsafety) = &signature.safety {
        mistakes.on(
            unsafety,
            "a worker function cannot be `unsafe`, for its caller is in another process: remove `unsafe`, and put an \
             `unsafe` block inside",
        );
    }
    if let Some(variadic) = &signature.variadic {
        mistakes.on(variadic.dots, "a worker function cannot be variadic: take a `Vec<T>`");
    }
}

fn check_generics(generics: &Generics, mistakes: &mut Mistakes) {
    let mut is_generic = false;
    for parameter in &generics.params {
        match parameter {
            GenericParam::Lifetime(_) => continue,
            GenericParam::Type(parameter) => mistakes.on(
                &parameter.ident,
                "a worker function cannot be generic: write the type, and one worker function for each type it is \
                 needed for",
            ),
            GenericParam::Const(parameter) => mistakes.on(
                &parameter.ident,
                "a worker function cannot be generic: write the value, or make it a parameter of the function",
            ),
        }
        is_generic = true;
    }
    // The bounds of a generic type go with it.
    let predicates = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    for predicate in predicates {
        if let WherePredicate::Type(predicate) = predicate
            && !is_generic
        {
            mistakes
                .on(predicate, "a worker function cannot have a `where` clause: it has no generic types, so remove it");
        }
    }
}

fn parameters(signature: &Signature, redact: bool, mistakes: &mut Mistakes) -> (Option<State>, Vec<Parameter>) {
    let typed: Vec<&PatType> = (signature.inputs.iter())
        .filter_map(|input| match input {
            FnArg::Typed(parameter) => Some(parameter),
            FnArg::Receiver(_) => None,
        })
        .collect();
    let (state, typed) = state::part(typed, mistakes);
    if let Some(excess) = typed.get(PARAMETERS_MAX) {
        mistakes.on(
            excess,
            format_args!(
                "a worker function takes at most {PARAMETERS_MAX} parameters: put some of them into a struct",
            ),
        );
    }
    let fields = names::fields(typed.iter().map(|parameter| &*parameter.pat));
    let mut taken = owned::taken_lifetimes(typed.iter().map(|parameter| &*parameter.ty));
    // One that outlives another may outlive one of those.
    taken.extend(bound_lifetimes(&signature.generics));
    let parameters = (typed.iter().zip(fields))
        .map(|(parameter, field)| {
            types::check_parameter(&parameter.ty, mistakes);
            let (owned, passing) = owned::form(&parameter.ty, &taken);
            Parameter {
                field,
                lints: attributes::sort_of_parameter(&parameter.attrs, mistakes),
                redacted: redaction::is_redacted(parameter, redact, mistakes),
                owned,
                passing,
                written: parameter.ty.to_token_stream(),
                shown: owned::shown(&parameter.ty),
            }
        })
        .collect();
    (state, parameters)
}

/// The lifetimes that the signature lets outlive others.
fn bound_lifetimes(generics: &Generics) -> impl Iterator<Item = Lifetime> {
    let declared =
        generics.lifetimes().filter(|lifetime| !lifetime.bounds.is_empty()).map(|lifetime| &lifetime.lifetime);
    let predicates = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    let asked = predicates.filter_map(|predicate| match predicate {
        WherePredicate::Lifetime(predicate) => Some(&predicate.lifetime),
        _ => None,
    });
    declared.chain(asked).cloned()
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::super::parse::parse;
    use super::*;

    fn checked(function: TokenStream) -> Result<Function, Refused> {
        let (declaration, mistakes) = parse(&function, Mistakes::default())?;
        check(declaration, &Options::none(), mistakes)
    }

    fn mistakes(function: TokenStream) -> usize {
        checked(function).err().map_or(0, |refused| refused.errors.len())
    }

    #[test]
    fn a_legal_function_has_no_mistake() {
        let legal = [
            quote!(
                pub(crate) const fn f(x: u8) {}
            ),
            quote!(
                extern "C" fn f(x: u8, mut y: Vec<Option<u8>>) -> Option<u8> {
                    None
                }
            ),
            quote!(
                fn f<'a, 'b: 'a>(x: &'a str, y: &'b [u8], z: Cow<'_, str>) -> Cow<'a, str>
                where
                    'b: 'a,
                {
                    x.into()
                }
            ),
            quote!(
                fn f() -> Result<u8, Box<dyn Error + Send + Sync>> {
                    Ok(1)
                }
            ),
            quote!(
                fn f() -> std::result::Result<u8, &'static str> {
                    Ok(1)
                }
            ),
            quote!(
                fn f(x: Cow<'static, str>) -> fmt::Result {
                    Ok(())
                }
            ),
        ];
        for function in legal {
            assert_eq!(mistakes(function.clone()), 0, "{function}");
        }
    }

    #[test]
    fn every_broken_rule_is_a_mistake_of_its_own() {
        let broken = [
            (
                quote!(
                    async fn f() {}
                ),
                1,
            ),
            (
                quote!(
                    unsafe fn f() {}
                ),
                1,
            ),
            (
                quote!(
                    fn f<T, const N: usize>(x: [T; N])
                    where
                        T: Copy,
                    {
                    }
                ),
                2,
            ),
            (
                quote!(
                    fn f()
                    where
                        u8: Copy,
                    {
                    }
                ),
                1,
            ),
            (
                quote!(
                    fn f(self) {}
                ),
                1,
            ),
            (
                quote!(
                    fn f(x: Self) -> Self {
                        x
                    }
                ),
                2,
            ),
            (
                quote!(
                    fn f(x: impl Copy, y: &dyn Any, z: Box<dyn Any>) -> impl Copy {}
                ),
                4,
            ),
            (
                quote!(
                    fn f(x: &'static mut u8) {}
                ),
                2,
            ),
            (
                quote!(
                    fn f(x: Option<&str>, y: &&u8, z: &[&'static str]) -> (&str, u8) {
                        loop {}
                    }
                ),
                4,
            ),
            (
                quote!(
                    fn f() -> Result<&'static str, &str> {
                        loop {}
                    }
                ),
                2,
            ),
            (
                quote!(
                    fn f() -> Result<u8, Failure<'_>> {
                        loop {}
                    }
                ),
                1,
            ),
            (
                quote!(
                    fn f(x: *mut u8, y: fn()) -> ! {
                        loop {}
                    }
                ),
                3,
            ),
            (
                quote!(
                    async unsafe fn f<T>(x: &mut T) -> &T {
                        x
                    }
                ),
                5,
            ),
        ];
        for (function, count) in broken {
            assert_eq!(mistakes(function.clone()), count, "{function}");
        }
    }

    #[test]
    fn what_is_no_function_is_refused_as_it_is() {
        let others = [
            quote!(
                struct S {
                    f: fn(),
                }
            ),
            quote!(
                const F: fn() = f;
            ),
            quote!(impl S { fn f() {} }),
            quote!(
                fn f();
            ),
        ];
        for item in others {
            let refused = checked(item.clone()).err().unwrap();
            assert_eq!(refused.errors.len(), 1, "{item}");
            assert!(refused.keep_item && refused.stand_in.is_none(), "{item}");
        }
    }

    #[test]
    fn a_refused_function_keeps_its_item_and_gets_a_stand_in() {
        let refused = checked(quote!(
            fn f(x: &mut u8) {}
        ))
        .err()
        .unwrap();
        assert!(refused.keep_item && refused.stand_in.is_some());
    }

    #[test]
    fn thirteen_parameters_are_one_mistake() {
        let parameters = (0..14).map(|position| quote::format_ident!("p{position}"));
        assert_eq!(mistakes(quote!(fn f(#(#parameters: u8),*) {})), 1);
    }
}
