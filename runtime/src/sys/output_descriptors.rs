//! Descriptors that a worker has sent, among bytes that mean nothing. The worker may send any, and as many as it likes: each is in this
//! process only as long as the one who takes it wants.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::socket::{Wait, receive};

/// Reads some bytes, without waiting, and hands over the descriptors that came with them, two at most; 0 bytes is the end. The second is
/// whether there may be more to read at once: the bytes up to a descriptor come by themselves.
///
/// Where a message has more descriptors, or this process has no number left for them, the kernel drops the others.
#[cfg(poolmap_linux)]
pub(crate) fn receive_outputs(
    stream: &UnixStream,
    bytes: &mut [u8],
    take: impl FnMut(OwnedFd),
) -> io::Result<(usize, bool)> {
    use std::os::fd::AsFd;

    use super::message::receive_message;

    /// A header, and two descriptors.
    const WORDS: usize = 3;

    let message = loop {
        match receive_message::<WORDS>(stream.as_fd(), bytes, Wait::No.flags()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A filter of system calls may allow the other, which drops descriptors.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(_) => return receive(stream, bytes, Wait::No).map(|count| (count, false)),
            Ok(message) => break message,
        }
    };
    let has_more = message.is_cut || !message.descriptors.is_empty();
    message.descriptors.into_iter().for_each(take);
    Ok((message.bytes, has_more))
}

/// There is no memory that can be sealed, and so nothing to be sent: the kernel drops what comes.
#[cfg(not(poolmap_linux))]
pub(crate) fn receive_outputs(
    stream: &UnixStream,
    bytes: &mut [u8],
    _take: impl FnMut(OwnedFd),
) -> io::Result<(usize, bool)> {
    receive(stream, bytes, Wait::No).map(|count| (count, false))
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd};

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

    use super::*;
    use crate::sys::{pair, send_with_descriptors};

    fn received(stream: &UnixStream) -> (io::Result<usize>, Vec<OwnedFd>) {
        let mut descriptors = Vec::new();
        let received = receive_outputs(stream, &mut [0; 100], |descriptor| descriptors.push(descriptor));
        (received.map(|(count, _)| count), descriptors)
    }

    #[test]
    fn descriptors_come_with_the_bytes_up_to_them_and_are_closed_by_exec() {
        let (one, other) = pair().unwrap();
        send_with_descriptors(&one, b"ab", &[]).unwrap();
        send_with_descriptors(&one, b"c", &[one.as_fd()]).unwrap();
        send_with_descriptors(&one, b"d", &[other.as_fd()]).unwrap();
        let (count, descriptors) = received(&other);
        assert_eq!((count.unwrap(), descriptors.len()), (3, 1));
        let flags = FdFlag::from_bits_retain(fcntl(&descriptors[0], FcntlArg::F_GETFD).unwrap());
        assert!(flags.contains(FdFlag::FD_CLOEXEC));
        let (count, descriptors) = received(&other);
        assert_eq!((count.unwrap(), descriptors.len()), (1, 1));
        assert_eq!(received(&other).0.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop((one, descriptors));
    }

    #[test]
    fn a_message_with_many_descriptors_leaves_two_at_most() {
        let (one, other) = pair().unwrap();
        let many = vec![one.as_raw_fd(); 200];
        let slices = [io::IoSlice::new(b"x")];
        sendmsg::<()>(one.as_raw_fd(), &slices, &[ControlMessage::ScmRights(&many)], MsgFlags::empty(), None).unwrap();
        let (count, descriptors) = received(&other);
        assert_eq!(count.unwrap(), 1);
        assert!((1..=2).contains(&descriptors.len()), "{}", descriptors.len());
    }
}
