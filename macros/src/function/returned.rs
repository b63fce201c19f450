//! The return type of a function: whether it can fail, and the rules for each part of the type.

use quote::ToTokens;
use syn::{GenericArgument, PathArguments, ReturnType, Type};

use super::groups::ungrouped;
use super::model::{Output, Returned};
use super::owned;
use super::types::{self, Place};
use crate::mistakes::Mistakes;

/// Reads the return type of a function; `plain` takes a `Result` for a value.
pub(super) fn output(output: &ReturnType, plain: bool, mistakes: &mut Mistakes) -> Output {
    let ReturnType::Type(_, ty) = output else {
        return Output::Nothing;
    };
    let ty = ungrouped(ty);
    let returned = Returned { named: owned::named(ty), inferred: owned::inferred(ty), written: ty.to_token_stream() };
    match ty {
        Type::Never(never) => {
            mistakes.on(never, "a worker function must return, or its task would never end: remove `-> !`");
        }
        _ if !plain && is_result(ty) => return fallible(ty, returned, mistakes),
        _ => types::check(ty, Place::Return, mistakes),
    }
    Output::Value(returned)
}

/// Whether the type is named `Result`, as `io::Result<T>` and `anyhow::Result<T>` are.
fn is_result(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    (path.path.segments.last()).is_some_and(|segment| segment.ident == "Result")
}

fn fallible(ty: &Type, returned: Returned, mistakes: &mut Mistakes) -> Output {
    let arguments = type_arguments(ty);
    for (position, argument) in arguments.iter().enumerate() {
        let place = if position == 0 { Place::Return } else { Place::Failure };
        types::check(argument, place, mistakes);
    }
    let written = |position: usize| match arguments.get(position) {
        Some(argument) => argument.to_token_stream(),
        None => returned.written.clone(),
    };
    Output::Fallible { ok_written: written(0), error_written: written(1), returned }
}

/// The types in the angle brackets of the last segment.
fn type_arguments(ty: &Type) -> Vec<&Type> {
    let Type::Path(path) = ty else { return Vec::new() };
    let Some(PathArguments::AngleBracketed(arguments)) = (path.path.segments.last()).map(|segment| &segment.arguments)
    else {
        return Vec::new();
    };
    (arguments.args.iter())
        .filter_map(|argument| match argument {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        })
        .collect()
}
