//! What this process takes from its environment, and the one change that it makes to it.

use std::ffi::OsString;

/// The environment variable that says to a process that it is a worker, and of which process.
pub(crate) const WORKER_VARIABLE: &str = "_POOLMAP_WORKER_OF";

/// Whether this process has more rights than the user who started it (set-user-ID, set-group-ID, file capabilities): nothing
/// that this user says may steer it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_secure() -> bool {
    use nix::libc;

    // SAFETY: the call reads what the kernel gave this process at its start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn is_secure() -> bool {
    // SAFETY: the call has no arguments, and asks the kernel for a flag of this process.
    unsafe { nix::libc::issetugid() != 0 }
}

/// A variable of the environment; none in a process of more rights than its user has.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|_| !is_secure())
}

/// Takes a variable out of this process's environment. In a process of more rights than its user has, it gives none.
///
/// It is called while a worker enters: first thing in `main`, or in the one test that the worker was started for, while
/// libtest's own thread waits for that test.
pub(crate) fn take_variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: no other thread may read the environment by other means than std's, which locks it. In `main`, `init()` asks in
    // its documentation that there is none; in a test, the only other thread is libtest's, which does nothing but wait for the
    // test that this call is the first line of.
    unsafe { std::env::remove_var(name) };
    Some(value).filter(|_| !is_secure())
}
