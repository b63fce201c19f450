//! Signals: to others by the rarer calls, and to itself against the handler that reports denials.

use nix::libc::*;

use super::Ends::{AtLimit, Crashed, Denied, DeniedUnnamed, Passing, Refused};
use super::{Attempt, attempt, call, own, parent, text, wait};

const HERE: usize = AT_FDCWD as isize as usize;
const PAGE: usize = 4096;

/// The number of an `ioctl`, which has another type with each C library.
macro_rules! ioctl {
    ($request:ident) => {
        call(SYS_ioctl, [1, $request as usize, 0])
    };
}

fn open_secret() -> i64 {
    call(SYS_openat, [HERE, text(c"/etc/passwd"), 0])
}

/// Handles a signal.
fn handle(signal: c_int, handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void)) {
    // SAFETY: there is none: it is an attack.
    unsafe {
        let mut action: sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = SA_SIGINFO;
        sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

extern "C" fn nothing(_signal: c_int, _details: *mut siginfo_t, _context: *mut c_void) {}

/// Has all signals blocked from its return on: the kernel takes the mask from the frame on the stack.
extern "C" fn forge_frame(_signal: c_int, _details: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: there is none: it is an attack.
    unsafe { std::ptr::write_bytes(&raw mut (*context.cast::<ucontext_t>()).uc_sigmask, 0xff, 1) };
}

/// Gives the thread another stack for handlers.
fn handle_on(begin: usize, bytes: usize) -> i64 {
    let stack = stack_t { ss_sp: std::ptr::with_exposed_provenance_mut(begin), ss_flags: 0, ss_size: bytes };
    call(SYS_sigaltstack, [(&raw const stack).addr(), 0])
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("queue a signal to a thread", Denied("rt_tgsigqueueinfo"), || {
        let details = [0_u64; 16];
        call(SYS_rt_tgsigqueueinfo, [parent(), parent(), SIGTERM as usize, details.as_ptr().addr()])
    }),
    attempt("a denial that it makes up", Denied("rt_sigqueueinfo"), || {
        // si_signo, si_errno, si_code: the filter's.
        let details = [SIGSYS as u64, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        call(SYS_rt_sigqueueinfo, [own(), SIGSYS as usize, details.as_ptr().addr()])
    }),
    attempt("a timer of the parent's thread", Denied("timer_create"), || {
        // SIGEV_THREAD_ID.
        let event = [0, SIGTERM as u64 | 4 << 32, parent() as u64, 0, 0, 0, 0, 0];
        let mut timer = 0_i32;
        call(SYS_timer_create, [CLOCK_MONOTONIC as usize, event.as_ptr().addr(), (&raw mut timer).addr()])
    }),
    attempt("another signal for a descriptor", Denied("fcntl"), || call(SYS_fcntl, [3, 10, SIGKILL as usize])),
    attempt("a thread as the owner of a descriptor", Denied("fcntl"), || {
        let owner = [0_u32, parent() as u32];
        call(SYS_fcntl, [3, 15, owner.as_ptr().addr()])
    }),
    attempt("signals of a folder", Denied("fcntl"), || call(SYS_fcntl, [3, 1026, 1])),
    attempt("a lease", Denied("fcntl"), || call(SYS_fcntl, [3, F_SETLEASE as usize, 0])),
    attempt("signals when the channel is ready", Denied("ioctl"), || {
        let on = 1_i32;
        call(SYS_ioctl, [3, FIOASYNC as usize, (&raw const on).addr()])
    }),
    attempt("the parent as the owner of the channel", Denied("ioctl"), || {
        let owner = parent() as i32;
        call(SYS_ioctl, [3, 0x8901, (&raw const owner).addr()])
    }),
    attempt("the group of the terminal", Denied("ioctl"), || ioctl!(TIOCSPGRP)),
    attempt("the terminal as its own", Denied("ioctl"), || ioctl!(TIOCSCTTY)),
    attempt("no terminal", Denied("ioctl"), || ioctl!(TIOCNOTTY)),
    attempt("paste into the console", Denied("ioctl"), || {
        // TIOCL_PASTESEL.
        let what = 3_u8;
        call(SYS_ioctl, [1, TIOCLINUX as usize, (&raw const what).addr()])
    }),
    attempt("another discipline of the terminal", Denied("ioctl"), || ioctl!(TIOCSETD)),
    attempt("stop itself", AtLimit, || call(SYS_kill, [own(), SIGSTOP as usize]).max(wait())),
    attempt("wait for the signal of denials", Denied("openat"), || {
        let (set, limit) = (1_u64 << (SIGSYS - 1), [0_u64; 2]);
        call(SYS_rt_sigtimedwait, [(&raw const set).addr(), 0, limit.as_ptr().addr(), 8]);
        call(SYS_openat, [HERE, 8, 0])
    }),
    attempt("a frame with all signals blocked", DeniedUnnamed, || {
        handle(SIGUSR1, forge_frame);
        // To this thread.
        call(SYS_tgkill, [own(), call(SYS_gettid, [0_usize; 0]) as usize, SIGUSR1 as usize]);
        open_secret()
    }),
    // The handlers of both may need more than the stack has.
    attempt("a denial in a storm of alarms", Passing, || {
        handle(SIGALRM, nothing);
        // Every 10 microseconds.
        let times = [0_u64, 10, 0, 10];
        call(SYS_setitimer, [ITIMER_REAL as usize, times.as_ptr().addr(), 0]);
        open_secret()
    }),
    attempt("a storm of alarms", Crashed, || {
        let times = [0_u64, 1, 0, 1];
        call(SYS_setitimer, [ITIMER_REAL as usize, times.as_ptr().addr(), 0]);
        call(SYS_pause, [0_usize; 0])
    }),
    attempt("a denial without a stack for it", Crashed, || {
        handle_on(PAGE, 1 << 16);
        open_secret()
    }),
    attempt("a denial on a stack that is too short for it", Passing, || {
        let no_file = usize::MAX;
        let flags = (MAP_PRIVATE | MAP_ANONYMOUS) as usize;
        let all = call(SYS_mmap, [0, 64 * PAGE, PROT_NONE as usize, flags, no_file, 0]) as usize;
        // The kernel's frame fits, and the handler does not.
        // SAFETY: it asks for a number, AT_MINSIGSTKSZ.
        let (begin, bytes) = (all + 32 * PAGE, unsafe { getauxval(51) } as usize);
        call(SYS_mprotect, [begin, 32 * PAGE, (PROT_READ | PROT_WRITE) as usize]);
        handle_on(begin, bytes);
        open_secret()
    }),
    attempt("no handler of crashes", Crashed, || {
        // SAFETY: there is none: it is an attack.
        unsafe {
            signal(SIGSEGV, SIG_DFL);
            std::ptr::without_provenance_mut::<u8>(8).write_volatile(1);
        }
        0
    }),
    attempt("a crash that is ignored", Crashed, || {
        // SAFETY: there is none: it is an attack.
        unsafe {
            signal(SIGSEGV, SIG_IGN);
            std::ptr::without_provenance_mut::<u8>(8).write_volatile(1);
        }
        0
    }),
    attempt("handle what cannot be handled", Refused(EINVAL), || {
        let action = [0_u64; 4];
        call(SYS_rt_sigaction, [SIGKILL as usize, action.as_ptr().addr(), 0, 8])
    }),
    attempt("an exit with the code of a start that failed", Crashed, || call(SYS_exit_group, [1])),
    attempt("an exit with a code above", Crashed, || call(SYS_exit_group, [0x1_0000])),
];
