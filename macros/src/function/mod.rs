//! A worker function: what is read of it, the rules that it must keep, and the model that its expansion is written from.

mod attributes;
mod check;
mod enclosing;
mod groups;
mod marks;
mod model;
mod names;
mod owned;
mod parse;
mod redaction;
mod returned;
mod state;
mod types;

pub(crate) use check::check;
pub(crate) use marks::without_marks;
pub(crate) use model::{Function, Output, OwnedForm, Parameter, Passing};
pub(crate) use owned::names_number;
pub(crate) use parse::{Refused, parse};
pub(crate) use state::State;
