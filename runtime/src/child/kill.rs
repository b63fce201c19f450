//! How a process is ended.

use crate::sys::ChildProcess;
use crate::transport::ParentChannel;

/// Kills the process. Where the system refuses that, asks it to end, by the end of its channel: a process that ends with its parent
/// does so.
pub(crate) fn kill(process: &mut ChildProcess, channel: &mut ParentChannel) {
    if process.kill().is_err() {
        channel.hang_up();
    }
}
