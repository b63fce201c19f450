//! What a signal does to this process, and how one of its own handlers ends it by a signal. All of it is allowed in a handler.

use nix::libc::{self, c_int};

/// A handler that is told of the signal, and where it has met with the thread.
pub(super) type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);

pub(super) fn default_action() -> libc::sigaction {
    // SAFETY: all zeros is a valid value of this C structure: the default action, no flags, an empty mask.
    unsafe { std::mem::zeroed() }
}

/// The action that calls a handler of ours, on the thread's other stack where it has one.
pub(super) fn action_of(handler: Handler) -> libc::sigaction {
    let mut action = default_action();
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    action
}

/// Sets what a signal does, if that is given, and returns what it did before.
pub(super) fn exchange(signal: c_int, action: Option<&libc::sigaction>) -> libc::sigaction {
    let action = action.map_or(std::ptr::null(), std::ptr::from_ref);
    let mut previous = default_action();
    // SAFETY: both pointers are to structures that live through the call, or null, which is allowed. An action is the default, one
    // that was there before, or a handler of ours, which does nothing but what is allowed in one. It fails for numbers that are no
    // signals only.
    unsafe { libc::sigaction(signal, action, &raw mut previous) };
    previous
}

/// Lets these signals reach this thread, and returns what it had blocked before.
pub(super) fn unblock(signals: &[c_int]) -> libc::sigset_t {
    // SAFETY: the sets are room of ours, which the calls fill; the numbers are those of signals. pthread_sigmask(3) is allowed in a
    // handler.
    unsafe {
        let mut set = std::mem::zeroed();
        let mut previous = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, &raw mut previous);
        previous
    }
}

/// Lets this thread block what it had blocked before.
pub(super) fn block_again(previous: &libc::sigset_t) {
    // SAFETY: the set was filled by `unblock`, and a null pointer is allowed for the set that is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, previous, std::ptr::null_mut()) };
}

/// Ends the process by a signal that is being handled, once its handler returns: by the default action. A fault comes again by
/// itself.
pub(super) fn end_by(signal: c_int, is_sent: bool) {
    exchange(signal, Some(&default_action()));
    if is_sent {
        raise(signal);
    }
}

/// Ends the process by a signal at once, also where this thread has blocked it.
pub(super) fn end_at_once_by(signal: c_int) {
    exchange(signal, Some(&default_action()));
    unblock(&[signal]);
    raise(signal);
}

/// Sends a signal to this thread; where the system refuses that, to this process; and ends it where that is refused too.
fn raise(signal: c_int) {
    // SAFETY: both send a signal to this process, whose default action was set, and touch no memory of ours; the third takes a
    // number, and does not return. All three are allowed in a handler.
    unsafe {
        if libc::raise(signal) != 0 && libc::kill(libc::getpid(), signal) != 0 {
            libc::_exit(SHELL_SIGNALED + signal);
        }
    }
}

/// A shell adds this to the number of a signal that ended a program.
const SHELL_SIGNALED: c_int = 128;
