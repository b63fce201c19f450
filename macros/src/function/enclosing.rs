//! Whether a function stands in an `impl` or a `trait`, where no struct can be put beside it.
//!
//! A macro is not told what surrounds it, and the compiler's own words, "struct is not supported in `trait`s or `impl`s",
//! would name a struct that the user never wrote. So the file is read again, at the place of the attribute. When anything
//! about that place is in doubt, the answer is no, and the compiler's words remain.

use std::path::PathBuf;

use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, TraitItem};

/// Put before the attribute in question, to find it again in the parsed file.
const MARK: &str = "__poolmap_asked_for";

/// Whether the attribute that is being expanded stands directly in an `impl` or a `trait`.
pub(super) fn is_associated() -> bool {
    let Some(place) = Place::of_expansion() else {
        return false;
    };
    // At the left margin stand free functions, in any formatting that is met.
    if place.column == 1 {
        return false;
    }
    let Ok(source) = std::fs::read_to_string(&place.file) else {
        return false;
    };
    is_associated_in(&source, place.line, place.column)
}

/// Where an attribute stands; line and column begin at 1, and a column is a character.
struct Place {
    file: PathBuf,
    line: usize,
    column: usize,
}

impl Place {
    fn of_expansion() -> Option<Self> {
        if !proc_macro::is_available() {
            return None;
        }
        let span = proc_macro::Span::call_site();
        Some(Self { file: span.local_file()?, line: span.line(), column: span.column() })
    }
}

fn is_associated_in(source: &str, line: usize, column: usize) -> bool {
    let Some(offset) = offset(source, line, column) else {
        return false;
    };
    let (before, after) = source.split_at(offset);
    // Most files have neither before a worker function, and need not be parsed.
    if !after.starts_with("#[") || !(before.contains("impl") || before.contains("trait")) {
        return false;
    }
    let Ok(file) = syn::parse_file(&format!("{before}#[{MARK}]{after}")) else {
        return false;
    };
    let mut search = Search { found: false };
    search.visit_file(&file);
    search.found
}

fn offset(source: &str, line: usize, column: usize) -> Option<usize> {
    let before: usize = source.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let line = source[before..].lines().next()?;
    let (inside, _) = line.char_indices().nth(column.checked_sub(1)?)?;
    Some(before + inside)
}

struct Search {
    found: bool,
}

impl Search {
    fn look(&mut self, attributes: &[Attribute]) {
        self.found |= attributes.iter().any(|attribute| attribute.path().is_ident(MARK));
    }
}

impl<'ast> Visit<'ast> for Search {
    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if let ImplItem::Fn(function) = item {
            self.look(&function.attrs);
        }
        visit::visit_impl_item(self, item);
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if let TraitItem::Fn(function) = item {
            self.look(&function.attrs);
        }
        visit::visit_trait_item(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
mod inner {
    #[worker]
    fn free() {}
}
impl Type {
    #[worker]
    fn associated() {
        #[worker]
        fn nested() {}
    }
    /* ä */ #[worker] fn second() {}
}
trait Trait {
    #[worker]
    fn of_trait() {}
}
text! { impl X {
    #[worker]
    fn in_a_macro() {}
} }
"#;

    #[test]
    fn only_a_function_directly_in_an_impl_or_a_trait_is_associated() {
        let cases = [(3, 5, false), (7, 5, true), (9, 9, false), (12, 13, true), (15, 5, true), (19, 5, false)];
        for (line, column, associated) in cases {
            assert!(SOURCE.lines().nth(line - 1).unwrap().contains("#[worker]"));
            assert_eq!(is_associated_in(SOURCE, line, column), associated, "line {line}");
        }
    }

    #[test]
    fn a_place_that_is_not_an_attribute_is_none() {
        for (line, column) in [(0, 0), (7, 6), (7, 500), (500, 1), (8, 5)] {
            assert!(!is_associated_in(SOURCE, line, column), "{line}:{column}");
        }
        assert!(!is_associated_in("impl X {\n    #[worker]\n    fn x() {", 2, 5));
    }
}
