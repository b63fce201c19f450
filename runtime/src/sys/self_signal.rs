//! How a process ends or stops itself from outside, as it were: for the suite's failpoints.

use nix::sys::signal::{Signal, kill, raise};

/// Ends this process by SIGKILL.
pub(crate) fn kill_self() -> ! {
    let _ = kill(nix::unistd::getpid(), Signal::SIGKILL);
    unreachable!("the signal cannot be refused")
}

/// Stops this process by SIGSTOP until it is continued.
pub(crate) fn stop_self() {
    let _ = raise(Signal::SIGSTOP);
}
