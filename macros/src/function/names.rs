//! The names of the struct's fields, one for each parameter, whatever its pattern.

use std::collections::HashSet;

use proc_macro2::Span;
use syn::{Ident, Pat};

/// A name for each pattern: that of the parameter, or `arg0`, `arg1`, … by its place where it has none.
pub(super) fn fields<'a>(patterns: impl Iterator<Item = &'a Pat>) -> Vec<Ident> {
    let named: Vec<Option<Ident>> = patterns.map(|pattern| name_of(pattern).cloned()).collect();
    let mut taken: HashSet<String> = HashSet::new();
    let mut fields: Vec<Option<Ident>> = named
        .into_iter()
        // Two parameters of one name are the compiler's to report, or are told apart by macro hygiene.
        .map(|name| name.filter(|name| taken.insert(name.to_string())))
        .collect();
    for (position, field) in fields.iter_mut().enumerate() {
        if field.is_none() {
            let mut name = format!("arg{position}");
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            *field = Some(Ident::new(&name, Span::call_site()));
        }
    }
    fields.into_iter().flatten().collect()
}

fn name_of(pattern: &Pat) -> Option<&Ident> {
    match pattern {
        Pat::Ident(pattern) => Some(&pattern.ident),
        Pat::Paren(pattern) => name_of(&pattern.pat),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;
    use syn::parse::Parser;

    use super::*;

    fn names(patterns: &[proc_macro2::TokenStream]) -> Vec<String> {
        let patterns: Vec<Pat> =
            patterns.iter().map(|tokens| Pat::parse_single.parse2(tokens.clone()).unwrap()).collect();
        fields(patterns.iter()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_is_kept_whatever_stands_around_it() {
        let patterns = [quote!(x), quote!(mut y), quote!(ref z), quote!(r#type), quote!(all @ (a, b))];
        assert_eq!(names(&patterns), ["x", "y", "z", "r#type", "all"]);
    }

    #[test]
    fn a_pattern_without_a_name_is_named_by_its_place() {
        let patterns = [quote!(_), quote!((a, b)), quote!(Point { x, y }), quote!(_used)];
        assert_eq!(names(&patterns), ["arg0", "arg1", "arg2", "_used"]);
    }

    #[test]
    fn every_name_is_unique() {
        let patterns = [quote!(arg1), quote!(_), quote!(arg1), quote!(arg2)];
        assert_eq!(names(&patterns), ["arg1", "arg1_", "arg2_", "arg2"]);
    }
}
