//! The signal by which a parent ends a worker whose task is over its limit, and asks it first where it is.
//!
//! 1. It is SIGSTKFLT: the kernel sends it to nobody, no library is known to use it, and its default action is the end of the
//!    process. So a worker that has no handler for it yet ends by it at once. Where a program has set a handler before `init()`, or sets
//!    one in a task, that one stays.
//! 2. The handler records the calls of the thread that runs the tasks, passing the signal on to it, and ends the process by a SIGKILL.
//!    The parent waits for that end for a bounded time, and then kills: a process that is stopped or blocks the signal ends then.
//! 3. Only the parent is heeded: sent by another, the signal does what it does by default.

use nix::libc;

/// The signal, where the system has it.
#[cfg(all(target_os = "linux", not(any(target_arch = "mips", target_arch = "mips64", target_arch = "sparc64"))))]
pub(super) const STACK_REQUEST: Option<libc::c_int> = Some(libc::SIGSTKFLT);
#[cfg(not(all(target_os = "linux", not(any(target_arch = "mips", target_arch = "mips64", target_arch = "sparc64")))))]
pub(super) const STACK_REQUEST: Option<libc::c_int> = None;

/// The thread that is asked.
#[derive(Clone, Copy)]
pub(super) struct AskedThread(libc::pthread_t);

// SAFETY: it is a number, or an address that is not followed here. The thread that it names lives as long as the process.
unsafe impl Send for AskedThread {}
// SAFETY: as above.
unsafe impl Sync for AskedThread {}

impl AskedThread {
    /// This thread, which lives as long as the process.
    pub(super) fn this() -> Self {
        // SAFETY: it asks for the number of this thread, and touches no memory of ours.
        Self(unsafe { libc::pthread_self() })
    }

    pub(super) fn is_this(self) -> bool {
        // SAFETY: as above; both are threads of this process.
        unsafe { libc::pthread_equal(self.0, libc::pthread_self()) != 0 }
    }

    /// Passes the signal on to the thread.
    pub(super) fn pass_on(self, signal: libc::c_int) {
        // SAFETY: the thread lives as long as the process. pthread_kill(3) is allowed in a handler.
        unsafe { libc::pthread_kill(self.0, signal) };
    }
}
