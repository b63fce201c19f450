//! Whether a name is a local variable where a map stands: a pool without its `in`, or a closure.
//!
//! A map imports its function by name, and of a variable the compiler could say only that there is no such import. A macro is not told
//! what surrounds it, so the file is read again, at the place of the name. When anything is in doubt, the answer is no, and the
//! compiler's words remain.

use std::path::PathBuf;

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{
    Arm, Block, Expr, ExprClosure, ExprForLoop, ExprIf, ExprLet, ExprWhile, ImplItemFn, ItemFn, Local, Macro, Pat,
    PatIdent, Signature, TraitItemFn,
};

/// Put in the place of the name in question, to find it again in the parsed file.
const MARK: &str = "__poolmap_asked_for";

/// The value that a variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    Closure,
    Other,
}

/// The variable that a name in the tokens of the macro being expanded means, if it means one.
pub(crate) fn find(name: &Ident) -> Option<Variable> {
    let place = Place::of(name)?;
    let source = std::fs::read_to_string(&place.file).ok()?;
    find_in(&source, &name.to_string(), place.line, place.column)
}

/// Where a name stands; line and column begin at 1, and a column is a character.
struct Place {
    file: PathBuf,
    line: usize,
    column: usize,
}

impl Place {
    fn of(name: &Ident) -> Option<Self> {
        if !proc_macro::is_available() {
            return None;
        }
        let span = name.span().unwrap();
        Some(Self { file: span.local_file()?, line: span.line(), column: span.column() })
    }
}

fn find_in(source: &str, name: &str, line: usize, column: usize) -> Option<Variable> {
    let start: usize = source.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let (inside, _) = source.get(start..)?.lines().next()?.char_indices().nth(column.checked_sub(1)?)?;
    let (before, rest) = source.split_at(start + inside);
    let after = rest.strip_prefix(name)?;
    // Most names are imported or stand in the file as functions, and it need not be parsed.
    if is_item(source, name) || !may_be_bound(before, name) {
        return None;
    }
    let file = syn::parse_file(&format!("{before}{MARK}{after}")).ok()?;
    let mut search = Search { name, bound: Vec::new(), found: None };
    search.visit_file(&file);
    search.found
}

/// Whether a function of this name is declared in the file.
fn is_item(source: &str, name: &str) -> bool {
    let declared = format!("fn {name}");
    source.match_indices(&declared).any(|(at, _)| !source[at + declared.len()..].starts_with(is_word))
}

/// Whether the text has what a binding of the name looks like.
fn may_be_bound(before: &str, name: &str) -> bool {
    before.match_indices(name).any(|(at, _)| {
        let (left, right) = (&before[..at], &before[at + name.len()..]);
        let is_whole = !left.ends_with(is_word) && !right.starts_with(is_word);
        let (left, right) = (left.trim_end(), right.trim_start());
        let is_introduced = ["let", "mut", "ref", "for", "|"].iter().any(|word| left.ends_with(word));
        let is_followed = right.starts_with('|') || (right.starts_with(':') && !right.starts_with("::"));
        is_whole && (is_introduced || is_followed || right.starts_with("=>") || right.starts_with(") ="))
    })
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Goes through the file with the bindings of the name that are in scope.
struct Search<'a> {
    name: &'a str,
    bound: Vec<Variable>,
    found: Option<Variable>,
}

