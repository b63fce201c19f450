//! Calls that kernels have since 5.13, by their numbers: the C library and the list of names know few of them.

use nix::libc::*;

use super::Ends::{Denied, DeniedSomehow, Passing};
use super::{Attempt, attempt, call, parent};

/// The current folder.
const HERE: usize = AT_FDCWD as isize as usize;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("attributes of mounts", Denied("mount_setattr"), || call(442, [HERE, 0, 0, 0, 0])),
    attempt("quotas by a descriptor", Denied("quotactl_fd"), || call(443, [3, 0, 0, 0])),
    attempt("a rule more", Denied("landlock_add_rule"), || call(445, [3, 1, 0, 0])),
    attempt("another domain", Denied("landlock_restrict_self"), || call(446, [3, 0])),
    attempt("free the memory of the parent", Denied("process_mrelease"), || call(448, [3, 0])),
    attempt("the home of memory", Denied("set_mempolicy_home_node"), || call(450, [0, 4096, 0, 0])),
    attempt("the cache of a file", DeniedSomehow, || call(451, [3, 0, 0, 0])),
    attempt("modes with flags", DeniedSomehow, || call(452, [HERE, 0, 0o777, 0])),
    attempt("a stack of shadows", DeniedSomehow, || call(453, [0, 4096, 0])),
    attempt("the new wake", DeniedSomehow, || call(454, [0, 0, 0, 0])),
    attempt("the new wait", DeniedSomehow, || call(455, [0, 0, 0, 0, 0, 0])),
    attempt("the new requeue", DeniedSomehow, || call(456, [0, 0, 0, 0])),
    attempt("a mount by its number", DeniedSomehow, || call(457, [0, 0, 0, 0])),
    attempt("the list of mounts", DeniedSomehow, || call(458, [0, 0, 0, 0])),
    attempt("attributes of security modules", DeniedSomehow, || call(459, [100, 0, 0, 0])),
    attempt("other attributes of security modules", DeniedSomehow, || call(460, [100, 0, 0, 0])),
    attempt("the list of security modules", DeniedSomehow, || call(461, [0, 0, 0])),
    attempt("seal memory", Denied("mseal"), || call(462, [0, 4096, 0])),
    attempt("set an attribute at a path", DeniedSomehow, || call(463, [HERE, 0, 0, 0, 0, 0])),
    attempt("get an attribute at a path", DeniedSomehow, || call(464, [HERE, 0, 0, 0, 0, 0])),
    attempt("list the attributes at a path", DeniedSomehow, || call(465, [HERE, 0, 0, 0, 0])),
    attempt("remove an attribute at a path", DeniedSomehow, || call(466, [HERE, 0, 0, 0])),
    attempt("a tree of mounts with attributes", DeniedSomehow, || call(467, [HERE, 0, 0, 0, 0])),
    attempt("flags of a file", DeniedSomehow, || call(468, [HERE, 0, 0, 0, 0])),
    attempt("other flags of a file", DeniedSomehow, || call(469, [HERE, 0, 0, 0, 0])),
    attempt("a call of the future", DeniedSomehow, || call(500, [0_usize; 0])),
    // The kernel lets it past every filter since 6.14, and ends a process that makes it from anywhere but its own trampoline.
    attempt("the return of a probe", Passing, || call(335, [0_usize; 0])),
    attempt("a probe", Passing, || call(336, [0_usize; 0])),
    attempt("a call below all", DeniedSomehow, || call(-1, [0_usize; 0])),
    attempt("openat with bits above", Denied("openat"), || call((1 << 32) | SYS_openat, [HERE, 8, 0])),
    attempt("execve of x32", Denied("x32 system call 520"), || call(0x4000_0000 | 520, [0, 0, 0])),
    attempt("ptrace of x32", Denied("x32 system call 521"), || call(0x4000_0000 | 521, [16, parent(), 0, 0])),
    attempt("the old way to load a library", Denied("uselib"), || call(SYS_uselib, [8])),
    attempt("a segment of a thread", Denied("set_thread_area"), || call(SYS_set_thread_area, [0])),
    attempt("ports of devices, one by one", Denied("ioperm"), || call(SYS_ioperm, [0x80, 1, 1])),
    attempt("another base of a segment", Denied("arch_prctl"), || call(SYS_arch_prctl, [0x1001, 0])),
    attempt("write all to disk", Denied("sync"), || call(SYS_sync, [0_usize; 0])),
    attempt("hang up the terminal", Denied("vhangup"), || call(SYS_vhangup, [0_usize; 0])),
    attempt("another kernel from a file", DeniedSomehow, || call(SYS_kexec_file_load, [3, 3, 0, 0, 0])),
    attempt("a key for pages", Denied("pkey_alloc"), || call(SYS_pkey_alloc, [0, 0])),
    attempt("where memory is", Denied("get_mempolicy"), || call(SYS_get_mempolicy, [0, 0, 0, 0, 0])),
    attempt("where memory is to be", Denied("mbind"), || call(SYS_mbind, [0, 4096, 0, 0, 0, 0])),
];
