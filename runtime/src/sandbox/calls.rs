//! The system calls that a worker in a sandbox may make, and with which arguments: first what every worker needs, then what each opener
//! adds. It knows nothing of how a filter is made of them.
//!
//! 1. A call is here if a worker of ours, the C library or std makes it for a task that only computes. It acts on the worker alone, or on
//!    descriptors that it has.
//! 2. An argument that is a pointer cannot be checked by the kernel's filter. So a call whose pointer decides what it does is not here:
//!    `clone3`, `openat2`. Calls that take a path are here only where Landlock stands behind them.
//! 3. Some that are missing here are answered by the handler of the signal that the filter sends (`sys/sandbox_trap`): they are common,
//!    and their harmless form is known by what a pointer points to.

use super::policy::{PathAccess, Sandbox};

/// A condition on an argument, by its place; the lower 32 bits count but for [`ArgumentCheck::Whole`].
#[derive(Clone, Copy, Debug)]
pub(super) enum ArgumentCheck {
    Is(u8, u64),
    IsNot(u8, u64),
    /// All 64 bits.
    Whole(u8, u64),
    /// Of these bits, these are set, and no other.
    Bits(u8, u64, u64),
    /// It is the number of this process.
    IsOwnPid(u8),
    /// It is no descriptor by which the worker prints: these are open files that the program, its terminal's other users and the shell
    /// have too.
    IsNotOutput(u8),
}

/// A call, and the checks of which all must hold. A call that is listed more than once needs to pass one of them.
pub(super) type Allowed = (&'static str, &'static [ArgumentCheck]);

use ArgumentCheck::{Bits, Is, IsNot, IsNotOutput, IsOwnPid, Whole};

/// Calls that every worker may make with any arguments.
const ANY: &[&str] = &[
    // What it has open. (A descriptor for writing does not get more than it was opened for.)
    "write",
    "writev",
    "close",
    "close_range",
    "fstat",
    "fstatfs",
    "fsync",
    "fdatasync",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    // Its memory.
    "brk",
    "munmap",
    "mremap",
    "madvise",
    "mincore",
    "msync",
    // Its threads, and the locks between them.
    "futex_waitv",
    "sched_yield",
    "sched_getaffinity",
    "getcpu",
    "gettid",
    "rseq",
    "set_robust_list",
    "set_tid_address",
    "restart_syscall",
    "exit",
    "exit_group",
    // Its signals and timers.
    "sigaltstack",
    "rt_sigreturn",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigsuspend",
    "pause",
    "alarm",
    "setitimer",
    "getitimer",
    // The time, and what everybody may know.
    "nanosleep",
    "gettimeofday",
    "time",
    "times",
    "getrandom",
    "getrusage",
    "sysinfo",
    "getrlimit",
    "getpid",
    "getppid",
    "getpgrp",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
];

const PROT_EXEC: u64 = 4;
const MAP_SHARED: u64 = 1;
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_GROWSDOWN: u64 = 0x100;
const SEEK_CUR: u64 = 1;
const SIGSYS: u64 = 31;
const SIG_UNBLOCK: u64 = 1;
const MSG_FASTOPEN: u64 = 0x2000_0000;
/// The bits of a futex's operation beside FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME.
const FUTEX_COMMAND: u64 = 0xffff_fe7f;
/// A clock of the system is a small number. That of a process or a thread is below zero, and this bit says that it is a thread's.
const CLOCK_OF_PROCESS_OR_THREAD: u64 = 0x8000_0000;
const CLOCK_OF_THREAD: u64 = 4;
/// The bits that a clock of the system has not.
const NOT_SMALL: u64 = 0xffff_fff0;
/// The clock of this process, of clock_getcpuclockid(3) for process 0.
const OWN_CLOCK: u64 = 0xffff_fffa;

