//! Beyond one machine: a driver gives tasks to nodes, each of which runs them in a pool of its own. An engine carries them.

#![expect(dead_code, reason = "no engine is attached yet")]

mod dispatcher;
mod driver;
mod engine;
mod form_macros;
mod forms;
mod messages;
mod node;
