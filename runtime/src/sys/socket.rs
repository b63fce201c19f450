//! Bytes and descriptors over a socket pair. No call here raises SIGPIPE, whatever the program does with that signal.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recv, recvmsg, sendmsg};

/// Whether a call may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until there is at least one byte to read, or room to write one.
    Yes,
    /// Not at all: the error is `WouldBlock`.
    No,
}

impl Wait {
    pub(super) fn flags(self) -> MsgFlags {
        match self {
            Self::Yes => MsgFlags::empty(),
            Self::No => MsgFlags::MSG_DONTWAIT,
        }
    }
}

/// On Apple systems std sets `SO_NOSIGPIPE` on the sockets that it makes; there is no such flag there.
#[cfg(not(target_vendor = "apple"))]
pub(super) const NO_SIGNAL: MsgFlags = MsgFlags::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(super) const NO_SIGNAL: MsgFlags = MsgFlags::empty();

/// A pair of connected sockets, close-on-exec, on descriptors from 3 on: a program that has closed its standard streams must
/// not print into a channel.
pub(crate) fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (one, other) = UnixStream::pair()?;
    Ok((from_three_on(one.into())?.into(), from_three_on(other.into())?.into()))
}

pub(super) fn from_three_on(socket: OwnedFd) -> io::Result<OwnedFd> {
    if socket.as_raw_fd() > 2 {
        return Ok(socket);
    }
    let moved = fcntl(&socket, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: fcntl has just made this descriptor, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// Writes some of `bytes`.
pub(crate) fn send(stream: &UnixStream, bytes: &[u8], wait: Wait) -> io::Result<usize> {
    retried(|| nix::sys::socket::send(stream.as_raw_fd(), bytes, wait.flags() | NO_SIGNAL))
}

/// Reads some bytes; 0 is the end.
pub(crate) fn receive(stream: &UnixStream, bytes: &mut [u8], wait: Wait) -> io::Result<usize> {
    retried(|| recv(stream.as_raw_fd(), bytes, wait.flags()))
}

/// So many descriptors travel together at most.
const DESCRIPTORS_MAX: usize = 6;

/// Writes some of `bytes`, and copies of descriptors with the first of them. It does not wait.
pub(crate) fn send_with_descriptors(
    stream: &UnixStream,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let descriptors: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let message = [ControlMessage::ScmRights(&descriptors)];
    let message = if descriptors.is_empty() { &message[..0] } else { &message[..] };
    let slices = [IoSlice::new(bytes)];
    retried(|| {
        let flags = MsgFlags::MSG_DONTWAIT | NO_SIGNAL;
        sendmsg::<()>(stream.as_raw_fd(), &slices, message, flags, None)
    })
}

/// Reads some bytes, and takes the descriptors that came with them; 0 bytes is the end.
pub(crate) fn receive_with_descriptors(
    stream: &UnixStream,
    bytes: &mut [u8],
    wait: Wait,
    received: &mut impl Extend<OwnedFd>,
) -> io::Result<usize> {
    let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut slices = [IoSliceMut::new(bytes)];
    loop {
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut space), CLOSE_ON_EXEC | wait.flags());
        let message = match message {
            Ok(message) => message,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(descriptors) = control {
                // SAFETY: the kernel has just made these descriptors for this process, and nothing else knows them.
                received.extend(descriptors.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        return Ok(message.bytes);
    }
}

#[cfg(not(target_vendor = "apple"))]
pub(super) const CLOSE_ON_EXEC: MsgFlags = MsgFlags::MSG_CMSG_CLOEXEC;
#[cfg(target_vendor = "apple")]
pub(super) const CLOSE_ON_EXEC: MsgFlags = MsgFlags::empty();

/// Whether the other side has closed its end for good.
pub(crate) fn is_hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected)
}

fn retried(mut call: impl FnMut() -> nix::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}