/// Calls that every worker may make with these arguments.
const CHECKED: &[Allowed] = &[
    // Printing writes, and does nothing else: a terminal would be read, what is in a file overwritten, a socket shut down, and a copy of
    // the descriptor would not be known by its number.
    ("read", &[IsNotOutput(0)]),
    ("readv", &[IsNotOutput(0)]),
    ("pread64", &[IsNotOutput(0)]),
    ("preadv", &[IsNotOutput(0)]),
    ("pwrite64", &[IsNotOutput(0)]),
    ("pwritev", &[IsNotOutput(0)]),
    ("lseek", &[IsNotOutput(0)]),
    // It asks for the place.
    ("lseek", &[Whole(1, 0), Is(2, SEEK_CUR)]),
    // The worker gives back the memory of output that is dealt with. PUNCH_HOLE and KEEP_SIZE; the length is 0.
    ("fallocate", &[Is(1, 3), IsNotOutput(0)]),
    ("ftruncate", &[Whole(1, 0), IsNotOutput(0)]),
    ("dup", &[IsNotOutput(0)]),
    ("recvfrom", &[IsNotOutput(0)]),
    ("recvmsg", &[IsNotOutput(0)]),
    ("shutdown", &[IsNotOutput(0)]),
    // No memory that runs; and none that is shared and of no file, or that grows down, as the limit of a worker's memory does not count
    // these.
    ("mmap", &[Bits(2, PROT_EXEC, 0), Bits(3, MAP_ANONYMOUS | MAP_GROWSDOWN, 0), IsNotOutput(4)]),
    ("mmap", &[Bits(2, PROT_EXEC, 0), Bits(3, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, MAP_ANONYMOUS)]),
    ("mprotect", &[Bits(2, PROT_EXEC, 0)]),
    // The signal of a denied call stays ours. (It cannot be blocked either: see `sys/sandbox_trap`.)
    ("rt_sigaction", &[IsNot(0, SIGSYS)]),
    ("rt_sigprocmask", &[Is(0, SIG_UNBLOCK)]),
    ("rt_sigprocmask", &[Whole(1, 0)]),
    ("kill", &[IsOwnPid(0)]),
    ("tgkill", &[IsOwnPid(0)]),
    ("getpgid", &[Is(0, 0)]),
    ("getpgid", &[IsOwnPid(0)]),
    // Locks and the waits for them, and not those with priorities: their words name a thread, which may be of another process.
    // FUTEX_WAIT to FUTEX_REQUEUE, FUTEX_CMP_REQUEUE and FUTEX_WAKE_OP, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET.
    ("futex", &[Bits(1, FUTEX_COMMAND ^ 3, 0)]),
    ("futex", &[Bits(1, FUTEX_COMMAND ^ 1, 4)]),
    ("futex", &[Bits(1, FUTEX_COMMAND, 9)]),
    ("futex", &[Bits(1, FUTEX_COMMAND, 10)]),
    // Barriers of this process. Not MEMBARRIER_CMD_GLOBAL and its kin, by which the processors of others are interrupted.
    ("membarrier", &[Bits(0, 7, 0)]),
    // The clocks of the system, of this process and of its threads. Not that of another process, nor that of a descriptor.
    ("clock_gettime", &[Bits(0, NOT_SMALL, 0)]),
    ("clock_gettime", &[Is(0, OWN_CLOCK)]),
    (
        "clock_gettime",
        &[Bits(0, CLOCK_OF_PROCESS_OR_THREAD | CLOCK_OF_THREAD, CLOCK_OF_PROCESS_OR_THREAD | CLOCK_OF_THREAD)],
    ),
    ("clock_getres", &[Bits(0, NOT_SMALL, 0)]),
    ("clock_getres", &[Is(0, OWN_CLOCK)]),
    ("clock_nanosleep", &[Bits(0, NOT_SMALL, 0)]),
    ("clock_nanosleep", &[Is(0, OWN_CLOCK)]),
    // Sending with a descriptor, or on a channel; connecting by it is another thing.
    ("sendto", &[Bits(3, MSG_FASTOPEN, 0), IsNotOutput(0)]),
    ("sendmsg", &[Bits(2, MSG_FASTOPEN, 0), IsNotOutput(0)]),
    // To be asked, and not to be set.
    ("prlimit64", &[Is(0, 0), Whole(2, 0)]),
    // PR_SET_NAME, PR_GET_NAME; PR_SET_VMA, by which glibc names its memory.
    ("prctl", &[Is(0, 15)]),
    ("prctl", &[Is(0, 16)]),
    ("prctl", &[Is(0, 0x5356_4d41)]),
    // F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_GETLK, F_SETLK, F_OFD_GETLK, F_OFD_SETLK, F_DUPFD_CLOEXEC, F_GET_SEALS. Not F_SETFL: the flags
    // of a terminal are its other users' too; nor F_SETOWN and F_SETSIG, which send signals.
    ("fcntl", &[Is(1, 0), IsNotOutput(0)]),
    ("fcntl", &[Is(1, 1)]),
    ("fcntl", &[Is(1, 2)]),
    ("fcntl", &[Is(1, 3)]),
    ("fcntl", &[Is(1, 5)]),
    ("fcntl", &[Is(1, 6), IsNotOutput(0)]),
    ("fcntl", &[Is(1, 36)]),
    ("fcntl", &[Is(1, 37), IsNotOutput(0)]),
    ("fcntl", &[Is(1, 1030), IsNotOutput(0)]),
    ("fcntl", &[Is(1, 1034)]),
];

