//! The functions under `#[poolmap::main]` and `#[poolmap::test]`, and the rules that they must keep.

use proc_macro2::{Group, TokenStream};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Meta, Path, Signature, Visibility};

use crate::mistakes::Mistakes;
use crate::options::{self, Options};

/// A function where the process is entered.
pub(crate) struct Entry {
    /// The path of the crate poolmap, where the user has renamed it.
    pub(crate) krate: Option<Path>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) body: Group,
}

impl Entry {
    /// The attributes of `main` that also hold for what is put around it.
    pub(crate) fn outer_attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|attribute| {
            ["cfg", "doc", "allow", "warn", "deny", "forbid"].iter().any(|kept| attribute.path().is_ident(kept))
        })
    }
}

/// Reads and checks the function under `#[poolmap::main]`.
pub(crate) fn parse_main(options: TokenStream, item: TokenStream) -> Result<Entry, Vec<syn::Error>> {
    let (entry, mut mistakes) = parse(options, item, options::Attribute::Main)?;
    let signature = &entry.signature;
    if signature.ident != "main" {
        mistakes.on(&signature.ident, "`#[poolmap::main]` stands above `fn main`; elsewhere call `poolmap::init()`");
    }
    if let Some(parameter) = signature.inputs.first()
        && !has_runtime(&entry.attributes)
    {
        mistakes.on(parameter, "`main` takes no parameters: read them from `std::env::args()`");
    }
    if let Some(asyncness) = &signature.asyncness
        && !has_runtime(&entry.attributes)
    {
        mistakes.on(
            asyncness,
            "an `async fn main` needs a runtime: put its attribute under this one, such as `#[tokio::main]`",
        );
    }
    finish(entry, mistakes)
}

/// Reads and checks the function under `#[poolmap::test]`.
pub(crate) fn parse_test(options: TokenStream, item: TokenStream) -> Result<Entry, Vec<syn::Error>> {
    let (entry, mut mistakes) = parse(options, item, options::Attribute::Test)?;
    let signature = &entry.signature;
    if let Some(asyncness) = &signature.asyncness {
        mistakes.on(
            asyncness,
            "a test with workers cannot be `async`: remove `async`, and run the future inside with your runtime's \
             `block_on`",
        );
    }
    if let Some(parameter) = signature.inputs.first() {
        mistakes.on(parameter, "a test takes no parameters");
    }
    for attribute in &entry.attributes {
        let last = attribute.path().segments.last();
        if last.is_some_and(|segment| segment.ident == "test") && matches!(attribute.meta, Meta::Path(_)) {
            mistakes.on(attribute, "`#[poolmap::test]` makes it a test already: remove this attribute");
        }
    }
    finish(entry, mistakes)
}

fn parse(
    options: TokenStream,
    item: TokenStream,
    attribute: options::Attribute,
) -> Result<(Entry, Mistakes), Vec<syn::Error>> {
    let mut mistakes = Mistakes::default();
    let options = Options::parse(options, attribute, &mut mistakes);
    let parser = |input: ParseStream| {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let rest = input.fork();
        let (Ok(signature), Ok(body)) = (input.parse::<Signature>(), input.parse::<Group>()) else {
            let message = match attribute {
                options::Attribute::Test => "`#[poolmap::test]` stands above a function",
                _ => "`#[poolmap::main]` stands above `fn main`",
            };
            return Err(rest.error(message));
        };
        Ok((attributes, visibility, signature, body))
    };
    match parser.parse2(item) {
        Ok((attributes, visibility, signature, body)) => {
            let entry = Entry { krate: options.krate, attributes, visibility, signature, body };
            Ok((entry, mistakes))
        }
        Err(error) => {
            mistakes.unreadable(error);
            Err(mistakes.into_errors())
        }
    }
}

/// Whether an attribute below may be that of a runtime: any that is none of the compiler's own.
fn has_runtime(attributes: &[Attribute]) -> bool {
    const OWN: [&str; 11] =
        ["cfg", "cfg_attr", "doc", "allow", "warn", "deny", "forbid", "expect", "inline", "must_use", "cold"];
    (attributes.iter()).any(|attribute| !OWN.iter().any(|own| attribute.path().is_ident(own)))
}

fn finish(entry: Entry, mut mistakes: Mistakes) -> Result<Entry, Vec<syn::Error>> {
    if let Some(parameter) = entry.signature.generics.params.first() {
        mistakes.on(parameter, format_args!("`{}` cannot be generic", entry.signature.ident));
    }
    if mistakes.is_empty() { Ok(entry) } else { Err(mistakes.into_errors()) }
}
