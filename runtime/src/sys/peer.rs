//! The process at the other end of this process's channel: a worker runs what comes from there, so it must be the process that
//! started it, of the same user. The kernel says who it is; nothing that the other end says is asked for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::socket::{SockType, UnixAddr, getpeername, getsockopt, sockopt};

use super::environment::WORKER_VARIABLE;
use super::poll::{Watch, poll};
use super::socket::SocketToParent;
use super::spawn::CHANNEL;

/// The end of a dead parent's channel is closed within this.
const HANG_UP_TIME_MAX: Duration = Duration::from_secs(2);

/// Whether the channel's descriptor has an owner.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes the channel that `parent` has started this process with.
///
/// # Errors
///
/// There is none: the variable was inherited, or set by someone else.
pub(super) fn take_channel(parent: u32) -> io::Result<SocketToParent> {
    let refuse = |why: &dyn fmt::Display| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{WORKER_VARIABLE} says that this is a worker of process {parent}, but {why}: if no pool started this \
                 process, unset the variable",
            ),
        )
    };
    // SAFETY: the call asks for the flags of a number, whether it is open or not.
    match Errno::result(unsafe { libc::fcntl(CHANNEL, libc::F_GETFD) }) {
        Err(Errno::EBADF) => return Err(refuse(&format_args!("descriptor {CHANNEL} is not open"))),
        asked => asked.map_err(denied)?,
    };
    // SAFETY: the descriptor is open (asked above), and borrowed for the questions below alone. Nothing closes it meanwhile:
    // `init()` is the first thing that a program does with its descriptors.
    let channel = unsafe { BorrowedFd::borrow_raw(CHANNEL) };
    let kind = getsockopt(&channel, sockopt::SockType);
    let name = getpeername::<UnixAddr>(channel.as_raw_fd());
    if let Some(error) = kind.err().into_iter().chain(name.err()).find(|&error| super::socket::is_denied(error)) {
        return Err(denied(error));
    }
    if kind != Ok(SockType::Stream) || name.is_err() {
        return Err(refuse(&format_args!("descriptor {CHANNEL} is no connected stream socket of this machine")));
    }
    let Peer { pid, uid } = peer(channel)?;
    // SAFETY: the call has no arguments and cannot fail.
    let own = unsafe { libc::geteuid() };
    if let Some(pid) = pid.filter(|&pid| pid != parent) {
        return Err(refuse(&format_args!("process {pid} is at the other end of descriptor {CHANNEL}")));
    }
    if let Some(uid) = uid.filter(|&uid| uid != own) {
        return Err(refuse(&format_args!("user {uid} is at the other end of descriptor {CHANNEL}, not user {own}")));
    }
    if (pid, uid) == (None, None) {
        return Err(refuse(&"this system does not tell who is at the other end"));
    }
    // A process that a task starts must not hold the channel open.
    fcntl(channel, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    if IS_TAKEN.swap(true, Ordering::SeqCst) {
        return Err(refuse(&"it has entered before"));
    }
    // SAFETY: it is the socket that the parent made for this process and put under this number (asked above), before the
    // program could open anything, and it is taken once: so nothing else owns it.
    let channel = unsafe { OwnedFd::from_raw_fd(CHANNEL) };
    Ok(SocketToParent::new(channel.into()))
}

/// Says that the system does not answer.
fn denied(error: Errno) -> io::Error {
    io::Error::other(format!(
        "could not ask the system about descriptor {CHANNEL}: {}: look for a sandbox (seccomp) that denies the call",
        io::Error::from(error),
    ))
}

/// Checks that this process is a child of `parent`, to whose life it is bound.
///
/// # Errors
///
/// `NotConnected`: the parent has ended. Any other: it has not, and did not start this process.
pub(super) fn check_parent(parent: u32, channel: &UnixStream) -> io::Result<()> {
    let actual = std::os::unix::process::parent_id();
    if actual == parent {
        return Ok(());
    }
    let mut watches = [Watch::hang_up(channel.as_fd())];
    poll(&mut watches, Some(HANG_UP_TIME_MAX))?;
    if watches[0].ready {
        return Err(io::ErrorKind::NotConnected.into());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{WORKER_VARIABLE} says that this is a worker of process {parent}, but process {actual} started it"),
    ))
}

/// The other end of a socket, as far as the system reports it.
struct Peer {
    pid: Option<u32>,
    uid: Option<u32>,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let credentials = getsockopt(&socket, sockopt::PeerCredentials)?;
    Ok(Peer { pid: Some(credentials.pid().cast_unsigned()), uid: Some(credentials.uid()) })
}

/// Some systems tell nothing of a pair's other end, or the process alone.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let (mut uid, mut gid) = (0, 0);
    // SAFETY: the descriptor is open while it is borrowed, and both pointers are to numbers of ours.
    let result = unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut uid, &raw mut gid) };
    #[cfg(target_vendor = "apple")]
    let pid = getsockopt(&socket, sockopt::LocalPeerPid).ok().and_then(|pid| u32::try_from(pid).ok());
    #[cfg(not(target_vendor = "apple"))]
    let pid = None;
    Ok(Peer { pid, uid: (result == 0).then_some(uid) })
}
