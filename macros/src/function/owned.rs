//! The owned form of a type: what holds an argument on its way to a worker. It assumes that the rules are kept.

use proc_macro2::Span;
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{GenericArgument, Lifetime, PathArguments, PathSegment, Type, TypePath};

use super::groups::ungrouped;
use super::model::{OwnedForm, Passing};

/// The type that holds an argument of this type, and how the function takes it from there.
pub(super) fn form(ty: &Type) -> (OwnedForm, Passing) {
    let Type::Reference(reference) = ungrouped(ty) else {
        return match borrowed_by_cow(ty) {
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

/// What a `Cow` may borrow, if it is one: not with `'static`.
fn borrowed_by_cow(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ungrouped(ty) else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == "Cow")?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match &arguments.args.iter().collect::<Vec<_>>()[..] {
        [GenericArgument::Type(borrowed)] => Some(borrowed),
        [GenericArgument::Lifetime(lifetime), GenericArgument::Type(borrowed)] => {
            (lifetime.ident != "static").then_some(borrowed)
        }
        _ => None,
    }
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
        let (form, passing) = form(&syn::parse2(tokens).unwrap());
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
