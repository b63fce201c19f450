//! Namespaces for the workers of a pool (namespaces(7)): a network with no interface that is up, and a tree of files whose root is empty. A process
//! of its own makes them once for a pool, and each worker enters them by their descriptors, as setns(2) takes microseconds and making a
//! network half a millisecond.
//!
//! 1. The right to enter them is CAP_SYS_ADMIN in the namespace of users that they belong to, and CAP_SYS_CHROOT in the worker's own. Root
//!    has both. For a user, the process makes a namespace of users too, in which that user and its group are the only ones, as they are
//!    outside.
//! 2. A process with two threads can no more enter a namespace of users (setns(2)). So the worker of a user enters it at its start, keeps
//!    the two capabilities for later, and has none in effect.
//! 3. The others are entered behind the initializer, by each thread (`sandbox_threads`).
//! 4. The process that makes them tries what a worker is to do, so that a refusal shows before the first worker starts. It asks whether its
//!    rights outlive execve(2), and looks at where it has come to: the root of a namespace is not that of a chroot.
//! 5. That process has the memory of this one, and the thread that asks for it waits until it ends, as in posix_spawn(3): a program may be
//!    large, and have threads, and neither may cost or matter. So the process has a stack and descriptors of its own, blocks all signals, and
//!    makes system calls alone; it takes no memory from the allocator, whose locks it could leave locked.

use std::fs::File;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc::{self, c_int, c_long};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, socketpair};
use nix::sys::stat::{FileStat, Mode, fstat, stat};
use nix::sys::wait::{WaitPidFlag, waitpid};

use super::capabilities::Capabilities;
use super::message::receive_message;
use super::namespaces::{NamespaceKinds, Namespaces};

/// More than the calls below take, in a build without optimisation too.
const STACK_BYTES: usize = 128 << 10;
/// A namespace of users is tried so often, a millisecond apart.
const ENTER_TRIES_MAX: u32 = 20;
/// An answer: the bits of the namespaces, the number of an error, and what has failed.
const NAME_BYTES_MAX: usize = 200;
const ANSWER_BYTES_MAX: usize = 1 + size_of::<c_int>() + NAME_BYTES_MAX;

/// Why a namespace could not be made: the call or the file, and the error; 0 where the text says it all.
struct NamespaceRefusal {
    what: &'static str,
    error: c_int,
}

impl NamespaceRefusal {
    /// Of the system call that has just failed.
    fn last(what: &'static str) -> Self {
        Self { what, error: Errno::last_raw() }
    }

    fn of(what: &'static str, error: &io::Error) -> Self {
        Self { what, error: error.raw_os_error().unwrap_or(0) }
    }
}

/// Makes those that are wanted, and says why some are missing, if some are.
pub(super) fn make_namespaces(wanted: NamespaceKinds, have_threads: bool) -> (Namespaces, Option<String>) {
    make_beside(wanted, have_threads)
        .unwrap_or_else(|error| (Namespaces::default(), Some(format!("no process could make them: {error}"))))
}

fn make_beside(wanted: NamespaceKinds, have_threads: bool) -> io::Result<(Namespaces, Option<String>)> {
    let (ours, its) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let channel = its.as_raw_fd();
    let run = move || {
        let mut made = Namespaces::default();
        let refusal = make(wanted, have_threads, &mut made).err();
        if made.network.is_none() && made.mounts.is_none() {
            made.users = None;
        }
        answer(channel, &made, refusal.as_ref());
        0
    };
    let mut stack = vec![0; STACK_BYTES];
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    let run = Box::new(run);
    // A handler of the program's would run in the process, in the program's memory.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: the process has the stack for itself, and this thread waits until it has ended; what it touches is its own (rule 5). It does
    // not panic.
    let process = unsafe { nix::sched::clone(run, &mut stack, flags, None) };
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    let process = process?;
    // No signal announces it, so it is none of the children that the program waits for, but by `__WALL`: then it is reaped all the same.
    while waitpid(process, Some(WaitPidFlag::__WALL)) == Err(Errno::EINTR) {}
    drop(its);
    received(ours.as_fd())
}