impl Search<'_> {
    fn bind(&mut self, pattern: &Pat, variable: Variable) {
        struct Names<'a>(&'a str, usize);
        impl<'ast> Visit<'ast> for Names<'_> {
            fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
                self.1 += usize::from(pattern.ident == self.0);
                visit::visit_pat_ident(self, pattern);
            }
        }
        let mut names = Names(self.name, 0);
        names.visit_pat(pattern);
        self.bound.extend((0..names.1).map(|_| variable));
    }

    /// Leaves what is bound within behind.
    fn scope(&mut self, within: impl FnOnce(&mut Self)) {
        let outside = self.bound.len();
        within(self);
        self.bound.truncate(outside);
    }

    /// A function sees nothing of what stands around it.
    fn function(&mut self, signature: &Signature, body: &Block) {
        let outside = std::mem::take(&mut self.bound);
        for input in &signature.inputs {
            if let syn::FnArg::Typed(parameter) = input {
                self.bind(&parameter.pat, Variable::Other);
            }
        }
        self.visit_block(body);
        self.bound = outside;
    }
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body);
        }
    }

    fn visit_block(&mut self, block: &'ast Block) {
        self.scope(|search| visit::visit_block(search, block));
    }

    fn visit_local(&mut self, local: &'ast Local) {
        let mut variable = Variable::Other;
        if let Some(init) = &local.init {
            if matches!(*init.expr, Expr::Closure(_)) {
                variable = Variable::Closure;
            }
            visit::visit_local_init(self, init);
        }
        self.bind(&local.pat, variable);
    }

    fn visit_expr_closure(&mut self, closure: &'ast ExprClosure) {
        self.scope(|search| {
            closure.inputs.iter().for_each(|input| search.bind(input, Variable::Other));
            search.visit_expr(&closure.body);
        });
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        self.scope(|search| {
            search.bind(&arm.pat, Variable::Other);
            visit::visit_arm(search, arm);
        });
    }

    fn visit_expr_for_loop(&mut self, repeated: &'ast ExprForLoop) {
        self.visit_expr(&repeated.expr);
        self.scope(|search| {
            search.bind(&repeated.pat, Variable::Other);
            search.visit_block(&repeated.body);
        });
    }

    fn visit_expr_if(&mut self, condition: &'ast ExprIf) {
        self.scope(|search| visit::visit_expr_if(search, condition));
    }

    fn visit_expr_while(&mut self, repeated: &'ast ExprWhile) {
        self.scope(|search| visit::visit_expr_while(search, repeated));
    }

    fn visit_expr_let(&mut self, condition: &'ast ExprLet) {
        self.visit_expr(&condition.expr);
        self.bind(&condition.pat, Variable::Other);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        if has_mark(called.tokens.clone()) {
            self.found = self.bound.last().copied();
        }
    }
}

fn has_mark(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == MARK,
        TokenTree::Group(group) => has_mark(group.stream()),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the meaning of `p` at the place of `p!` in this text.
    fn at(text: &str) -> Option<Variable> {
        let before = text.find("p!,").unwrap();
        let line = text[..before].matches('\n').count() + 1;
        let column = before - text[..before].rfind('\n').map_or(0, |at| at + 1) + 1;
        find_in(&text.replace("p!,", "p,"), "p", line, column)
    }

    #[test]
    fn a_variable_in_scope_is_found_in_every_form() {
        let other = [
            "fn main() { let p = Pool::new()?; pool_map!(p!, f, 0..3); }",
            "fn main() {\n    let mut p: Pool = x;\n    let a = g(pool_map!(p!, f, 0..3)?);\n}",
            "fn run(p: &Pool) -> u8 { { pool_map!(p!, f, xs) } }",
            "impl A { fn run(&self, p: &Pool) { pool_map!(p!, f, xs); } }",
            "fn main() { if let Some(p) = x { pool_map!(p!, f, xs); } }",
            "fn main() { for p in pools { pool_map!(p!, f, xs); } }",
            "fn main() { pools.map(|p| pool_map!(p!, f, xs)); }",
            "fn main() { match x { Some(p) => pool_map!(p!, f, xs) } }",
            "fn main() { let (p, q) = x; let p = p; let a = wrap!({ pool_map!(p!, f, xs) }); }",
        ];
        for text in other {
            assert_eq!(at(text), Some(Variable::Other), "{text}");
        }
        assert_eq!(at("fn main() { let p = move |x| x; pool_map!(p!, xs); }"), Some(Variable::Closure));
    }

    #[test]
    fn what_is_not_in_scope_or_is_a_function_is_none() {
        let none = [
            "fn main() { { let p = 1; } pool_map!(p!, xs); }",
            "fn main() { pool_map!(p!, xs); let p = 1; }",
            "fn other(p: u8) {} fn main() { pool_map!(p!, xs); }",
            "fn main() { let p = 1; fn inner() { pool_map!(p!, xs); } }",
            "fn p(x: u8) {} fn main() { let p = 1; pool_map!(p!, xs); }",
            "use jobs::p; fn main() { pool_map!(p!, xs); }",
            "fn main() { let pp = 1; pool_map!(p!, xs); }",
            "fn main() { let p = 1; pool_map!(p!, xs);",
        ];
        for text in none {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn a_place_that_is_not_the_name_is_none() {
        for (line, column) in [(0, 0), (1, 0), (1, 5), (1, 500), (9, 1)] {
            assert_eq!(find_in("fn main() { let p = 1; }", "q", line, column), None);
        }
    }
}
