//! The macros of poolmap. Use them through that crate, which documents them with examples.
//!
//! Every macro goes parse → check → expand: `options`, `function`, `call` and `entry` turn tokens into a model and collect
//! every mistake on its own token; `expand` alone writes tokens. A refused item still expands, so that one mistake is
//! one error.

use proc_macro::TokenStream;

mod call;
mod entry;
mod expand;
mod function;
mod mistakes;
mod options;
mod variables;

/// Marks a function that workers can run.
#[proc_macro_attribute]
pub fn worker(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::worker(options.into(), item.into()).into()
}

/// Wraps `main`, so that a worker never runs a line of it.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::main(options.into(), &item.into()).into()
}

/// Marks a test that uses workers, in place of `#[test]`.
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::test(options.into(), &item.into()).into()
}

/// The procedural macro that the map macros hand their tokens to.
#[doc(hidden)]
#[proc_macro]
pub fn __call(tokens: TokenStream) -> TokenStream {
    expand::call(tokens.into()).into()
}