/// Sends what was made, without the allocator.
fn answer(channel: RawFd, made: &Namespaces, refusal: Option<&NamespaceRefusal>) {
    const DESCRIPTORS_BYTES: usize = 3 * size_of::<RawFd>();
    /// Aligned for the header.
    const CONTROL_WORDS: usize = 8;

    let mut text = [0; ANSWER_BYTES_MAX];
    let (name, error) = refusal.map_or(("", 0), |refusal| (refusal.what, refusal.error));
    let name = &name.as_bytes()[..name.len().min(NAME_BYTES_MAX)];
    let [bits, rest @ ..] = &mut text;
    *bits = made.bits();
    rest[..size_of::<c_int>()].copy_from_slice(&error.to_ne_bytes());
    rest[size_of::<c_int>()..][..name.len()].copy_from_slice(name);
    let length = 1 + size_of::<c_int>() + name.len();
    let mut slice = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: length };
    let mut control = [0_u64; CONTROL_WORDS];
    // SAFETY: all-zero bytes are a `msghdr`: null pointers and no lengths. The message points to a slice and to room for control messages,
    // with their lengths, which live through the call; that room has a header, and three descriptors behind it.
    unsafe {
        let mut message: libc::msghdr = MaybeUninit::zeroed().assume_init();
        message.msg_iov = &raw mut slice;
        message.msg_iovlen = 1;
        let bytes = made.descriptors().count() * size_of::<RawFd>();
        if bytes > 0 {
            const { assert!(libc::CMSG_SPACE(DESCRIPTORS_BYTES as u32) as usize <= CONTROL_WORDS * size_of::<u64>()) };
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(bytes as u32) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(bytes as u32) as _;
            for (place, descriptor) in made.descriptors().enumerate() {
                libc::CMSG_DATA(header).cast::<RawFd>().add(place).write_unaligned(descriptor.as_raw_fd());
            }
        }
        // Where it fails, nothing arrives, and that is known.
        libc::sendmsg(channel, &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    }
}

/// Takes the answer of the process, which has ended.
fn received(channel: BorrowedFd<'_>) -> io::Result<(Namespaces, Option<String>)> {
    /// A header, and a word for each two descriptors.
    const WORDS: usize = 4;

    let mut message = [0; ANSWER_BYTES_MAX];
    let received = receive_message::<WORDS>(channel, &mut message, MsgFlags::MSG_DONTWAIT)?;
    if received.is_cut {
        return Err(Errno::EMFILE.into());
    }
    let no_answer = || io::Error::other("it has ended without an answer");
    let (&bits, rest) = message[..received.bytes].split_first().ok_or_else(no_answer)?;
    let (error, what) = rest.split_first_chunk().ok_or_else(no_answer)?;
    let mut descriptors = received.descriptors.into_iter();
    let namespaces = Namespaces::take(bits, || descriptors.next()).ok_or_else(no_answer)?;
    let what = String::from_utf8_lossy(what);
    let why_missing = match c_int::from_ne_bytes(*error) {
        _ if what.is_empty() => None,
        0 => Some(what.into_owned()),
        error => Some(format!("{what}: {}", io::Error::from_raw_os_error(error))),
    };
    Ok((namespaces, why_missing))
}

fn make(wanted: NamespaceKinds, have_threads: bool, made: &mut Namespaces) -> Result<(), NamespaceRefusal> {
    let refusal = |what| Err(NamespaceRefusal { what, error: 0 });
    let own = Capabilities::now().map_err(|error| NamespaceRefusal { what: "capget", error })?;
    // It is opened before the root is another.
    let listed =
        File::open("/proc/thread-self/ns").map_err(|error| NamespaceRefusal::of("/proc/thread-self/ns", &error))?;
    if own.may_enter() {
        if !survive_execution() {
            return refusal("the rights to enter them end where the program is executed, as its workers are");
        }
    } else {
        if own.has_any() {
            return refusal("the program has capabilities that its initializer would lose in a user namespace");
        }
        if have_threads {
            return refusal(
                "the program has several threads before `init`, and its workers can enter no user namespace then",
            );
        }
        unshare("unshare(CLONE_NEWUSER)", libc::CLONE_NEWUSER)?;
        map_own_user()?;
        made.users = Some(open(&listed, "user")?);
    }
    if wanted.network {
        unshare("unshare(CLONE_NEWNET)", libc::CLONE_NEWNET)?;
        let network = open(&listed, "net")?;
        enter("setns(CLONE_NEWNET)", &network, libc::CLONE_NEWNET)?;
        made.network = Some(network);
    }
    if wanted.mounts {
        unshare("unshare(CLONE_NEWNS)", libc::CLONE_NEWNS)?;
        let empty = empty_root()?;
        let mounts = open(&listed, "mnt")?;
        enter("setns(CLONE_NEWNS)", &mounts, libc::CLONE_NEWNS)?;
        // It leads to the root of the namespace, which is another where this program's is a part of that.
        if device("fstat", fstat(&empty))? != device("/", stat(c"/"))? {
            return refusal("the program is in a chroot, from which an empty tree would lead out");
        }
        made.mounts = Some(mounts);
    }
    Ok(())
}

