//! Namespaces for the workers of a pool (namespaces(7)): a network with no interface that is up, and a tree of files whose root is empty. A process
//! of its own makes them once for a pool, and each worker enters them by their descriptors, as setns(2) takes microseconds and making a
//! network milliseconds.
//!
//! 1. The right to enter them is CAP_SYS_ADMIN in the namespace of users that they belong to, and CAP_SYS_CHROOT in the worker's own. Root
//!    has both. For a user, the process makes a namespace of users too, in which that user and its group are the only ones, as they are
//!    outside.
//! 2. A process with two threads can no more enter a namespace of users (setns(2)). So the worker of a user enters it at its start, keeps
//!    the two capabilities for later, and has none in effect.
//! 3. The others are entered behind the initializer, by each thread (`sandbox_threads`).
//! 4. The process that makes them tries what a worker is to do, so that a refusal shows before the first worker starts.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::libc::{self, c_int, c_long};
use nix::sys::stat::Mode;

use super::capabilities::Capabilities;
use super::namespaces::Namespaces;

/// Makes them in this process, which is of no other use then; and says why some are missing, if some are.
pub(crate) fn make_namespaces() -> (Namespaces, Option<String>) {
    let mut made = Namespaces::default();
    let why = make(&mut made).err();
    if made.network.is_none() && made.mounts.is_none() {
        made.users = None;
    }
    (made, why)
}

fn make(made: &mut Namespaces) -> Result<(), String> {
    let own = Capabilities::now().map_err(|error| refused("capget", error))?;
    // The thread's own: that of the process is its first thread's. It is opened before the root is another.
    let listed = File::open("/proc/thread-self/ns").map_err(|error| format!("/proc/thread-self/ns: {error}"))?;
    if !own.may_enter() {
        if own.has_any() {
            return Err("the program has capabilities that its initializer would lose in a user namespace".to_owned());
        }
        unshare("unshare(CLONE_NEWUSER)", libc::CLONE_NEWUSER)?;
        map_own_user()?;
        made.users = Some(open(&listed, "user")?);
    }
    unshare("unshare(CLONE_NEWNET)", libc::CLONE_NEWNET)?;
    let network = open(&listed, "net")?;
    enter("setns(CLONE_NEWNET)", &network, libc::CLONE_NEWNET)?;
    made.network = Some(network);
    unshare("unshare(CLONE_NEWNS)", libc::CLONE_NEWNS)?;
    empty_root()?;
    let mounts = open(&listed, "mnt")?;
    enter("setns(CLONE_NEWNS)", &mounts, libc::CLONE_NEWNS)?;
    made.mounts = Some(mounts);
    Ok(())
}

fn refused(call: &str, error: c_int) -> String {
    format!("{call}: {}", io::Error::from_raw_os_error(error))
}

/// The result of a system call that sets `errno`.
fn checked(call: &str, result: c_long) -> Result<c_long, String> {
    if result < 0 { Err(refused(call, nix::errno::Errno::last_raw())) } else { Ok(result) }
}

fn unshare(call: &str, namespace: c_int) -> Result<(), String> {
    // SAFETY: it takes a number, and touches no memory of this process.
    checked(call, c_long::from(unsafe { libc::unshare(namespace) })).map(drop)
}

fn enter(call: &str, namespace: &OwnedFd, kind: c_int) -> Result<(), String> {
    // SAFETY: it takes numbers; the descriptor is open.
    checked(call, c_long::from(unsafe { libc::setns(namespace.as_raw_fd(), kind) })).map(drop)
}

fn open(listed: &File, name: &str) -> Result<OwnedFd, String> {
    let opened = openat(listed.as_fd(), name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    opened.map_err(|error| refused(name, error as c_int))
}

/// In a new namespace of users, this process's user and group are who they are outside, and there is no other.
fn map_own_user() -> Result<(), String> {
    // SAFETY: the calls have no arguments and cannot fail.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    // A user may map a group only once it has given up to change its groups (user_namespaces(7)).
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{user} {user} 1")),
        ("gid_map", format!("{group} {group} 1")),
    ] {
        std::fs::write(format!("/proc/self/{file}"), text).map_err(|error| format!("/proc/self/{file}: {error}"))?;
    }
    Ok(())
}

