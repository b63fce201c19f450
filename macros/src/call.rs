//! The call of a map: `[in POOL,] FUNCTION, ITERATOR, … [; OPTION [= VALUE], …]`, as all map macros take it.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, ExprUnary, Path, PathArguments, Token, UnOp};

use crate::mistakes::Mistakes;
use crate::variables::{self, Variable};

/// A call that keeps all the rules.
pub(crate) struct Call {
    /// The path of the crate poolmap, as the calling macro knows it.
    pub(crate) krate: TokenStream,
    /// The method that runs the map.
    pub(crate) finish: Ident,
    /// The inputs may be streams.
    pub(crate) takes_streams: bool,
    pub(crate) pool: Option<(Token![in], Expr)>,
    pub(crate) function: Path,
    pub(crate) iterators: Vec<Expr>,
    /// The expression that gives all arguments of a task as one tuple, in the place of the iterators.
    pub(crate) tuples: Option<Expr>,
    pub(crate) options: Vec<(Ident, Option<Expr>)>,
    /// The function and the first value that `pool_reduce!` folds with.
    pub(crate) fold: Option<(Path, Expr)>,
}

/// The tokens behind an option's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Value,
    Nothing,
    /// A condition, or nothing: then it is set.
    Condition,
}

/// The options, each a method of `Map` of the same name, and what it takes.
const OPTIONS: [(&str, Takes); 21] = [
    ("chunk_size", Takes::Value),
    ("window", Takes::Value),
    ("timeout", Takes::Value),
    ("cpu_limit", Takes::Value),
    ("deadline", Takes::Value),
    ("attempts", Takes::Value),
    ("retry_errors", Takes::Value),
    ("retry_backoff", Takes::Value),
    ("retry_if", Takes::Value),
    ("priority", Takes::Value),
    ("seed", Takes::Value),
    ("journal", Takes::Value),
    ("on_error", Takes::Value),
    ("shortest", Takes::Nothing),
    ("finish_running", Takes::Nothing),
    ("progress", Takes::Condition),
    ("with", Takes::Value),
    ("identity", Takes::Value),
    ("job_log", Takes::Value),
    ("timeline", Takes::Value),
    ("save_failed", Takes::Value),
];

/// Options that one macro alone takes.
const OPTIONS_OF_ONE: [(&str, &str); 3] = [("on_error", "pool_map"), ("with", REDUCE), ("identity", REDUCE)];

const REDUCE: &str = "pool_reduce";

/// The macros whose inputs may be streams.
const STREAMS: [&str; 2] = ["pool_stream", "pool_stream_unordered"];

/// Whether an option that stands without a value is a condition that holds.
pub(crate) fn is_condition(name: &Ident) -> bool {
    OPTIONS.iter().any(|(option, takes)| name == option && *takes == Takes::Condition)
}

/// Reads what the macro was called with, and checks it.
pub(crate) fn parse(tokens: TokenStream) -> Result<Call, Vec<syn::Error>> {
    let mut mistakes = Mistakes::default();
    let call = Parser::parse2(|input: ParseStream| parse_call(input, &mut mistakes), tokens);
    match call {
        Ok(Some(call)) if mistakes.is_empty() => Ok(call),
        Ok(_) => Err(mistakes.into_errors()),
        Err(error) => {
            if mistakes.is_empty() {
                mistakes.unreadable(error);
            }
            Err(mistakes.into_errors())
        }
    }
}

