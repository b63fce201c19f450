//! From the tokens under `#[worker]` to a function's signature. The body is never looked at.

use proc_macro2::{TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Ident, Signature, Visibility};

use crate::mistakes::Mistakes;

/// A function as it is written, without its body.
pub(crate) struct Declaration {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
}

/// An item that cannot be a worker function.
pub(crate) struct Refused {
    pub(crate) errors: Vec<syn::Error>,
    /// The stand-in for the struct, so that the function's uses in maps are no further errors. It has no place among
    /// associated functions.
    pub(crate) stand_in: Option<StandIn>,
    /// The compiler would refuse the function as well.
    pub(crate) keep_item: bool,
}

/// A type that is itself an error.
pub(crate) struct StandIn {
    pub(crate) conditions: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
}

impl Refused {
    /// An item that is emitted as it is, beside the errors.
    fn item(mistakes: Mistakes) -> Self {
        Self { errors: mistakes.into_errors(), stand_in: None, keep_item: true }
    }
}

/// Reads the function's declaration.
pub(crate) fn parse(item: &TokenStream, mut mistakes: Mistakes) -> Result<(Declaration, Mistakes), Refused> {
    let parser = |input: ParseStream| {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let rest = input.fork();
        let signature = input.parse::<Signature>();
        let body = input.parse::<TokenStream>()?;
        Ok((attributes, visibility, signature, body, rest.parse()?))
    };
    let (attributes, visibility, signature, body, rest): (_, _, syn::Result<Signature>, _, TokenStream) =
        match parser.parse2(item.clone()) {
            Ok(parts) => parts,
            Err(error) => {
                mistakes.unreadable(error);
                return Err(Refused::item(mistakes));
            }
        };
    if !is_function(&rest) {
        mistakes.on(rest.into_iter().next(), "`#[worker]` marks a function: put it above a `fn`");
        return Err(Refused::item(mistakes));
    }
    let signature = match signature {
        Ok(signature) => signature,
        Err(error) => {
            mistakes.unreadable(error);
            return Err(Refused::item(mistakes));
        }
    };
    if !matches!(body.into_iter().next(), Some(TokenTree::Group(_))) {
        mistakes.on(&signature.ident, "a worker function needs a body: a function of a trait cannot be one");
        return Err(Refused::item(mistakes));
    }
    let declaration = Declaration { attributes, visibility, signature };
    Ok((declaration, mistakes))
}

/// Whether `fn` stands before the first braces, `=` or `;`.
fn is_function(item: &TokenStream) -> bool {
    for token in item.clone() {
        match token {
            TokenTree::Ident(word) if word == "fn" => return true,
            TokenTree::Ident(word) if word == "impl" || word == "trait" || word == "mod" => return false,
            TokenTree::Punct(punct) if punct.as_char() == '=' || punct.as_char() == ';' => return false,
            TokenTree::Group(group) if group.delimiter() == proc_macro2::Delimiter::Brace => return false,
            _ => {}
        }
    }
    false
}
