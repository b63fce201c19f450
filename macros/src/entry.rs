//! The functions under `#[poolmap::main]` and `#[poolmap::test]`, and the rules that they must keep.

use proc_macro2::{Group, TokenStream};
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Path, Signature, Token, Visibility};

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
        self.attributes.iter().filter(|attribute| OUTER.iter().any(|outer| attribute.path().is_ident(outer)))
    }

    /// The attributes of a test that also hold for what is put around it: those that the test harness reads included.
    pub(crate) fn outer_attributes_of_test(&self) -> impl Iterator<Item = &Attribute> {
        let is_outer = |path: &Path| OUTER.iter().chain(&OF_HARNESS).any(|outer| path.is_ident(outer));
        self.attributes.iter().filter(move |attribute| {
            is_outer(attribute.path())
                || conditional(attribute).is_some_and(|metas| metas.iter().all(|meta| is_outer(meta.path())))
        })
    }

    /// The attributes that stay on a test around which another is put.
    pub(crate) fn inner_attributes_of_test(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|attribute| !OF_HARNESS.iter().any(|outer| attribute.path().is_ident(outer)))
    }

    /// Whether an attribute below makes the function what the test harness calls, and starts a runtime for it.
    pub(crate) fn has_test_runtime(&self) -> bool {
        self.attributes.iter().any(is_test_of_runtime)
            || (self.signature.asyncness.is_some() && has_runtime(&self.attributes))
    }
}

const OUTER: [&str; 6] = ["cfg", "doc", "allow", "warn", "deny", "forbid"];
const OF_HARNESS: [&str; 2] = ["ignore", "should_panic"];

/// The attributes that a `cfg_attr` stands for.
fn conditional(attribute: &Attribute) -> Option<Vec<Meta>> {
    if !attribute.path().is_ident("cfg_attr") {
        return None;
    }
    let metas = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
    Some(metas.into_iter().skip(1).collect())
}

/// Whether it is `#[test]`, also by its full path.
fn is_plain_test(attribute: &Attribute) -> bool {
    let names: Vec<String> = attribute.path().segments.iter().map(|segment| segment.ident.to_string()).collect();
    match &names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["test"] | ["core" | "std", "prelude", _, "test"] => matches!(attribute.meta, Meta::Path(_)),
        _ => false,
    }
}

/// Whether it is a test attribute of a runtime's: `#[tokio::test]`, `#[test_log::test]`, …
fn is_test_of_runtime(attribute: &Attribute) -> bool {
    let segments = &attribute.path().segments;
    segments.len() > 1 && segments.last().is_some_and(|last| last.ident == "test") && !is_plain_test(attribute)
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
    if !entry.has_test_runtime() {
        if let Some(asyncness) = &signature.asyncness {
            mistakes.on(
                asyncness,
                "an `async` test needs a runtime: put its attribute under this one, such as `#[tokio::test]`",
            );
        }
        if let Some(parameter) = signature.inputs.first() {
            mistakes.on(parameter, "a test takes no parameters");
        }
    }
    for attribute in entry.attributes.iter().filter(|attribute| is_plain_test(attribute)) {
        mistakes.on(attribute, "`#[poolmap::test]` makes it a test already: remove this attribute");
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
    const OWN: [&str; 15] = [
        "cfg",
        "cfg_attr",
        "doc",
        "allow",
        "warn",
        "deny",
        "forbid",
        "expect",
        "inline",
        "must_use",
        "cold",
        "track_caller",
        "test",
        "ignore",
        "should_panic",
    ];
    (attributes.iter()).any(|attribute| !OWN.iter().any(|own| attribute.path().is_ident(own)))
}

fn finish(entry: Entry, mut mistakes: Mistakes) -> Result<Entry, Vec<syn::Error>> {
    if let Some(parameter) = entry.signature.generics.params.first() {
        mistakes.on(parameter, format_args!("`{}` cannot be generic", entry.signature.ident));
    }
    if mistakes.is_empty() { Ok(entry) } else { Err(mistakes.into_errors()) }
}