fn parse_call(input: ParseStream, mistakes: &mut Mistakes) -> syn::Result<Option<Call>> {
    let krate;
    syn::parenthesized!(krate in input);
    let krate = krate.parse()?;
    let names;
    syn::parenthesized!(names in input);
    let macro_name: Ident = names.parse()?;
    let finish = names.parse()?;

    let pool = parse_pool(input, &macro_name, mistakes)?;
    if input.is_empty() || input.peek(Token![;]) {
        let message = format!(
            "`{macro_name}!` takes a worker function and an iterator for each of its parameters: `{macro_name}!(f, xs, ys)`",
        );
        mistakes.at(input.span(), message);
        skip(input);
        return Ok(None);
    }
    let function = parse_function(input, &macro_name, mistakes)?;
    let (iterators, tuples) = parse_iterators(input, &macro_name, mistakes)?;
    if let Some(function) = &function
        && iterators.is_empty()
        && tuples.is_none()
        && mistakes.is_empty()
    {
        mistakes.on(
            function,
            format_args!("no iterator is given: one is needed for each parameter, `{macro_name}!(f, xs, ys)`; a function without \
                 parameters is called with `pool.apply(f {{}})`"),
        );
    }
    let mut options = parse_options(input, &macro_name, mistakes)?;
    let fold = if macro_name == REDUCE { take_fold(&macro_name, &mut options, mistakes) } else { None };
    let takes_streams = STREAMS.iter().any(|name| macro_name == name);
    Ok(function.map(|function| Call { krate, finish, takes_streams, pool, function, iterators, tuples, options, fold }))
}

fn parse_pool(
    input: ParseStream,
    macro_name: &Ident,
    mistakes: &mut Mistakes,
) -> syn::Result<Option<(Token![in], Expr)>> {
    if !input.peek(Token![in]) {
        return Ok(None);
    }
    let keyword: Token![in] = input.parse()?;
    if input.is_empty() || input.peek(Token![,]) || input.peek(Token![;]) {
        mistakes.on(keyword, format_args!("`in` takes a pool: `{macro_name}!(in &pool, f, xs)`"));
        input.parse::<Option<Token![,]>>()?;
        return Ok(None);
    }
    let pool: Expr = input.parse()?;
    if input.is_empty() {
        let message = format!("the worker function stands after the pool: `{macro_name}!(in &pool, f, xs)`");
        return Err(syn::Error::new_spanned(&pool, message));
    }
    parse_comma(input, "then the worker function")?;
    Ok(Some((keyword, pool)))
}

/// The comma between two parts of the call.
fn parse_comma(input: ParseStream, next: &str) -> syn::Result<()> {
    if input.peek(Token![,]) {
        input.parse::<Token![,]>()?;
        return Ok(());
    }
    Err(input.error(format_args!("a `,` is needed here, {next}")))
}

const CLOSURE: &str = "a closure cannot be sent to a worker: move it into a function marked `#[worker]`, and pass what it \
                       captures as an argument";

fn parse_function(input: ParseStream, macro_name: &Ident, mistakes: &mut Mistakes) -> syn::Result<Option<Path>> {
    let written: Expr = input.parse()?;
    match ungrouped(&written) {
        Expr::Path(path) if path.qself.is_none() => {
            let arguments = path.path.segments.iter().find_map(|segment| match &segment.arguments {
                PathArguments::None => None,
                arguments => Some(arguments),
            });
            if let Some(arguments) = arguments {
                mistakes.on(
                    arguments,
                    "a worker function is not generic: name the function alone",
                );
                return Ok(None);
            }
            let variable = path.path.get_ident().and_then(variables::find);
            match variable {
                None => return Ok(Some(path.path.clone())),
                Some(Variable::Closure) => mistakes.on(path, CLOSURE),
                Some(Variable::Other) => mistakes.on(
                    path,
                    format_args!(
                        "`{0}` is a variable, and the name of a worker function is needed here; a pool stands first, after `in`: \
                         `{macro_name}!(in &{0}, f, xs)`",
                        path.to_token_stream(),
                    ),
                ),
            }
        }
        Expr::Closure(closure) => mistakes.on(closure, CLOSURE),
        Expr::Call(call) => mistakes.on(
            call,
            format_args!("a map calls the function itself: give its name alone, then the iterators, `{macro_name}!(f, xs, ys)`"),
        ),
        Expr::Struct(call) => mistakes.on(
            call,
            format_args!("a map makes the calls itself: give the function's name alone, then the iterators, `{macro_name}!(f, xs, ys)`; \
                 one call is `pool.apply(f {{ … }})`"),
        ),
        reference @ Expr::Reference(_) => mistakes.on(
            reference,
            format_args!("the name of a worker function is needed here; a pool stands first, after `in`: `{macro_name}!(in &pool, f, xs)`"),
        ),
        other => mistakes.on(
            other,
            format_args!("the name of a worker function is needed here: `{macro_name}!(f, xs, ys)`"),
        ),
    }
    Ok(None)
}

