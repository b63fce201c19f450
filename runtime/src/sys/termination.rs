//! Whether this process was asked to end, by a SIGTERM that it looks for itself.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static IS_ASKED: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(_signal: c_int) {
    IS_ASKED.store(true, Ordering::Relaxed);
}

/// Notes each SIGTERM from now on, in the place of ending by it.
pub(crate) fn watch_termination() {
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler stores to an atomic, which a handler of signals may do.
    let _ = unsafe { sigaction(Signal::SIGTERM, &action) };
}

/// Whether there was a SIGTERM since they are noted.
pub(crate) fn is_asked_to_end() -> bool {
    IS_ASKED.load(Ordering::Relaxed)
}
