//! Other processes, and more of this one.

use nix::libc::*;

use super::Ends::{Crashed, Denied, DeniedPath, DeniedSomehow};
use super::{Attempt, attempt, call, parent, text};

const THREAD_FLAGS: c_int = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("kill the parent", Denied("kill"), || call(SYS_kill, [parent(), SIGKILL as usize])),
    attempt("is the parent there", Denied("kill"), || call(SYS_kill, [parent(), 0])),
    attempt("kill everybody", Denied("kill"), || call(SYS_kill, [usize::MAX, SIGKILL as usize])),
    attempt("kill the group", Denied("kill"), || call(SYS_kill, [0, SIGTERM as usize])),
    attempt("kill init", Denied("kill"), || call(SYS_kill, [1, SIGTERM as usize])),
    attempt("a thread of the parent", Denied("tgkill"), || call(SYS_tgkill, [parent(), parent(), SIGKILL as usize])),
    attempt("tkill", Denied("tkill"), || call(SYS_tkill, [parent(), SIGKILL as usize])),
    attempt("queue a signal", Denied("rt_sigqueueinfo"), || {
        let details = [0_u64; 16];
        call(SYS_rt_sigqueueinfo, [parent(), SIGTERM as usize, details.as_ptr().addr()])
    }),
    attempt("a descriptor of the parent's process", Denied("pidfd_open"), || call(SYS_pidfd_open, [parent(), 0])),
    attempt("a signal by a descriptor", Denied("pidfd_send_signal"), || call(SYS_pidfd_send_signal, [0, 9, 0, 0])),
    attempt("take a descriptor", Denied("pidfd_getfd"), || call(SYS_pidfd_getfd, [0, 0, 0])),
    attempt("signals of descriptors", Denied("fcntl"), || call(SYS_fcntl, [1, F_SETOWN as usize, parent()])),
    attempt("trace the parent", Denied("ptrace"), || call(SYS_ptrace, [PTRACE_ATTACH as usize, parent(), 0, 0])),
    attempt("be traced", Denied("ptrace"), || call(SYS_ptrace, [PTRACE_TRACEME as usize, 0, 0, 0])),
    attempt("read the parent", Denied("process_vm_readv"), || call(SYS_process_vm_readv, [parent(), 0, 0, 0, 0, 0])),
    attempt("write the parent", Denied("process_vm_writev"), || call(SYS_process_vm_writev, [parent(), 0, 0, 0, 0, 0])),
    attempt("advise on the parent", Denied("process_madvise"), || call(SYS_process_madvise, [0, 0, 0, 0, 0])),
    attempt("kcmp", Denied("kcmp"), || call(SYS_kcmp, [parent(), parent(), 0, 0, 0])),
    attempt("the priority of the parent", Denied("setpriority"), || call(SYS_setpriority, [0, parent(), 19])),
    attempt("the processors of the parent", Denied("sched_setaffinity"), || {
        call(SYS_sched_setaffinity, [parent(), 0, 0])
    }),
    attempt("the limits of the parent", Denied("prlimit64"), || {
        let mut room = [0_u64; 2];
        call(SYS_prlimit64, [parent(), 0, 0, room.as_mut_ptr().addr()])
    }),
    attempt("execve", DeniedPath("execve", "/bin/sh"), || call(SYS_execve, [text(c"/bin/sh"), 0, 0])),
    attempt("a program by std", DeniedSomehow, || i64::from(std::process::Command::new("/bin/true").status().is_ok())),
    attempt("execveat", Denied("execveat"), || call(SYS_execveat, [3, text(c""), 0, 0, AT_EMPTY_PATH as usize])),
    attempt("fork", Denied("fork"), || call::<0>(SYS_fork, [])),
    attempt("vfork", Denied("vfork"), || call::<0>(SYS_vfork, [])),
    attempt("a bomb of forks", Denied("clone"), || {
        loop {
            call(SYS_clone, [SIGCHLD as usize, 0, 0, 0, 0]);
        }
    }),
    attempt("clone with new namespaces", Denied("clone"), || {
        call(SYS_clone, [(CLONE_NEWUSER | CLONE_NEWNET) as usize])
    }),
    attempt("a raw thread", Denied("clone"), || call(SYS_clone, [THREAD_FLAGS as usize, 0, 0, 0, 0])),
    attempt("clone3", Denied("clone3"), || {
        let arguments = [0_u64; 11];
        call(SYS_clone3, [arguments.as_ptr().addr(), 88])
    }),
    attempt("a thread by std", DeniedSomehow, || i64::from(std::thread::Builder::new().spawn(|| ()).is_ok())),
    attempt("unshare", Denied("unshare"), || call(SYS_unshare, [CLONE_NEWUSER as usize])),
    attempt("setns", Denied("setns"), || call(SYS_setns, [3, 0])),
    attempt("a session", Denied("setsid"), || call::<0>(SYS_setsid, [])),
    attempt("another group", Denied("setpgid"), || call(SYS_setpgid, [0, 0])),
    attempt("setuid", Denied("setuid"), || call(SYS_setuid, [0])),
    attempt("setresgid", Denied("setresgid"), || call(SYS_setresgid, [0, 0, 0])),
    attempt("setgroups", Denied("setgroups"), || call(SYS_setgroups, [0, 0])),
    attempt("capabilities", Denied("capset"), || call(SYS_capset, [0, 0])),
    attempt("outlive the parent", Denied("prctl"), || call(SYS_prctl, [PR_SET_PDEATHSIG as usize, 0])),
    attempt("be looked into", Denied("prctl"), || call(SYS_prctl, [PR_SET_DUMPABLE as usize, 1])),
    attempt("speculation", Denied("prctl"), || call(SYS_prctl, [PR_SET_SPECULATION_CTRL as usize, 0, 0])),
    attempt("its own end", Crashed, || call(SYS_kill, [std::process::id() as usize, SIGKILL as usize])),
    attempt("an exit", Crashed, || call(SYS_exit_group, [0])),
];
