//! The engine over NATS: JetStream keeps the work and its outcomes, so nodes may come and go, and a task outlives the node that had it.
//!
//! Words: a *session* is one driver's, from its connection to its end. A *work* is what the dispatcher sends, by its number. A *send* is
//! one publishing of a work: a work that is sent again has a number of its own for that, and so a message id of its own.
//!
//! 1. The driver keeps each work until all of its outcomes are there. The server never has the only copy: what it loses is published
//!    again.
//! 2. An agent acknowledges a work when the server has its outcomes, and not before. A crash between the two repeats outcomes, and the
//!    dispatcher drops those.
//! 3. A message that is published again without a need has the message id of the first, and the server drops it.
//! 4. Everything that is asked of the server is asked again until it answers; only the first connection may fail.

mod agent_tasks;
mod agents;
mod bodies;
mod chores;
mod connection;
mod courier;
mod engine;
mod forms;
mod gc;
mod held;
mod keeper;
mod lane;
mod link;
mod membership;
mod names;
mod notices;
mod options;
mod outstanding;
mod poster;
mod pulls;
mod results;
mod session;
mod sessions;
mod shares;
mod streams;
#[cfg(test)]
mod tests;

pub use self::gc::gc;
pub(super) use self::{engine::NatsEngine, link::NatsLink, options::NatsOptions};
