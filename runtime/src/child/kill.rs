//! How a process is ended.

use crate::sys::ChildProcess;
use crate::transport::Link;

/// Kills the process. Where the system refuses that, asks it to end, by the end of its channel: a process that ends with its parent
/// does so.
pub(crate) fn kill(process: &mut ChildProcess, link: &mut Link) {
    if process.kill().is_err() {
        link.hang_up();
    }
}