/// The expression, without the invisible delimiters that a macro's variable stands in, and without parentheses.
fn ungrouped(expression: &Expr) -> &Expr {
    match expression {
        Expr::Group(group) => ungrouped(&group.expr),
        Expr::Paren(paren) => ungrouped(&paren.expr),
        other => other,
    }
}

/// The iterators, or the one that gives tuples.
fn parse_iterators(
    input: ParseStream,
    macro_name: &Ident,
    mistakes: &mut Mistakes,
) -> syn::Result<(Vec<Expr>, Option<Expr>)> {
    let mut iterators = Vec::new();
    let mut tuples = None;
    while !input.is_empty() && !input.peek(Token![;]) {
        parse_comma(input, "then an iterator; or a `;`, then the options")?;
        if input.is_empty() || input.peek(Token![;]) {
            break;
        }
        if input.peek(Token![in]) {
            mistakes.on(
                input.parse::<Token![in]>()?,
                format_args!("the pool stands first: `{macro_name}!(in &pool, f, xs)`"),
            );
        }
        let iterator: Expr = input.parse()?;
        if let Some(name) = misplaced_option(&iterator) {
            mistakes.on(name, format_args!("options stand after a `;`: `{macro_name}!(f, xs; {name} = …)`"));
        }
        match iterator {
            Expr::Unary(ExprUnary { op: UnOp::Deref(star), expr, .. }) => {
                if !iterators.is_empty() || tuples.is_some() {
                    mistakes.on(star, alone(macro_name));
                }
                tuples = Some(*expr);
            }
            other if tuples.is_some() => mistakes.on(other, alone(macro_name)),
            other => iterators.push(other),
        }
    }
    Ok((iterators, tuples))
}

fn alone(macro_name: &Ident) -> String {
    format!("tuples have an element for each parameter, so they stand alone: `{macro_name}!(f, *tuples)`")
}

/// Takes the function and the first value of a fold out of the options.
fn take_fold(
    macro_name: &Ident,
    options: &mut Vec<(Ident, Option<Expr>)>,
    mistakes: &mut Mistakes,
) -> Option<(Path, Expr)> {
    let mut take = |name: &str| {
        let place = options.iter().position(|(option, _)| option == name)?;
        options.remove(place).1
    };
    let (with, identity) = (take("with"), take("identity"));
    let (Some(with), Some(identity)) = (with, identity) else {
        if mistakes.is_empty() {
            let usage = format!("`{macro_name}!(f, xs; with = g, identity = value)`");
            mistakes.on(
                macro_name,
                format_args!("a reduction needs what to fold with, and the value to begin with: {usage}"),
            );
        }
        return None;
    };
    match ungrouped(&with) {
        Expr::Path(path) if path.qself.is_none() => Some((path.path.clone(), identity)),
        other => {
            let message = "the name of a worker function of two parameters is needed here: `with = g`";
            mistakes.on(other, message);
            None
        }
    }
}

/// The name of an option, in `chunk_size = 1` where an iterator belongs.
fn misplaced_option(expression: &Expr) -> Option<&Ident> {
    let Expr::Assign(assignment) = expression else { return None };
    let Expr::Path(path) = &*assignment.left else { return None };
    path.path.get_ident()
}

fn parse_options(
    input: ParseStream,
    macro_name: &Ident,
    mistakes: &mut Mistakes,
) -> syn::Result<Vec<(Ident, Option<Expr>)>> {
    let mut options: Vec<(Ident, Option<Expr>)> = Vec::new();
    if input.is_empty() {
        return Ok(options);
    }
    input.parse::<Token![;]>()?;
    while !input.is_empty() {
        let name = input.call(Ident::parse_any)?;
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(equals) if input.is_empty() || input.peek(Token![,]) => {
                mistakes.on(equals, format_args!("`{name}` takes a value: write it after the `=`"));
                None
            }
            Some(_) => Some(input.parse::<Expr>()?),
            None => None,
        };
        check_option(macro_name, (&name, value.as_ref()), &options, mistakes);
        options.push((name, value));
        if !input.is_empty() {
            parse_comma(input, "then the next option")?;
        }
    }
    Ok(options)
}

