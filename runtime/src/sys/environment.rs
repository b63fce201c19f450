//! The environment of this process: the variables that it reads, and the one that it removes.

use std::ffi::{CStr, OsString, c_char};
use std::sync::atomic::{AtomicPtr, Ordering};

/// The environment variable that says to a process that it is a worker, and of which process.
pub(crate) const WORKER_VARIABLE: &str = "_POOLMAP_WORKER_OF";

/// Whether this process has more rights than the user who started it (set-user-ID, set-group-ID, file capabilities): nothing
/// that this user says may steer it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_secure() -> bool {
    use nix::libc;

    // Miri does not know the call.
    // SAFETY: the call reads what the kernel gave this process at its start.
    !cfg!(miri) && unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
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
pub(crate) fn take_variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    leave_out(name);
    Some(value).filter(|_| !is_secure())
}

/// Exchanges the environment for one without this variable. What another thread reads at this moment, of Rust or of C, stays as it
/// is: nothing of the old list is changed, and nothing of it is freed.
fn leave_out(name: &str) {
    // SAFETY: it is the C library's variable, a pointer, which lives as long as the process. Others may read it meanwhile: it is
    // written in one piece. A thread that writes it at the same time has promised that no other uses the environment (`set_var`).
    let environment = unsafe { AtomicPtr::from_ptr(environ()) };
    let old = environment.load(Ordering::Acquire);
    let mut kept = Vec::new();
    for place in 0.. {
        if old.is_null() {
            break;
        }
        // SAFETY: the list ends with a null pointer, behind which nothing is read, and holds strings that end with a zero byte.
        let entry = unsafe { *old.add(place) };
        if entry.is_null() {
            break;
        }
        // SAFETY: as above.
        let text = unsafe { CStr::from_ptr(entry) }.to_bytes();
        if text.strip_prefix(name.as_bytes()).is_none_or(|rest| rest.first() != Some(&b'=')) {
            kept.push(entry);
        }
    }
    kept.push(std::ptr::null_mut());
    environment.store(Box::leak(kept.into_boxed_slice()).as_mut_ptr(), Ordering::Release);
}

/// Where the C library keeps the list of the environment.
#[cfg(not(target_vendor = "apple"))]
fn environ() -> *mut *mut *mut c_char {
    unsafe extern "C" {
        static mut environ: *mut *mut c_char;
    }
    &raw mut environ
}

#[cfg(target_vendor = "apple")]
fn environ() -> *mut *mut *mut c_char {
    // SAFETY: the call has no arguments and tells an address.
    unsafe { nix::libc::_NSGetEnviron() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_gone_and_the_rest_stays() {
        // SAFETY: the other tests of this program use the environment by std alone, which locks it.
        let set = |name, value| unsafe { std::env::set_var(name, value) };
        set("POOLMAP_TAKEN", "1=2");
        set("POOLMAP_TAKEN_NOT", "3");
        assert_eq!(take_variable("POOLMAP_TAKEN"), Some("1=2".into()));
        assert_eq!(std::env::var_os("POOLMAP_TAKEN"), None);
        assert_eq!(take_variable("POOLMAP_TAKEN"), None);
        assert_eq!(std::env::var_os("POOLMAP_TAKEN_NOT"), Some("3".into()));
        set("POOLMAP_TAKEN", "4");
        assert_eq!(std::env::var_os("POOLMAP_TAKEN"), Some("4".into()));
    }
}
