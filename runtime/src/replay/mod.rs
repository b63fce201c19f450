//! Tasks that failed, in files: each can be run once more in one process, under a debugger.
//!
//! - A *saved task* is the call of a worker function with its arguments, and what it died of.
//! - The *folder* is that of the option `save_failed`. No file in it is overwritten.
//! - To *replay* is to run a saved task in a process that is no worker (`worker::replay`).

mod folder;
mod format;

pub(crate) use folder::{FailedFunction, FailedTask, FailedTasks};
pub(crate) use format::SavedTask;

/// The variable that names the file to replay.
pub(crate) const VARIABLE: &str = "POOLMAP_REPLAY";
