//! Descriptors that a worker has sent, among bytes that mean nothing. The worker may send any, and as many as it likes: each is in this
//! process only as long as the one who takes it wants.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

#[cfg(not(poolmap_linux))]
use super::socket::{Wait, receive};

/// Reads some bytes, without waiting, and hands over the descriptors that came with them, two at most; 0 bytes is the end.
///
/// Where a message has more descriptors, or this process has no number left for them, the kernel drops the others.
#[cfg(poolmap_linux)]
pub(crate) fn receive_outputs(
    stream: &UnixStream,
    bytes: &mut [u8],
    mut take: impl FnMut(OwnedFd),
) -> io::Result<usize> {
    use std::mem::MaybeUninit;
    use std::os::fd::{AsRawFd, RawFd};

    use nix::errno::Errno;
    use nix::libc;

    use super::socket::{CLOSE_ON_EXEC, Wait, is_denied, receive, take_received};

    // Aligned for a `cmsghdr`, with room for it and for a descriptor, and one more where that is padded.
    let mut control = [0_u64; 3];
    let mut slice = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: all-zero bytes are a `msghdr`: null pointers and no lengths.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = (CLOSE_ON_EXEC | Wait::No.flags()).bits();
    let count = loop {
        // SAFETY: the message points to a slice and to room for control messages, with their lengths, which live through the call.
        match Errno::result(unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, flags) }) {
            Ok(count) => break count as usize,
            Err(Errno::EINTR) => {}
            // A filter of system calls may allow the other, which drops descriptors.
            Err(denied) if is_denied(denied) => return receive(stream, bytes, Wait::No),
            Err(error) => return Err(error.into()),
        }
    };
    // SAFETY: the kernel has filled the message, and left in it how much of the control room is used.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: the header is inside of the used control room, which is aligned for one.
        let (level, kind, length) = unsafe { ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len as usize) };
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: the function does arithmetic only.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            for place in 0..length.saturating_sub(head) / size_of::<RawFd>() {
                // SAFETY: so many descriptors stand behind the header, by its length, which the kernel has set to what it wrote.
                let descriptor = unsafe { libc::CMSG_DATA(header).cast::<RawFd>().add(place).read_unaligned() };
                take(take_received(descriptor));
            }
        }
        // SAFETY: as above; the next header is inside of the used room too, or null.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(count)
}

/// There is no memory that can be sealed, and so nothing to be sent: the kernel drops what comes.
#[cfg(not(poolmap_linux))]
pub(crate) fn receive_outputs(stream: &UnixStream, bytes: &mut [u8], _take: impl FnMut(OwnedFd)) -> io::Result<usize> {
    receive(stream, bytes, Wait::No)
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
        let count = receive_outputs(stream, &mut [0; 100], |descriptor| descriptors.push(descriptor));
        (count, descriptors)
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
