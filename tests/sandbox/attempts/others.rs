//! Attempts to learn of other processes, or act on them, without a signal and without their memory: their clocks, their processors,
//! their locks.

use nix::libc::*;

use super::Ends::{Denied, Refused};
use super::{Attempt, attempt, call, parent};

/// The clock of a process, as the kernel numbers it: how much processor time that has taken (clock_getcpuclockid(3)).
fn clock_of(process: usize) -> usize {
    !process << 3 | 2
}

/// A word that says that a process has the lock, and others wait for it.
fn lock_of(process: usize) -> u32 {
    process as u32 | FUTEX_WAITERS
}

fn prctl(option: c_int, argument: usize) -> i64 {
    call(SYS_prctl, [option as usize, argument, 0, 0, 0])
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("the time that the parent has taken", Denied("clock_gettime"), || {
        let mut time = [0_u64; 2];
        call(SYS_clock_gettime, [clock_of(parent()), time.as_mut_ptr().addr()])
    }),
    attempt("the time that init has taken", Denied("clock_gettime"), || {
        let mut time = [0_u64; 2];
        call(SYS_clock_gettime, [clock_of(1), time.as_mut_ptr().addr()])
    }),
    attempt("a sleep by the clock of the parent", Denied("clock_nanosleep"), || {
        let time = [0_u64, 1];
        call(SYS_clock_nanosleep, [clock_of(parent()), 0, time.as_ptr().addr(), 0])
    }),
    attempt("the clock of a device", Denied("clock_gettime"), || {
        let mut time = [0_u64; 2];
        call(SYS_clock_gettime, [!3_usize << 3 | 3, time.as_mut_ptr().addr()])
    }),
    attempt("a lock that the parent would have", Denied("futex"), || {
        let word = lock_of(parent());
        let limit = [0_u64, 1000];
        call(SYS_futex, [(&raw const word).addr(), FUTEX_LOCK_PI as usize, 0, limit.as_ptr().addr(), 0, 0])
    }),
    attempt("a lock of this process alone that the parent would have", Denied("futex"), || {
        let word = lock_of(parent());
        let operation = FUTEX_TRYLOCK_PI | FUTEX_PRIVATE_FLAG;
        call(SYS_futex, [(&raw const word).addr(), operation as usize, 0, 0, 0, 0])
    }),
    attempt("a requeue to a lock with priorities", Denied("futex"), || {
        let words = [0_u32; 2];
        let [first, second] = [&words[0], &words[1]].map(|word| std::ptr::from_ref(word).addr());
        call(SYS_futex, [first, FUTEX_CMP_REQUEUE_PI as usize, 1, 1, second, 0])
    }),
    attempt("a barrier for all processes", Denied("membarrier"), || call(SYS_membarrier, [1, 0, 0])),
    attempt("a barrier for all that asked for it", Denied("membarrier"), || call(SYS_membarrier, [2, 0, 0])),
    attempt("the group of the parent", Denied("getpgid"), || call(SYS_getpgid, [parent()])),
    attempt("the session of the parent", Denied("getsid"), || call(SYS_getsid, [parent()])),
    attempt("how the parent is scheduled", Denied("sched_getattr"), || {
        let mut room = [0_u64; 8];
        call(SYS_sched_getattr, [parent(), room.as_mut_ptr().addr(), 56, 0])
    }),
    attempt("schedule the parent otherwise", Denied("sched_setattr"), || call(SYS_sched_setattr, [parent(), 0, 0])),
    attempt("the policy of the parent", Denied("sched_setscheduler"), || {
        call(SYS_sched_setscheduler, [parent(), SCHED_IDLE as usize, 0])
    }),
    attempt("its own policy", Denied("sched_setscheduler"), || {
        call(SYS_sched_setscheduler, [0, SCHED_FIFO as usize, 0])
    }),
    attempt("how nice the parent is", Denied("getpriority"), || call(SYS_getpriority, [0, parent()])),
    attempt("the parent's turn at the disk", Denied("ioprio_set"), || call(SYS_ioprio_set, [1, parent(), 3 << 13])),
    attempt("the parent's list of locks", Denied("get_robust_list"), || {
        let mut room = [0_u64; 2];
        let [head, length] = [&raw mut room[0], &raw mut room[1]].map(<*mut u64>::addr);
        call(SYS_get_robust_list, [parent(), head, length])
    }),
    attempt("move the parent's pages", Denied("move_pages"), || call(SYS_move_pages, [parent(), 0, 0, 0, 0, 0])),
    attempt("move the parent's memory", Denied("migrate_pages"), || call(SYS_migrate_pages, [parent(), 0, 0, 0])),
    attempt("wait for others", Denied("wait4"), || call(SYS_wait4, [usize::MAX, 0, WNOHANG as usize, 0])),
    attempt("wait by another call", Denied("waitid"), || call(SYS_waitid, [0, 0, 0, 4, 0])),
    attempt("let everybody look in", Denied("prctl"), || prctl(PR_SET_PTRACER, usize::MAX)),
    attempt("another layout of memory", Denied("prctl"), || prctl(PR_SET_MM, PR_SET_MM_BRK as usize)),
    attempt("calls to a handler of its own", Denied("prctl"), || prctl(59, 1)),
    attempt("slack of timers", Denied("prctl"), || prctl(PR_SET_TIMERSLACK, 1)),
    attempt("be the parent of orphans", Denied("prctl"), || prctl(PR_SET_CHILD_SUBREAPER, 1)),
    attempt("keep capabilities", Denied("prctl"), || prctl(PR_SET_KEEPCAPS, 1)),
    attempt("bits of security", Denied("prctl"), || prctl(PR_SET_SECUREBITS, 0)),
    attempt("a capability that stays", Denied("prctl"), || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE as usize)),
    attempt("a group of processors", Denied("prctl"), || prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE as usize)),
    attempt("no clock of the processor", Denied("prctl"), || prctl(PR_SET_TSC, PR_TSC_SIGSEGV as usize)),
    attempt("writer of the disk", Denied("prctl"), || prctl(57, 1)),
    attempt("a name that is none", Refused(EFAULT), || prctl(PR_SET_NAME, 8)),
];
