//! The engine and the link against a server of their own.

mod cast;
mod figures;
mod flow;
mod loss;
mod raw;
mod refusals;
mod server;
pub(super) mod works;
