//! The owned form of a type: what holds an argument on its way to a worker. It assumes that the rules are kept.

use proc_macro2::Span;
use quote::ToTokens;
use syn::visit::Visit;
use syn::visit_mut::{self, VisitMut};
use syn::{GenericArgument, Lifetime, PathArguments, PathSegment, Type, TypePath};

use super::groups::ungrouped;
use super::model::{OwnedForm, Passing};

/// The type that holds an argument of this type, and how the function takes it from there, beside others that it takes by value
/// with these lifetimes.
pub(super) fn form(ty: &Type, taken: &[Lifetime]) -> (OwnedForm, Passing) {
    let Type::Reference(reference) = ungrouped(ty) else {
        return match borrowed_by_cow(ty, taken) {
            Some(borrowed) => (OwnedForm::Cow { owned: named(ty), borrowed: Box::new(named(borrowed)) }, Passing::Cow),
            None => (OwnedForm::Same(named(ty)), Passing::Value),
        };
    };
    let form = match ungrouped(&reference.elem) {
        Type::Slice(slice) => OwnedForm::Vec(named(&slice.elem)),
        Type::Path(path) if path.path.is_ident("str") => OwnedForm::String,
        Type::Path(path) if is_borrowed_name(path) => OwnedForm::ToOwned(named(&reference.elem)),
        other => OwnedForm::Same(named(other)),
    };
    (form, Passing::Reference)
}

/// Whether the type has the name of one of the standard library's types without a size.
fn is_borrowed_name(path: &TypePath) -> bool {
    ["Path", "OsStr", "CStr", "str"]
        .iter()
        .any(|name| (path.path.segments.last()).is_some_and(|segment| segment.ident == name))
}

/// Returns the type that a `Cow` borrows, if it is one and the value can be read where it stands: not with `'static`, nor with a lifetime of an argument that
/// the function takes by value, and which is `'static` there.
fn borrowed_by_cow<'t>(ty: &'t Type, taken: &[Lifetime]) -> Option<&'t Type> {
    let Type::Path(path) = ungrouped(ty) else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == "Cow")?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    let borrowed = match &arguments.args.iter().collect::<Vec<_>>()[..] {
        [GenericArgument::Type(borrowed)] => borrowed,
        [GenericArgument::Lifetime(lifetime), GenericArgument::Type(borrowed)]
            if lifetime.ident != "static" && !taken.contains(lifetime) =>
        {
            borrowed
        }
        _ => return None,
    };
    let is_in_place = match ungrouped(borrowed) {
        Type::Slice(slice) => names_number(&slice.elem),
        other => names_one_of(other, &["str", "Path"]),
    };
    is_in_place.then_some(borrowed)
}

/// Whether the type has the name of a number. Only a faster way depends on it, which looks at the type itself.
pub(crate) fn names_number(ty: &Type) -> bool {
    const NUMBERS: &[&str] =
        &["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64"];
    names_one_of(ty, NUMBERS)
}

fn names_one_of(ty: &Type, names: &[&str]) -> bool {
    let Type::Path(path) = ungrouped(ty) else { return false };
    path.path.segments.last().is_some_and(|segment| names.iter().any(|name| segment.ident == name))
}

/// The lifetimes in the types of these parameters that the function takes by value, but for those of a `Cow` that is borrowed.
pub(super) fn taken_lifetimes<'t>(types: impl Iterator<Item = &'t Type>) -> Vec<Lifetime> {
    struct Lifetimes(Vec<Lifetime>);
    impl<'ast> Visit<'ast> for Lifetimes {
        fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
            if lifetime.ident != "_" {
                self.0.push(lifetime.clone());
            }
        }
    }
    let mut lifetimes = Lifetimes(Vec::new());
    let is_taken = |ty: &&Type| !matches!(ungrouped(ty), Type::Reference(_)) && borrowed_by_cow(ty, &[]).is_none();
    types.filter(is_taken).for_each(|ty| lifetimes.visit_type(ty));
    lifetimes.0
}

/// The type as the signature of an item can name it: with `'static` for every lifetime.
pub(super) fn named(ty: &Type) -> Type {
    with_lifetimes(ty, "'static")
}

/// The type as the body of a function can name it: with `'_` for every lifetime.
pub(super) fn inferred(ty: &Type) -> Type {
    with_lifetimes(ty, "'_")
}

/// The type as an implementation with a lifetime of ours can name it: with that for every lifetime, written or not.
pub(super) fn shown(ty: &Type) -> Type {
    let mut ty = with_lifetimes(ungrouped(ty), "'__poolmap");
    if let Type::Reference(reference) = &mut ty {
        reference.lifetime = Some(Lifetime::new("'__poolmap", Span::call_site()));
    }
    ty
}

