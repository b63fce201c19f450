//! The options in the parentheses of `#[worker(…)]`, `#[main(…)]` and `#[test(…)]`. It knows nothing of the item below.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Ident, LitStr, Path, Token};

use crate::mistakes::Mistakes;

/// The options of an attribute.
pub(crate) struct Options {
    /// The path to the crate poolmap, where the user has renamed it.
    pub(crate) krate: Option<Path>,
    /// The output is what the function returns, even if it is named `Result`.
    pub(crate) plain: bool,
    /// No text shows an argument.
    pub(crate) redact: bool,
}

/// Which attribute the options belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribute {
    Worker,
    Main,
    Test,
}

impl Attribute {
    fn known_options(self) -> &'static str {
        match self {
            Self::Worker => "`#[worker]` takes `plain`, `redact` and `crate = path`",
            Self::Main => "`#[poolmap::main]` takes `crate = path`",
            Self::Test => "`#[poolmap::test]` takes `crate = path`",
        }
    }
}

impl Options {
    /// No option at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { krate: None, plain: false, redact: false }
    }

    /// Reads the options; those that are wrong are left out.
    pub(crate) fn parse(tokens: TokenStream, of: Attribute, mistakes: &mut Mistakes) -> Self {
        let mut options = Self { krate: None, plain: false, redact: false };
        let parser = |input: ParseStream| {
            while !input.is_empty() {
                options.parse_one(input, of, mistakes)?;
                if input.is_empty() {
                    break;
                }
                input.parse::<Token![,]>()?;
            }
            Ok(())
        };
        if let Err(error) = parser.parse2(tokens) {
            mistakes.unreadable(error);
        }
        options
    }

    fn parse_one(&mut self, input: ParseStream, of: Attribute, mistakes: &mut Mistakes) -> syn::Result<()> {
        let name = input.call(Ident::parse_any)?;
        let twice = |mistakes: &mut Mistakes| {
            mistakes.on(&name, format_args!("`{name}` is given twice: remove one"));
        };
        if name == "crate" {
            if let Some(path) = parse_crate(&name, input, mistakes)?
                && self.krate.replace(path).is_some()
            {
                twice(mistakes);
            }
        } else if (name == "plain" || name == "redact") && of == Attribute::Worker {
            if input.peek(Token![=]) {
                skip_value(input)?;
                mistakes.on(&name, format_args!("`{name}` takes no value: write `#[worker({name})]`"));
            }
            let flag = if name == "plain" { &mut self.plain } else { &mut self.redact };
            if std::mem::replace(flag, true) {
                twice(mistakes);
            }
        } else {
            skip_value(input)?;
            mistakes.on(&name, format_args!("there is no option `{name}`: {}", of.known_options()));
        }
        Ok(())
    }
}

fn parse_crate(name: &Ident, input: ParseStream, mistakes: &mut Mistakes) -> syn::Result<Option<Path>> {
    if !input.peek(Token![=]) {
        skip_value(input)?;
        mistakes.on(name, "`crate` needs the path of the crate poolmap: write `crate = path`");
        return Ok(None);
    }
    input.parse::<Token![=]>()?;
    if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        mistakes.on(&text, format_args!("write the path without quotes: `crate = {}`", text.value()));
        return Ok(None);
    }
    input.call(Path::parse_mod_style).map(Some)
}

/// Leaves out what follows the name of an option that is wrong, up to the next comma.
fn skip_value(input: ParseStream) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn parse(tokens: TokenStream, of: Attribute) -> (Options, Vec<String>) {
        let mut mistakes = Mistakes::default();
        let options = Options::parse(tokens, of, &mut mistakes);
        (options, mistakes.messages())
    }

    #[test]
    fn all_options_are_read_in_any_order() {
        let (options, mistakes) = parse(quote!(crate = renamed::poolmap, plain,), Attribute::Worker);
        assert!(options.plain);
        assert_eq!(quote!(renamed::poolmap).to_string(), options.krate.map(|path| quote!(#path).to_string()).unwrap());
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }

    #[test]
    fn every_mistake_is_reported() {
        let (_, mistakes) = parse(quote!(plain = true, plain, fast, crate = "x", slow(1, 2)), Attribute::Worker);
        assert_eq!(mistakes.len(), 5, "{mistakes:?}");
    }

    #[test]
    fn redact_is_read_once_and_without_a_value() {
        let (options, mistakes) = parse(quote!(redact, plain), Attribute::Worker);
        assert!(options.redact && options.plain && mistakes.is_empty(), "{mistakes:?}");
        let (options, mistakes) = parse(quote!(redact = false, redact), Attribute::Worker);
        assert!(options.redact);
        assert_eq!(
            mistakes,
            ["`redact` takes no value: write `#[worker(redact)]`", "`redact` is given twice: remove one"]
        );
    }

    #[test]
    fn plain_is_an_option_of_worker_alone() {
        let (options, mistakes) = parse(quote!(plain), Attribute::Main);
        assert!(!options.plain);
        assert_eq!(mistakes, ["there is no option `plain`: `#[poolmap::main]` takes `crate = path`"]);
    }
}