/// The commands and flags of fsconfig(2), fsmount(2) and move_mount(2).
const FSCONFIG_SET_STRING: c_int = 1;
const FSCONFIG_CMD_CREATE: c_int = 6;
const MOUNT_ATTR_RDONLY_NOSUID_NODEV_NOEXEC: c_int = 0xf;
const MOVE_MOUNT_F_EMPTY_PATH: c_int = 4;
/// FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC.
const CLOSE_ON_EXEC: c_int = 1;

/// Makes an empty folder, which nobody can list or write to, the root of this thread's namespace of mounts, with nothing else in it.
fn empty_root() -> Result<(), String> {
    let (null, root, here) = (std::ptr::null::<libc::c_char>(), c"/".as_ptr(), c".".as_ptr());
    // SAFETY: the texts are constants, and end with a zero byte; the null pointers are where the calls take one (mount(2), fsconfig(2)).
    // The descriptors are open. The threads of this process share no root with this one, which is in a new namespace of mounts.
    unsafe {
        // What is mounted or unmounted here is so nowhere else.
        let private = libc::MS_REC | libc::MS_PRIVATE;
        let made = libc::mount(null, root, null, private, std::ptr::null());
        checked("mount(MS_PRIVATE)", c_long::from(made))?;
        let files = libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), CLOSE_ON_EXEC);
        let files = descriptor(checked("fsopen(tmpfs)", files)?);
        let (key, value) = (c"mode".as_ptr(), c"0".as_ptr());
        let set = libc::syscall(libc::SYS_fsconfig, files.as_raw_fd(), FSCONFIG_SET_STRING, key, value, 0);
        checked("fsconfig(mode)", set)?;
        let made = libc::syscall(libc::SYS_fsconfig, files.as_raw_fd(), FSCONFIG_CMD_CREATE, null, null, 0);
        checked("fsconfig(create)", made)?;
        let attributes = MOUNT_ATTR_RDONLY_NOSUID_NODEV_NOEXEC;
        let mount = libc::syscall(libc::SYS_fsmount, files.as_raw_fd(), CLOSE_ON_EXEC, attributes);
        let mount = descriptor(checked("fsmount", mount)?);
        let empty = c"".as_ptr();
        let flags = MOVE_MOUNT_F_EMPTY_PATH;
        let moved = libc::syscall(libc::SYS_move_mount, mount.as_raw_fd(), empty, libc::AT_FDCWD, root, flags);
        checked("move_mount", moved)?;
        checked("fchdir", c_long::from(libc::fchdir(mount.as_raw_fd())))?;
        // The old root lies on the new one then, and is taken away with all that is mounted in it (pivot_root(2), "pivot_root(".", ".")").
        checked("pivot_root", libc::syscall(libc::SYS_pivot_root, here, here))?;
        checked("umount2", c_long::from(libc::umount2(here, libc::MNT_DETACH)))?;
    }
    Ok(())
}

/// The descriptor that a system call has returned.
fn descriptor(number: c_long) -> OwnedFd {
    // SAFETY: the call has just made it for this process, and nothing else knows it. Such a number fits.
    unsafe { OwnedFd::from_raw_fd(number as c_int) }
}

/// Enters the namespace of users, while this process has one thread (rule 2).
///
/// # Errors
///
/// There are more threads, or the system refuses it. Then this process is where it was.
pub(crate) fn enter_user_namespace(users: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: it takes numbers; the descriptor is open.
    nix::errno::Errno::result(unsafe { libc::setns(users.as_raw_fd(), libc::CLONE_NEWUSER) })?;
    // It comes with every capability there. What runs before the sandbox is to have no more rights than it had.
    let kept = Capabilities::now().and_then(|all| all.only_to_enter().set());
    kept.map_err(io::Error::from_raw_os_error)
}