fn with_lifetimes(ty: &Type, lifetime: &str) -> Type {
    let mut ty = ty.clone();
    let mut substitution = Substitution { lifetime: Lifetime::new(lifetime, Span::call_site()) };
    substitution.visit_type_mut(&mut ty);
    ty
}

struct Substitution {
    lifetime: Lifetime,
}

impl VisitMut for Substitution {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        lifetime.ident = self.lifetime.ident.clone();
    }

    fn visit_path_segment_mut(&mut self, segment: &mut PathSegment) {
        visit_mut::visit_path_segment_mut(self, segment);
        // `Cow<str>` is written without its lifetime often; a field cannot leave it out.
        if segment.ident == "Cow"
            && let PathArguments::AngleBracketed(arguments) = &mut segment.arguments
            && !arguments.args.iter().any(|argument| matches!(argument, GenericArgument::Lifetime(_)))
        {
            arguments.args.insert(0, GenericArgument::Lifetime(self.lifetime.clone()));
        }
    }
}

/// The owned form of what a reference points to, for a message.
pub(super) fn suggestion(referent: &Type) -> String {
    let owned = match ungrouped(referent) {
        Type::Slice(slice) => format!("Vec<{}>", text(&slice.elem)),
        Type::TraitObject(_) | Type::Reference(_) => return "the owned type".to_owned(),
        Type::Path(path) if is_borrowed_name(path) => match text(path).rsplit(':').next() {
            Some("str") => "String".to_owned(),
            Some("Path") => "PathBuf".to_owned(),
            Some("OsStr") => "OsString".to_owned(),
            _ => "CString".to_owned(),
        },
        other => text(other),
    };
    format!("`{owned}`")
}

/// A type as people write it.
pub(super) fn text(ty: &impl ToTokens) -> String {
    let text = ty.to_token_stream().to_string();
    [(" < ", "<"), ("< ", "<"), (" >", ">"), (" :: ", "::"), (" ,", ","), ("& ", "&"), (" ;", ";")]
        .iter()
        .fold(text, |text, (spaced, close)| text.replace(spaced, close))
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn form_of(tokens: proc_macro2::TokenStream) -> (String, Passing) {
        let (form, passing) = form(&syn::parse2(tokens).unwrap(), &[syn::parse_quote!('taken)]);
        let form = match form {
            OwnedForm::Same(ty) => text(&ty),
            OwnedForm::String => "String".to_owned(),
            OwnedForm::Vec(element) => format!("Vec<{}>", text(&element)),
            OwnedForm::ToOwned(ty) => format!("{}::Owned", text(&ty)),
            OwnedForm::Cow { owned, borrowed } => format!("{} of {}", text(&owned), text(&borrowed)),
        };
        (form, passing)
    }

    #[test]
    fn every_form_of_parameter_has_its_owned_form() {
        let cases = [
            (quote!(u8), "u8", Passing::Value),
            (quote!(&str), "String", Passing::Reference),
            (quote!(&'a [Option<u8>]), "Vec<Option<u8>>", Passing::Reference),
            (quote!(&std::path::Path), "std::path::Path::Owned", Passing::Reference),
            (quote!(&OsStr), "OsStr::Owned", Passing::Reference),
            (quote!(&Config), "Config", Passing::Reference),
            (quote!((&Config)), "Config", Passing::Reference),
            (quote!(Cow<'a, str>), "Cow<'static, str> of str", Passing::Cow),
            (quote!(Cow<[f64]>), "Cow<'static, [f64]> of [f64]", Passing::Cow),
            (quote!(std::borrow::Cow<'static, str>), "std::borrow::Cow<'static, str>", Passing::Value),
            (quote!(Cow<'a>), "Cow<'static>", Passing::Value),
            (quote!(Cow<'taken, str>), "Cow<'static, str>", Passing::Value),
            (quote!(Cow<'_, [String]>), "Cow<'static, [String]>", Passing::Value),
            (quote!(Cow<'a, [Cow<'a, str>]>), "Cow<'static, [Cow<'static, str>]>", Passing::Value),
            (quote!(&Vec<View<'_>>), "Vec<View<'static>>", Passing::Reference),
            (quote!((u8, [u8; 3])), "(u8, [u8; 3])", Passing::Value),
        ];
        for (tokens, form, passing) in cases {
            assert_eq!(form_of(tokens.clone()), (form.to_owned(), passing), "{tokens}");
        }
    }

    #[test]
    fn the_owned_form_is_suggested() {
        let cases = [
            (quote!(str), "`String`"),
            (quote!(std::path::Path), "`PathBuf`"),
            (quote!([u8]), "`Vec<u8>`"),
            (quote!(Map<K, V>), "`Map<K, V>`"),
            (quote!(&str), "the owned type"),
        ];
        for (tokens, owned) in cases {
            assert_eq!(suggestion(&syn::parse2(tokens).unwrap()), owned);
        }
    }
}
