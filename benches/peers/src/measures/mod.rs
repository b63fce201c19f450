//! What is measured of poolmap beside the workloads, each in a process of its own, which prints lines of a name and a number.

mod apart;
mod break_even;
mod cost;
mod cpu;
mod latency;
mod list;
pub mod load;
mod memory;
mod recorded;
mod start;
mod threads;
mod warm;

pub use apart::STARTED;
pub use cpu::CROWD;
pub use list::{ALL, Often, run};
pub use memory::{FLIGHT_BYTES, FLIGHT_VALUES};
pub use recorded::RECORDED;
pub use start::STARTS;
pub use warm::{METHODS, PRELOADED_BYTES, PRELOADED_WORKERS};