/// With a path that may be read: Landlock closes the others to what opens them.
pub(super) const READING: &[&str] = &[
    "open",
    "openat",
    "readlink",
    "readlinkat",
    "stat",
    "lstat",
    "newfstatat",
    "statx",
    "access",
    "faccessat",
    "faccessat2",
    "getdents",
    "getdents64",
    "getcwd",
];
/// With one that may be written. Not what changes modes, owners and times: Landlock does not know these.
pub(super) const WRITING: &[&str] = &[
    "creat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "truncate",
    "ftruncate",
    "fallocate",
    "flock",
];

const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const SOCK_STREAM: u64 = 1;
/// The bits of a socket's type beside its flags.
const TYPE_BITS: u64 = 0xf;
const IPPROTO_TCP: u64 = 6;
const SOL_SOCKET: u64 = 1;
const FIONBIO: u64 = 0x5421;

/// With a port. TCP alone: Landlock does not know of other protocols, MPTCP included.
pub(super) const CONNECTING: &[Allowed] = &[
    ("socket", &[Is(0, AF_INET), Bits(1, TYPE_BITS, SOCK_STREAM), Is(2, 0)]),
    ("socket", &[Is(0, AF_INET), Bits(1, TYPE_BITS, SOCK_STREAM), Is(2, IPPROTO_TCP)]),
    ("socket", &[Is(0, AF_INET6), Bits(1, TYPE_BITS, SOCK_STREAM), Is(2, 0)]),
    ("socket", &[Is(0, AF_INET6), Bits(1, TYPE_BITS, SOCK_STREAM), Is(2, IPPROTO_TCP)]),
    ("connect", &[]),
    ("getsockname", &[]),
    ("getpeername", &[]),
    ("getsockopt", &[]),
    ("ioctl", &[Is(1, FIONBIO)]),
    // SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE, SO_LINGER, SO_RCVTIMEO, SO_SNDTIMEO.
    ("setsockopt", &[Is(1, SOL_SOCKET), Is(2, 7)]),
    ("setsockopt", &[Is(1, SOL_SOCKET), Is(2, 8)]),
    ("setsockopt", &[Is(1, SOL_SOCKET), Is(2, 9)]),
    ("setsockopt", &[Is(1, SOL_SOCKET), Is(2, 13)]),
    ("setsockopt", &[Is(1, SOL_SOCKET), Is(2, 20)]),
    ("setsockopt", &[Is(1, SOL_SOCKET), Is(2, 21)]),
    // TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT.
    ("setsockopt", &[Is(1, IPPROTO_TCP), Is(2, 1)]),
    ("setsockopt", &[Is(1, IPPROTO_TCP), Is(2, 4)]),
    ("setsockopt", &[Is(1, IPPROTO_TCP), Is(2, 5)]),
    ("setsockopt", &[Is(1, IPPROTO_TCP), Is(2, 6)]),
];

/// CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND and CLONE_THREAD: what a thread has in common with the others.
const THREAD: u64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000;
/// CLONE_PIDFD, CLONE_PTRACE, CLONE_VFORK, CLONE_PARENT, CLONE_UNTRACED, and each CLONE_NEW.
const NO_THREAD: u64 = 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x80_0000 | 0x2_0000 | 0x7e00_0000;
/// With threads. (`clone3` is answered as a call that the kernel has not got, and the C library takes this one.)
const THREADING: &[Allowed] = &[("clone", &[Bits(0, THREAD | NO_THREAD, THREAD)])];

/// The calls that a policy allows. Where the walls of Landlock are missing, what stands behind them is closed to calls too.
pub(super) fn allowed(policy: &Sandbox, landlock: Option<u32>) -> Vec<(&str, &'static [ArgumentCheck])> {
    let any = |calls: &'static [&'static str]| calls.iter().map(|&call| (call, &[] as &[ArgumentCheck]));
    let has_paths = !policy.paths.is_empty() && landlock.is_some();
    let is_writing = has_paths && policy.paths.iter().any(|(_, access)| *access == PathAccess::Write);
    let mut allowed: Vec<(&str, &[ArgumentCheck])> = any(ANY).chain(CHECKED.iter().copied()).collect();
    if has_paths {
        allowed.extend(any(READING));
    }
    if is_writing {
        allowed.extend(any(WRITING));
    }
    if !policy.ports.is_empty() {
        allowed.extend(CONNECTING);
    }
    if policy.threads > 0 {
        allowed.extend(THREADING);
    }
    allowed.extend(policy.calls.iter().map(|call| (call.as_str(), &[] as &[ArgumentCheck])));
    allowed
}
