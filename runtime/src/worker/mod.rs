//! The worker's side: enters, serves tasks until its parent is done with it or gone, and answers who it is. It meets the
//! pool in wire, transport and registry only.

mod by_memory;
mod by_socket;
mod current;
mod memory;
mod panic;
mod run;
mod seed;
mod serve;

pub use current::current_worker;
pub use seed::task_seed;
pub(crate) use serve::run;
