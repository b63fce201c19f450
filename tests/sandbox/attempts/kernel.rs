//! The kernel's larger interfaces, and the ways around a filter: other tables of calls, other signals, other personalities.

use nix::libc::*;

use super::Ends::{Denied, DeniedPath, DeniedUnnamed, Returns};
use super::{Attempt, attempt, call, mappings, text};

const HERE: usize = AT_FDCWD as isize as usize;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("io_uring", Denied("io_uring_setup"), || {
        let mut parameters = [0_u64; 32];
        call(SYS_io_uring_setup, [8, parameters.as_mut_ptr().addr()])
    }),
    attempt("io_uring that is there", Denied("io_uring_enter"), || call(SYS_io_uring_enter, [3, 1, 0, 0, 0, 0])),
    attempt("aio", Denied("io_setup"), || call(SYS_io_setup, [1, 0])),
    attempt("bpf", Denied("bpf"), || call(SYS_bpf, [0, 0, 0])),
    attempt("userfaultfd", Denied("userfaultfd"), || call(SYS_userfaultfd, [0])),
    attempt("perf", Denied("perf_event_open"), || call(SYS_perf_event_open, [0, 0, 0, 0, 0])),
    attempt("keys", Denied("keyctl"), || call(SYS_keyctl, [0, 0, 0])),
    attempt("a key", Denied("add_key"), || call(SYS_add_key, [text(c"user"), text(c"a"), 0, 0, 0])),
    attempt("a key of others", Denied("request_key"), || call(SYS_request_key, [text(c"user"), text(c"a"), 0, 0])),
    attempt("another personality", Denied("personality"), || call(SYS_personality, [0x0040_0000])),
    attempt("a filter of its own", Denied("seccomp"), || call(SYS_seccomp, [1, 0, 0])),
    attempt("a filter by the old call", Denied("prctl"), || call(SYS_prctl, [PR_SET_SECCOMP as usize, 2, 0])),
    attempt("rules of its own", Denied("landlock_create_ruleset"), || call(SYS_landlock_create_ruleset, [0, 0, 1])),
    attempt("input of the terminal", Denied("ioctl"), || {
        let key = b'x';
        call(SYS_ioctl, [1, TIOCSTI as usize, (&raw const key).addr()])
    }),
    attempt("the size of the terminal", Denied("ioctl"), || {
        let mut size = [0_u16; 4];
        call(SYS_ioctl, [1, TIOCGWINSZ as usize, size.as_mut_ptr().addr()])
    }),
    attempt("a module", Denied("init_module"), || call(SYS_init_module, [0, 0, 0])),
    attempt("another kernel", Denied("kexec_load"), || call(SYS_kexec_load, [0, 0, 0, 0])),
    attempt("a reboot", Denied("reboot"), || call(SYS_reboot, [0, 0, 0, 0])),
    attempt("the kernel's log", Denied("syslog"), || call(SYS_syslog, [10, 0, 0])),
    attempt("ports of devices", Denied("iopl"), || call(SYS_iopl, [3])),
    attempt("segments", Denied("modify_ldt"), || call(SYS_modify_ldt, [0, 0, 0])),
    attempt("arch_prctl", Denied("arch_prctl"), || call(SYS_arch_prctl, [0x1011, 0])),
    attempt("the clock", Denied("clock_settime"), || call(SYS_clock_settime, [0, 0])),
    attempt("adjtimex", Denied("adjtimex"), || call(SYS_adjtimex, [0])),
    attempt("the name of the host", Denied("sethostname"), || call(SYS_sethostname, [text(c"a"), 1])),
    attempt("the system's name", Denied("uname"), || call(SYS_uname, [0])),
    attempt("accounting", DeniedPath("acct", "/tmp/a"), || call(SYS_acct, [text(c"/tmp/a")])),
    attempt("epoll", Denied("epoll_create1"), || call(SYS_epoll_create1, [0])),
    attempt("eventfd", Denied("eventfd2"), || call(SYS_eventfd2, [0, 0])),
    attempt("signalfd", Denied("signalfd4"), || call(SYS_signalfd4, [usize::MAX, 0, 8, 0])),
    attempt("timerfd", Denied("timerfd_create"), || call(SYS_timerfd_create, [1, 0])),
    attempt("a timer with a signal", Denied("timer_create"), || call(SYS_timer_create, [0, 0, 0])),
    attempt("a call that is none", Denied("system call 9999"), || call(9999, [0_usize; 0])),
    attempt("a call of x32", Denied("x32 system call 0"), || call(0x4000_0000, [0_usize; 0])),
    attempt("a call of 32 bits", DeniedUnnamed, || {
        let result: i32;
        // SAFETY: there is none: it is an attack. (exit would be 1; this is getpid of the other table.)
        unsafe { std::arch::asm!("int 0x80", inlateout("eax") 20 => result, options(nostack)) };
        i64::from(result)
    }),
    attempt("a call of the old page", Returns(0), vsyscall),
    attempt("another handler of denials", Denied("rt_sigaction"), || {
        let action = [0_u64; 4];
        call(SYS_rt_sigaction, [SIGSYS as usize, action.as_ptr().addr(), 0, 8])
    }),
    attempt("a mask that has the denials", DeniedPath("openat", "/etc/passwd"), || {
        let all = u64::MAX;
        call(SYS_rt_sigprocmask, [SIG_SETMASK as usize, (&raw const all).addr(), 0, 8]);
        call(SYS_openat, [HERE, text(c"/etc/passwd"), 0])
    }),
    attempt("denials in a handler that blocks them", DeniedUnnamed, || {
        // SAFETY: there is none: it is an attack.
        unsafe {
            let mut action: sigaction = std::mem::zeroed();
            action.sa_sigaction = open_in_handler as *const () as usize;
            sigfillset(&raw mut action.sa_mask);
            sigaction(SIGUSR1, &raw const action, std::ptr::null_mut());
            raise(SIGUSR1);
        }
        0
    }),
    attempt("an abort behind a denial", Denied("getcwd"), || {
        let _ = call(SYS_getcwd, [0, 0]);
        std::process::abort()
    }),
];

extern "C" fn open_in_handler(_signal: c_int) {
    call(SYS_openat, [HERE, text(c"/etc/passwd"), 0]);
}

/// The page at the end of the addresses has three calls, which all may make: this is the time. Some systems do not have it.
fn vsyscall() -> i64 {
    if !mappings().iter().any(|mapping| mapping.name == "[vsyscall]") {
        return 0;
    }
    // SAFETY: the page is mapped, and its second function takes a pointer, which may be null.
    unsafe {
        let time: extern "C" fn(*mut i64) -> i64 = std::mem::transmute(0xffff_ffff_ff60_0400_u64 as usize);
        i64::from(time(std::ptr::null_mut()) <= 0)
    }
}
