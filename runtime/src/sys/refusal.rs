//! The meaning of an error of the system where a process, a thread or a descriptor was asked for, and what helps. It does not know
//! what was to be started.

use std::io;

use nix::libc;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// Says that something could not be started, why, and what to do about it.
pub(crate) fn start_error(what: &str, error: &io::Error) -> String {
    format!("{what} could not be started: {}", explained(error))
}

/// An error with its remedy, where one is known.
pub(crate) fn explained(error: &io::Error) -> String {
    match error.raw_os_error().and_then(remedy) {
        Some(remedy) => format!("{error}: {remedy}"),
        None => error.to_string(),
    }
}

/// The descriptors that a start opens for a moment. musl's posix_spawn has a pipe of its own.
const START_DESCRIPTORS: u32 = if cfg!(target_env = "musl") { 5 } else { 3 };

fn remedy(number: i32) -> Option<String> {
    Some(match number {
        libc::EMFILE => format!(
            "this process has no descriptor left (`ulimit -n` is {}; a pool takes 6, each of its workers 2, a Process 2, and a \
             start {START_DESCRIPTORS} for a moment): raise the limit, or start fewer",
            limit(Resource::RLIMIT_NOFILE),
        ),
        libc::ENFILE => "the system has no descriptor left: raise /proc/sys/fs/file-max, or start fewer".to_owned(),
        libc::EAGAIN => format!(
            "there are as many processes and threads as are allowed (`ulimit -u` is {}; pids.max of the cgroup; \
             /proc/sys/kernel/threads-max): raise the limit, or start fewer",
            processes_max(),
        ),
        libc::ENOMEM => "the system has no memory left for it, or promises no more (/proc/sys/vm/overcommit_memory, \
                         `ulimit -v`): start fewer"
            .to_owned(),
        libc::E2BIG => {
            "the environment and the arguments of this program, which a new process is given, are longer than \
                        allowed (a quarter of `ulimit -s` in all, 128 KiB each): make them shorter"
                .to_owned()
        }
        libc::ENOENT | libc::ENOTDIR => {
            "the program's file and its loader must be there, after a chroot too, and /proc \
                                         must be mounted"
                .to_owned()
        }
        libc::EACCES => {
            "the program's file must be executable for this user, on a file system that is not mounted with \
                         noexec, and the current folder must be accessible"
                .to_owned()
        }
        libc::EPERM => {
            "a sandbox (seccomp, a security module) or a mount with noexec forbids it: allow new processes".to_owned()
        }
        libc::EINVAL | libc::ENOSYS => {
            "the system refused the call itself: look for a sandbox (seccomp), or an emulator, that \
                                        does not know it"
                .to_owned()
        }
        _ => return None,
    })
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn processes_max() -> String {
    limit(Resource::RLIMIT_NPROC)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn processes_max() -> String {
    "not known".to_owned()
}

fn limit(resource: Resource) -> String {
    match getrlimit(resource) {
        Ok((RLIM_INFINITY, _)) => "unlimited".to_owned(),
        Ok((soft, _)) => soft.to_string(),
        Err(_) => "not known".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_own_cause_and_remedy() {
        let said = |number| start_error("worker 3", &io::Error::from_raw_os_error(number));
        let named = [
            (libc::EMFILE, "`ulimit -n`"),
            (libc::ENFILE, "file-max"),
            (libc::EAGAIN, "`ulimit -u`"),
            (libc::ENOMEM, "memory"),
            (libc::E2BIG, "environment"),
            (libc::ENOENT, "/proc"),
            (libc::EACCES, "noexec"),
            (libc::EPERM, "seccomp"),
            (libc::EINVAL, "sandbox"),
        ];
        for (number, word) in named {
            let said = said(number);
            assert!(said.starts_with("worker 3 could not be started: ") && said.contains(word), "{said}");
            assert!(!said.contains("init()"), "{said}");
        }
        assert!(!said(libc::ENOMEM).contains("ulimit -n") && !said(libc::E2BIG).contains("ulimit -u"));
        assert!(said(libc::EIO).ends_with("(os error 5)"));
    }
}
