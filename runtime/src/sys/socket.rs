//! Bytes and descriptors over a socket pair. No call here raises SIGPIPE, whatever the program does with that signal.

use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{ControlMessage, MsgFlags, recv, recvmsg, sendmsg};

use super::message::receive_message;

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

/// Apple systems have no such flag: there it is an option of the socket, set by [`raise_no_signal`].
#[cfg(not(target_vendor = "apple"))]
pub(super) const NO_SIGNAL: MsgFlags = MsgFlags::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(super) const NO_SIGNAL: MsgFlags = MsgFlags::empty();

/// Keeps sending on a socket from raising SIGPIPE, where no flag of the call does: std sets this on the sockets that it connects,
/// and not on those of a pair.
#[cfg(target_vendor = "apple")]
fn raise_no_signal(socket: &OwnedFd) -> io::Result<()> {
    use nix::libc;

    let on: libc::c_int = 1;
    // SAFETY: the socket is open, and the pointer is to an integer of ours, of the size that is given, which lives through the
    // call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NOSIGPIPE,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    Errno::result(result)?;
    Ok(())
}

#[cfg(not(target_vendor = "apple"))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn raise_no_signal(_socket: &OwnedFd) -> io::Result<()> {
    Ok(())
}

/// A pair of connected sockets, close-on-exec, on descriptors from 3 on: a program that has closed its standard streams must
/// not print into a channel.
pub(crate) fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (one, other) = UnixStream::pair()?;
    Ok((new_end(one.into())?.into(), new_end(other.into())?.into()))
}

/// One end of a new pair, on a descriptor from 3 on, which raises no SIGPIPE.
pub(super) fn new_end(socket: OwnedFd) -> io::Result<OwnedFd> {
    raise_no_signal(&socket)?;
    at_least(3, socket)
}

/// The same open file under a number that is not below this.
pub(super) fn at_least(lowest: RawFd, descriptor: OwnedFd) -> io::Result<OwnedFd> {
    if descriptor.as_raw_fd() >= lowest {
        return Ok(descriptor);
    }
    let moved = fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(lowest)).map_err(|error| match error {
        // It says so of a number that is not below the limit for descriptors.
        Errno::EINVAL => Errno::EMFILE,
        error => error,
    })?;
    // SAFETY: fcntl has just made this descriptor, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// Writes some of `bytes`.
pub(crate) fn send(stream: &UnixStream, bytes: &[u8], wait: Wait) -> io::Result<usize> {
    let flags = wait.flags() | NO_SIGNAL;
    retried(|| match nix::sys::socket::send(stream.as_raw_fd(), bytes, flags) {
        Err(denied) if is_denied(denied) => {
            let sent = sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(bytes)], &[], flags, None);
            sent.map_err(|other| if is_denied(other) { denied } else { other })
        }
        sent => sent,
    })
}

/// Reads some bytes; 0 is the end.
pub(crate) fn receive(stream: &UnixStream, bytes: &mut [u8], wait: Wait) -> io::Result<usize> {
    retried(|| match recv(stream.as_raw_fd(), bytes, wait.flags()) {
        Err(denied) if is_denied(denied) => {
            let mut slices = [IoSliceMut::new(bytes)];
            let received = recvmsg::<()>(stream.as_raw_fd(), &mut slices, None, wait.flags());
            received.map(|received| received.bytes).map_err(|other| if is_denied(other) { denied } else { other })
        }
        received => received,
    })
}

/// Whether a filter of system calls may be what denies a call. It may allow another that does the same.
pub(super) fn is_denied(error: Errno) -> bool {
    matches!(error, Errno::EPERM | Errno::ENOSYS | Errno::EACCES)
}

/// So many descriptors travel together at most.
const DESCRIPTORS_MAX: usize = 11;

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
        let sent = sendmsg::<()>(stream.as_raw_fd(), &slices, message, flags, None);
        // The system bounds how many descriptors of a user are under way.
        sent.map_err(|error| if error == Errno::ETOOMANYREFS { Errno::EWOULDBLOCK } else { error })
    })
}

/// The channel that this process's parent has started it with: the kernel said that it is the parent's.
pub(crate) struct SocketToParent(UnixStream);

impl SocketToParent {
    /// A socket of which it is known who is at the other end.
    pub(super) fn new(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// In a test, parent and worker are one process.
    #[cfg(test)]
    pub(crate) fn in_test(stream: UnixStream) -> Self {
        Self(stream)
    }
}

impl Deref for SocketToParent {
    type Target = UnixStream;

    fn deref(&self) -> &UnixStream {
        &self.0
    }
}

/// A descriptor that has come from this process's parent, over the channel that it was started with. The parent keeps to what is
/// agreed of the memory behind it: it trusts its workers with nothing, and they trust it. Where tasks run in process, this process
/// is both.
#[derive(Debug)]
pub(crate) struct FromParent(OwnedFd);

impl FromParent {
    /// The descriptor.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The descriptor, to be kept.
    pub(crate) fn into_descriptor(self) -> OwnedFd {
        self.0
    }

    /// A descriptor of a segment of this process, for a task that this process runs itself.
    pub(crate) fn in_process(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// In a test, parent and worker are one process.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn in_test(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

/// Reads some bytes from the parent, and takes the descriptors that came with them; 0 bytes is the end.
pub(crate) fn receive_with_descriptors(
    stream: &SocketToParent,
    bytes: &mut [u8],
    wait: Wait,
    received: &mut impl Extend<FromParent>,
) -> io::Result<usize> {
    /// A header, and as many descriptors as travel together.
    const WORDS: usize = 2 + DESCRIPTORS_MAX.div_ceil(2);

    let message = loop {
        match receive_message::<WORDS>(stream.as_fd(), bytes, wait.flags()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            message => break message?,
        }
    };
    if message.is_cut {
        // Without one, the next would be taken for it.
        return Err(io::Error::from(Errno::EMFILE));
    }
    received.extend(message.descriptors.into_iter().map(FromParent));
    Ok(message.bytes)
}

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

#[cfg(test)]
mod tests {
    use nix::fcntl::FdFlag;

    use super::*;

    #[test]
    fn a_received_descriptor_is_closed_by_exec_and_a_lost_reader_raises_no_signal() {
        let (one, other) = pair().unwrap();
        let sent = send_with_descriptors(&one, b"x", &[other.as_fd()]).unwrap();
        let (other, mut received) = (SocketToParent::in_test(other), Vec::new());
        let came = receive_with_descriptors(&other, &mut [0; 8], Wait::No, &mut received).unwrap();
        assert_eq!((sent, came, received.len()), (1, 1, 1));
        let flags = FdFlag::from_bits_retain(fcntl(received[0].descriptor(), FcntlArg::F_GETFD).unwrap());
        assert!(flags.contains(FdFlag::FD_CLOEXEC));
        drop((other, received));
        // The test program ignores SIGPIPE, as Rust's programs do; what is asked for here is the error.
        assert!(is_hung_up(&send(&one, b"x", Wait::No).unwrap_err()));
    }
}
