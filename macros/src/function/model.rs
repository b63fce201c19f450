//! A worker function as its expansion needs it: plain data, with nothing left to decide.

use proc_macro2::TokenStream;
use syn::{Attribute, Ident, Type, Visibility};

use super::state::State;

/// A worker function that keeps all the rules.
pub(crate) struct Function {
    pub(crate) name: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) attributes: Copied,
    /// The state that the worker keeps, which is no parameter of the struct.
    pub(crate) state: Option<State>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) output: Output,
}

/// The function's attributes that the expansion takes over.
#[derive(Default)]
pub(crate) struct Copied {
    /// `cfg`: on each emitted item.
    pub(crate) conditions: Vec<Attribute>,
    /// `allow`, `warn`, `deny` and `forbid`: on each emitted item.
    pub(crate) lints: Vec<Attribute>,
    /// `deprecated` and `doc(hidden)`: on the struct.
    pub(crate) marks: Vec<Attribute>,
    /// The expansion itself may name what is deprecated.
    pub(crate) deprecated: bool,
}

/// A parameter of the function, and field of the struct.
pub(crate) struct Parameter {
    pub(crate) field: Ident,
    /// Lint attributes of the parameter.
    pub(crate) lints: Vec<Attribute>,
    /// No text shows its arguments.
    pub(crate) redacted: bool,
    pub(crate) owned: OwnedForm,
    pub(crate) passing: Passing,
    /// The type as the user wrote it: errors about it stand here.
    pub(crate) written: TokenStream,
    /// The type with `'__poolmap` for every lifetime: errors about an item name it.
    pub(crate) shown: Type,
}

/// The type that holds an argument on its way to the worker.
pub(crate) enum OwnedForm {
    /// This type.
    Same(Type),
    /// `String`, for `&str`.
    String,
    /// `Vec` of this type, for a slice.
    Vec(Type),
    /// The type that this one is borrowed from: `PathBuf`, `OsString` and `CString` for the standard types of these names, and
    /// for a type of the user's own by such a name that type itself.
    ToOwned(Type),
    /// `Cow<'static, B>`, for a `Cow` of another lifetime, and `B`.
    Cow { owned: Type, borrowed: Box<Type> },
}

/// How the function takes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passing {
    Value,
    Reference,
    /// A `Cow` that is borrowed.
    Cow,
}

/// The return type of the function.
pub(crate) enum Output {
    /// No type is written.
    Nothing,
    /// The value of this type.
    Value(Returned),
    /// The `T` of this `Result<T, E>`.
    Fallible {
        returned: Returned,
        /// Where errors about `T` stand.
        ok_written: TokenStream,
        /// Where errors about `E` stand.
        error_written: TokenStream,
    },
}

/// A returned type.
pub(crate) struct Returned {
    /// With `'static` for every lifetime: for the signature of an item.
    pub(crate) named: Type,
    /// With `'_` for every lifetime: for the body of a function.
    pub(crate) inferred: Type,
    /// The type as the user wrote it.
    pub(crate) written: TokenStream,
}
