//! The expansions of the macros: the only place with `quote!`.
//!
//! An expansion names absolute paths only and declares no name that a user could have: locals begin with `__poolmap`,
//! because a `let` of a macro still meets the user's constants of the same name. Every token of ours has a span of the
//! macro's own expansion, located where an error about it should stand: lints then take it for foreign code and leave it
//! alone, with no `allow` that a `forbid` of the user's would refuse.

mod arguments;
mod bound;
mod call;
mod entry;
mod owned;
mod place;
mod refused;
mod registration;
mod worker;

pub(crate) use call::call;
pub(crate) use entry::{main, test};
pub(crate) use worker::worker;