fn check_option(
    macro_name: &Ident,
    (name, value): (&Ident, Option<&Expr>),
    earlier: &[(Ident, Option<Expr>)],
    mistakes: &mut Mistakes,
) {
    let of_another = |option: &str| OPTIONS_OF_ONE.into_iter().find(|&(one, of)| one == option && macro_name != of);
    if let Some((_, of)) = of_another(&name.to_string()) {
        mistakes.on(name, format_args!("`{name}` is an option of `{of}!` alone"));
        return;
    }
    let Some((_, takes)) = OPTIONS.iter().find(|(option, _)| name == option) else {
        let known: Vec<String> = OPTIONS
            .iter()
            .filter(|(option, _)| of_another(option).is_none())
            .map(|(option, takes)| match takes {
                Takes::Value => format!("`{option} = …`"),
                Takes::Nothing | Takes::Condition => format!("`{option}`"),
            })
            .collect();
        mistakes.on(name, format_args!("there is no option `{name}`; there are {}", known.join(", ")));
        return;
    };
    if earlier.iter().any(|(other, _)| other == name) {
        mistakes.on(name, format_args!("`{name}` is given twice: remove one"));
        return;
    }
    match (takes, value) {
        (Takes::Value, None) if mistakes.is_empty() => {
            mistakes.on(name, format_args!("`{name}` takes a value: `{name} = …`"));
        }
        (Takes::Nothing, Some(value)) => {
            mistakes.on(value, format_args!("`{name}` takes no value: write `{name}` alone"));
        }
        _ => {}
    }
}

/// Leaves out the rest.
fn skip(input: ParseStream) {
    while input.parse::<TokenTree>().is_ok() {}
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn call(tokens: TokenStream) -> Result<Call, Vec<String>> {
        parse(quote!((::poolmap) (pool_map collect) #tokens))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_part_of_a_call_is_read() {
        let call = call(quote!(in &pool, module::f, 0..3, [1, 2]; chunk_size = 4, shortest,)).unwrap();
        assert_eq!(call.finish, "collect");
        assert!(call.pool.is_some());
        assert_eq!(call.function.segments.len(), 2);
        assert_eq!(call.iterators.len(), 2);
        let options: Vec<_> = call.options.iter().map(|(name, value)| (name.to_string(), value.is_some())).collect();
        assert_eq!(options, [("chunk_size".to_owned(), true), ("shortest".to_owned(), false)]);
    }

    #[test]
    fn a_condition_may_stand_alone_or_with_a_value() {
        for tokens in [quote!(f, xs; progress), quote!(f, xs; progress = shown && !quiet)] {
            let call = call(tokens).unwrap();
            assert!(is_condition(&call.options[0].0));
        }
    }

    #[test]
    fn commas_at_the_end_are_read() {
        for tokens in [quote!(f, xs), quote!(f, xs,), quote!(f, xs;), quote!(f, xs,; shortest)] {
            assert_eq!(call(tokens).unwrap().iterators.len(), 1);
        }
    }

    #[test]
    fn every_option_that_is_wrong_is_reported() {
        let mistakes = call(quote!(f, xs; fast, window, shortest = 1, window = 2)).err().unwrap();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    }

    #[test]
    fn only_a_path_names_a_function() {
        for tokens in [quote!(|x| x, xs), quote!(f(1), xs), quote!(f::<u8>, xs), quote!(1, xs), quote!(move || 1, xs)] {
            assert_eq!(call(tokens.clone()).err().map(|mistakes| mistakes.len()), Some(1), "{tokens}");
        }
        assert!(call(quote!((f), xs)).is_ok());
    }
}