/// Whether this process would have the rights to enter namespaces behind execve(2), as its workers then have (capabilities(7)).
fn survive_execution() -> bool {
    /// The first bit of `PR_GET_SECUREBITS`.
    const SECBIT_NOROOT: c_int = 1;

    // SAFETY: the calls have no arguments, or take numbers, and change nothing.
    unsafe {
        let is_root = libc::geteuid() == 0 && libc::prctl(libc::PR_GET_SECUREBITS) & SECBIT_NOROOT == 0;
        Capabilities::entering_numbers().into_iter().all(|capability| {
            let capability = libc::c_ulong::from(capability);
            let is_ambient = libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1;
            is_ambient || (is_root && libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) == 1)
        })
    }
}

/// The device that a file is on.
fn device(what: &'static str, facts: nix::Result<FileStat>) -> Result<libc::dev_t, NamespaceRefusal> {
    facts.map(|facts| facts.st_dev).map_err(|error| NamespaceRefusal { what, error: error as c_int })
}

/// The result of a system call that sets `errno`.
fn checked(call: &'static str, result: c_long) -> Result<c_long, NamespaceRefusal> {
    if result < 0 { Err(NamespaceRefusal::last(call)) } else { Ok(result) }
}

fn unshare(call: &'static str, namespace: c_int) -> Result<(), NamespaceRefusal> {
    // SAFETY: it takes a number, and touches no memory of this process.
    checked(call, c_long::from(unsafe { libc::unshare(namespace) })).map(drop)
}

fn enter(call: &'static str, namespace: &OwnedFd, kind: c_int) -> Result<(), NamespaceRefusal> {
    // SAFETY: it takes numbers; the descriptor is open.
    checked(call, c_long::from(unsafe { libc::setns(namespace.as_raw_fd(), kind) })).map(drop)
}

fn open(listed: &File, name: &'static str) -> Result<OwnedFd, NamespaceRefusal> {
    let opened = openat(listed.as_fd(), name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    opened.map_err(|error| NamespaceRefusal { what: name, error: error as c_int })
}

/// In a new namespace of users, this process's user and group are who they are outside, and there is no other.
fn map_own_user() -> Result<(), NamespaceRefusal> {
    /// Two numbers of 32 bits, and more.
    const LINE_BYTES: usize = 32;

    // SAFETY: the calls have no arguments and cannot fail.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let write = |file: &'static str, line: &[u8]| -> Result<(), NamespaceRefusal> {
        std::fs::write(file, line).map_err(|error| NamespaceRefusal::of(file, &error))
    };
    let own = |file: &'static str, number: u32| {
        let mut line = [0; LINE_BYTES];
        let mut rest = &mut line[..];
        let written = write!(rest, "{number} {number} 1").map(|()| LINE_BYTES - rest.len());
        written.map_err(|error| NamespaceRefusal::of(file, &error)).and_then(|length| write(file, &line[..length]))
    };
    // A user may map a group only once it has given up to change its groups (user_namespaces(7)).
    write("/proc/self/setgroups", b"deny")?;
    own("/proc/self/uid_map", user)?;
    own("/proc/self/gid_map", group)
}

/// The commands and flags of fsconfig(2), fsmount(2) and move_mount(2).
const FSCONFIG_SET_STRING: c_int = 1;
const FSCONFIG_CMD_CREATE: c_int = 6;
const MOUNT_ATTR_RDONLY_NOSUID_NODEV_NOEXEC: c_int = 0xf;
const MOVE_MOUNT_F_EMPTY_PATH: c_int = 4;
/// FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC.
const CLOSE_ON_EXEC: c_int = 1;

/// Makes an empty folder, which nobody can list or write to, the root of this thread's namespace of mounts, with nothing else in it. It is returned
/// open.
fn empty_root() -> Result<OwnedFd, NamespaceRefusal> {
    let (null, root, here) = (std::ptr::null::<libc::c_char>(), c"/".as_ptr(), c".".as_ptr());
    // SAFETY: the texts are constants, and end with a zero byte; the null pointers are where the calls take one (mount(2), fsconfig(2)).
    // The descriptors are open. The threads of this process share no root with this one, which is in a new namespace of mounts.
    unsafe {
        // What is mounted or unmounted here is so nowhere else.
        let private = libc::MS_REC | libc::MS_PRIVATE;
        let made = libc::mount(null, root, c"none".as_ptr(), private, std::ptr::null());
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
        Ok(mount)
    }
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
    let mut tries = 0;
    // SAFETY: it takes numbers; the descriptor is open.
    while let Err(error) = Errno::result(unsafe { libc::setns(users.as_raw_fd(), libc::CLONE_NEWUSER) }) {
        // A thread that was joined may be counted for a moment longer.
        if error != Errno::EINVAL || tries == ENTER_TRIES_MAX {
            return Err(error.into());
        }
        tries += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    // It comes with every capability there. What runs before the sandbox is to have no more rights than it had.
    let kept = Capabilities::now().and_then(|all| all.only_to_enter().set());
    kept.map_err(io::Error::from_raw_os_error)
}
