//! How a process is ended.

use std::time::Duration;

use crate::sys::ChildProcess;
use crate::transport::ParentChannel;

/// The end of processes that were just killed is looked for this often, and so many times.
const REAP_INTERVAL: Duration = Duration::from_millis(10);
const REAP_ROUNDS_MAX: u32 = 20;

/// A process that is asked where it is before its end has so long for that: a thousand times of what it takes.
const STACK_TIME_MAX: Duration = Duration::from_millis(50);

/// Ends a process that is over a limit, which records first where it is; returns how long it has for that, and is to be killed then.
pub(crate) fn end_with_its_stack(process: &mut ChildProcess) -> Duration {
    if process.end_with_its_stack() { STACK_TIME_MAX } else { Duration::ZERO }
}

/// Kills the process. Where the system refuses that, asks it to end, by the end of its channel: a process that ends with its parent
/// does so.
pub(crate) fn kill(process: &mut ChildProcess, channel: &mut ParentChannel) {
    if process.kill().is_err() {
        channel.hang_up();
    }
}

/// Waits for the end of processes that were just killed, for at most 0.2 s; `are_reaped` reaps them, and returns whether none is left.
///
/// A killed process ends at once, or (in uninterruptible sleep) at a time that nobody knows.
pub(crate) fn await_killed(mut are_reaped: impl FnMut() -> bool) {
    for round in 0..REAP_ROUNDS_MAX {
        if round > 0 {
            std::thread::sleep(REAP_INTERVAL);
        }
        if are_reaped() {
            return;
        }
    }
}
