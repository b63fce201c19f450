//! The worker's side: enters, serves tasks until its parent is done with it or gone, and answers who it is. It meets the
//! pool in wire, transport and functions only.

mod current;
mod fork_server;
mod in_process;
mod panic;
mod replay;
mod ring_server;
mod run;
mod sandbox;
mod seed;
mod segments;
mod socket_server;
mod start;
mod welcome;

pub use current::current_worker;
pub(crate) use in_process::run_in_process;
pub(crate) use replay::replay_if_asked;
pub use seed::task_seed;
pub(crate) use start::run;
