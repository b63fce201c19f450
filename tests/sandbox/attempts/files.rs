//! Files, by every call that takes a path or finds a file otherwise.

use nix::libc::*;

use super::Ends::{Denied, DeniedPath};
use super::{Attempt, attempt, call, text};

const HERE: usize = AT_FDCWD as isize as usize;
const SECRET: &std::ffi::CStr = c"/etc/passwd";
/// A pointer to nothing.
const NOWHERE: usize = 8;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("open", DeniedPath("open", "/etc/passwd"), || call(SYS_open, [text(SECRET), 0])),
    attempt("openat", DeniedPath("openat", "/etc/passwd"), || call(SYS_openat, [HERE, text(SECRET), 0])),
    attempt("open by std", DeniedPath("openat", "/etc/shadow"), || i64::from(std::fs::read("/etc/shadow").is_ok())),
    attempt("openat2", DeniedPath("openat2", "/etc/passwd"), || {
        let how = [0_u64; 3];
        call(SYS_openat2, [HERE, text(SECRET), how.as_ptr().addr(), 24])
    }),
    attempt("open without a path", Denied("openat"), || call(SYS_openat, [HERE, NOWHERE, 0])),
    attempt("a file of no name", Denied("openat"), || {
        call(SYS_openat, [HERE, text(c""), (O_TMPFILE | O_RDWR) as usize, 0o600])
    }),
    attempt("the memory of this process", DeniedPath("openat", "/proc/self/mem"), || {
        call(SYS_openat, [HERE, text(c"/proc/self/mem"), O_RDWR as usize])
    }),
    attempt("processes", DeniedPath("openat", "/proc"), || {
        call(SYS_openat, [HERE, text(c"/proc"), O_DIRECTORY as usize])
    }),
    attempt("the environment of the parent", Denied("open"), || {
        let path = std::ffi::CString::new(format!("/proc/{}/environ", super::parent())).unwrap();
        call(SYS_open, [path.as_ptr().addr(), 0])
    }),
    attempt("a descriptor of the parent", Denied("open"), || {
        let path = std::ffi::CString::new(format!("/proc/{}/fd/0", super::parent())).unwrap();
        call(SYS_open, [path.as_ptr().addr(), 0])
    }),
    attempt("shared memory by its name", DeniedPath("openat", "/dev/shm"), || {
        call(SYS_openat, [HERE, text(c"/dev/shm"), O_DIRECTORY as usize])
    }),
    attempt("the terminal", DeniedPath("openat", "/dev/tty"), || {
        call(SYS_openat, [HERE, text(c"/dev/tty"), O_RDWR as usize])
    }),
    attempt("creat", DeniedPath("creat", "/tmp/poolmap-attack"), || {
        call(SYS_creat, [text(c"/tmp/poolmap-attack"), 0o600])
    }),
    attempt("stat", DeniedPath("stat", "/etc/passwd"), || {
        let mut room = [0_u64; 32];
        call(SYS_stat, [text(SECRET), room.as_mut_ptr().addr()])
    }),
    attempt("newfstatat", DeniedPath("newfstatat", "/etc/passwd"), || {
        let mut room = [0_u64; 32];
        call(SYS_newfstatat, [HERE, text(SECRET), room.as_mut_ptr().addr(), AT_EMPTY_PATH as usize])
    }),
    attempt("statx", DeniedPath("statx", "/etc/passwd"), || {
        let mut room = [0_u64; 64];
        call(SYS_statx, [HERE, text(SECRET), AT_EMPTY_PATH as usize, 0x7ff, room.as_mut_ptr().addr()])
    }),
    attempt("access", DeniedPath("access", "/etc/passwd"), || call(SYS_access, [text(SECRET), 0])),
    attempt("faccessat2", DeniedPath("faccessat2", "/etc/passwd"), || call(SYS_faccessat2, [HERE, text(SECRET), 0, 0])),
    attempt("readlink", DeniedPath("readlink", "/proc/self/exe"), || {
        let mut room = [0_u8; 64];
        call(SYS_readlink, [text(c"/proc/self/exe"), room.as_mut_ptr().addr(), 64])
    }),
    attempt("getcwd", Denied("getcwd"), || {
        let mut room = [0_u8; 256];
        call(SYS_getcwd, [room.as_mut_ptr().addr(), 256])
    }),
    attempt("chdir", DeniedPath("chdir", "/"), || call(SYS_chdir, [text(c"/")])),
    attempt("chroot", DeniedPath("chroot", "/tmp"), || call(SYS_chroot, [text(c"/tmp")])),
    attempt("mkdir", DeniedPath("mkdir", "/tmp/poolmap-attack"), || {
        call(SYS_mkdir, [text(c"/tmp/poolmap-attack"), 0o700])
    }),
    attempt("unlink", DeniedPath("unlink", "/tmp/poolmap-attack"), || call(SYS_unlink, [text(c"/tmp/poolmap-attack")])),
    attempt("rename", DeniedPath("rename", "/tmp/a"), || call(SYS_rename, [text(c"/tmp/a"), text(c"/tmp/b")])),
    attempt("link", DeniedPath("link", "/etc/passwd"), || call(SYS_link, [text(SECRET), text(c"/tmp/b")])),
    attempt("symlinkat", DeniedPath("symlinkat", "/tmp/b"), || {
        call(SYS_symlinkat, [text(SECRET), HERE, text(c"/tmp/b")])
    }),
    attempt("chmod", DeniedPath("chmod", "/etc/passwd"), || call(SYS_chmod, [text(SECRET), 0o777])),
    attempt("fchownat", DeniedPath("fchownat", "/etc/passwd"), || call(SYS_fchownat, [HERE, text(SECRET), 0, 0, 0])),
    attempt("truncate", DeniedPath("truncate", "/etc/passwd"), || call(SYS_truncate, [text(SECRET), 0])),
    attempt("mknod", DeniedPath("mknod", "/tmp/b"), || {
        call(SYS_mknod, [text(c"/tmp/b"), S_IFBLK as usize | 0o600, 0x800])
    }),
    attempt("utimensat", DeniedPath("utimensat", "/etc/passwd"), || call(SYS_utimensat, [HERE, text(SECRET), 0, 0])),
    attempt("setxattr", DeniedPath("setxattr", "/etc/passwd"), || {
        call(SYS_setxattr, [text(SECRET), text(c"user.a"), text(c"b"), 1, 0])
    }),
    attempt("a handle of a file", DeniedPath("name_to_handle_at", "/etc/passwd"), || {
        let mut room = [0_u64; 32];
        call(SYS_name_to_handle_at, [HERE, text(SECRET), room.as_mut_ptr().addr(), room.as_mut_ptr().addr(), 0])
    }),
    attempt("a file by its handle", Denied("open_by_handle_at"), || {
        let mut room = [0_u64; 32];
        call(SYS_open_by_handle_at, [HERE, room.as_mut_ptr().addr(), 0])
    }),
    attempt("inotify", Denied("inotify_init1"), || call(SYS_inotify_init1, [0])),
    attempt("fanotify", Denied("fanotify_init"), || call(SYS_fanotify_init, [0, 0])),
    attempt("mount", DeniedPath("mount", "/mnt"), || {
        call(SYS_mount, [text(c"none"), text(c"/mnt"), text(c"tmpfs"), 0, 0])
    }),
    attempt("umount", DeniedPath("umount2", "/proc"), || call(SYS_umount2, [text(c"/proc"), MNT_DETACH as usize])),
    attempt("the new interface of mounts", Denied("fsopen"), || call(SYS_fsopen, [text(c"proc"), 0])),
    attempt("a tree of mounts", DeniedPath("open_tree", "/"), || call(SYS_open_tree, [HERE, text(c"/"), 1])),
    attempt("pivot_root", Denied("pivot_root"), || call(SYS_pivot_root, [text(c"/"), text(c"/")])),
    attempt("quotactl", Denied("quotactl"), || call(SYS_quotactl, [0, 0, 0, 0])),
    attempt("swapon", DeniedPath("swapon", "/swap"), || call(SYS_swapon, [text(c"/swap"), 0])),
];
