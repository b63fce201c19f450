//! One call in a process of its own: `Process`, its handle, and the thread that looks after all of them.

mod active;
mod builder;
mod end;
mod handle;
mod reaper;
mod started;

pub use active::{ProcessInfo, active_children};
pub use builder::Process;
pub use handle::ProcessHandle;
pub(crate) use reaper::wait_for_children;
