//! Whether this system has the walls of a sandbox. It changes nothing.

/// Whether a worker of this build can enter a sandbox.
#[cfg(feature = "sandbox")]
pub(crate) const HAS_SANDBOX: bool = cfg!(poolmap_sandbox);

/// The version of landlock(7) that this process may use.
#[cfg(poolmap_sandbox)]
pub(crate) fn landlock_version() -> Option<u32> {
    use nix::libc;

    const VERSION: libc::c_uint = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag, no rules and a size of 0 the call returns a number and reads nothing.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) };
    u32::try_from(version).ok().filter(|version| *version > 0)
}

/// Whether this process may have its system calls filtered, with the answers that a sandbox needs.
#[cfg(poolmap_sandbox)]
pub(crate) fn can_filter_calls() -> bool {
    has_action(nix::libc::SECCOMP_RET_TRAP)
}

/// Whether the kernel asks a process about the calls of another.
#[cfg(poolmap_sandbox)]
pub(crate) fn can_ask_about_calls() -> bool {
    has_action(nix::libc::SECCOMP_RET_USER_NOTIF)
}

#[cfg(poolmap_sandbox)]
fn has_action(action: u32) -> bool {
    use nix::libc;

    // SAFETY: the call reads the number that the pointer is to, which lives through it, and changes nothing.
    let found = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0 as libc::c_uint, &raw const action)
    };
    found == 0
}

#[cfg(all(feature = "sandbox", not(poolmap_sandbox)))]
pub(crate) fn landlock_version() -> Option<u32> {
    None
}

#[cfg(all(feature = "sandbox", not(poolmap_sandbox)))]
pub(crate) fn can_filter_calls() -> bool {
    false
}

#[cfg(all(feature = "sandbox", not(poolmap_sandbox)))]
pub(crate) fn can_ask_about_calls() -> bool {
    false
}

/// Does something of ours in which a denied call would be an error; nothing is denied.
#[cfg(not(poolmap_sandbox))]
pub(crate) fn excused<T>(run: impl FnOnce() -> T) -> T {
    run()
}

/// Lets a thread that blocks all signals answer; nobody asks.
#[cfg(not(poolmap_sandbox))]
pub(crate) fn answer_confinement() {}
