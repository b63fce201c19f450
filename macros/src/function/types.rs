//! The rules for the types of a signature: which cannot travel between processes, and what to write instead.
//!
//! A type that a rule does not know is the compiler's to judge: the expansion asks it for serde's traits.

use quote::ToTokens;
use syn::visit::Visit;
use syn::{Lifetime, Type, TypeFnPtr, TypeImplTrait, TypePtr, TypeReference, TypeTraitObject};

use super::groups::ungrouped;
use super::owned;
use crate::mistakes::Mistakes;

/// Where a type stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Parameter,
    Return,
    /// The `E` of a returned `Result<T, E>`, which travels as text.
    Failure,
}

/// Checks the type of a parameter, which may be a reference.
pub(super) fn check_parameter(parameter: &Type, mistakes: &mut Mistakes) {
    let Type::Reference(reference) = ungrouped(parameter) else {
        return check(parameter, Place::Parameter, mistakes);
    };
    if let Some(lifetime) = &reference.lifetime
        && lifetime.ident == "static"
    {
        mistakes.on(lifetime, "what a worker is given lives as long as its task: remove `'static`");
    }
    if let Some(mutability) = &reference.mutability {
        let mut tokens = reference.and_token.to_token_stream();
        mutability.to_tokens(&mut tokens);
        if is_part(&reference.elem) {
            let part = owned::text(&reference.elem);
            mistakes.on(
                tokens,
                format_args!("a part of an array is the task's own, and what is written there reaches the parent: take it by value, \
                     `mut part: {part}`"),
            );
        } else {
            mistakes.on(
                tokens,
                "a worker has a copy, so what it changes through `&mut` would be lost: take the value and return the new one \
                 (what a worker keeps from task to task is `#[state]`, the first parameter)",
            );
        }
    }
    check(&reference.elem, Place::Parameter, mistakes);
}

/// Whether it is the type of a part of an array that tasks fill.
fn is_part(ty: &Type) -> bool {
    let Type::Path(path) = ungrouped(ty) else { return false };
    (path.path.segments.last()).is_some_and(|segment| segment.ident == "SharedSliceMut")
}

/// Checks a type and all types in it.
pub(super) fn check(ty: &Type, place: Place, mistakes: &mut Mistakes) {
    Rules { place, mistakes }.visit_type(ty);
}

struct Rules<'a> {
    place: Place,
    mistakes: &'a mut Mistakes,
}

impl<'ast> Visit<'ast> for Rules<'_> {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        let owned = owned::suggestion(&reference.elem);
        match self.place {
            Place::Parameter => self
                .mistakes
                .on(reference, format_args!("a reference inside a type cannot be sent to a worker: write {owned}")),
            Place::Return => self
                .mistakes
                .on(reference, format_args!("a reference means nothing in another process: return {owned}")),
            Place::Failure => {
                let lasts = (reference.lifetime.as_ref()).is_some_and(|lifetime| lifetime.ident == "static");
                if !lasts {
                    self.mistakes.on(reference, format_args!("an error must own what it says: write {owned}"));
                }
            }
        }
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if self.place == Place::Failure && lifetime.ident != "static" {
            self.mistakes
                .on(lifetime, "an error must own what it says: use a type without a lifetime, such as `String`");
        }
    }

    fn visit_type_impl_trait(&mut self, impl_trait: &'ast TypeImplTrait) {
        self.mistakes.on(
            impl_trait,
            match self.place {
                Place::Parameter => {
                    "a worker function cannot be generic: write a type in place of `impl Trait`, such as `Vec<T>` for \
                     an iterator"
                }
                Place::Return | Place::Failure => {
                    "a worker function cannot return `impl Trait`: write the type, and collect an iterator into a `Vec<T>`"
                }
            },
        );
    }

    fn visit_type_trait_object(&mut self, object: &'ast TypeTraitObject) {
        if self.place != Place::Failure {
            self.mistakes.on(
                object,
                "a trait object cannot be sent between processes: write the type itself, or an enum of the types it can be",
            );
        }
    }

    fn visit_type_ptr(&mut self, pointer: &'ast TypePtr) {
        self.mistakes.on(pointer, "a pointer means nothing in another process: write the type of the value itself");
    }

    fn visit_type_fn_ptr(&mut self, pointer: &'ast TypeFnPtr) {
        self.mistakes.on(
            pointer,
            "a function pointer means nothing in another process: write an enum that says which function to call",
        );
    }
}
