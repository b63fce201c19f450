//! The engine and the link against a server of their own.

mod cast;
mod credentials;
mod dead_drivers;
mod figures;
mod flow;
mod keys;
mod loss;
mod raw;
mod refusals;
mod server;
pub(super) mod works;
