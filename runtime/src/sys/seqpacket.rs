//! Packets over a pair of sockets, one end for all that send and one for all that receive, each in any number of processes: the
//! kernel keeps a packet whole, gives it to one receiver, and lets senders wait while its buffer is full.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, sendmsg, setsockopt, shutdown, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::message::receive_message;
use super::socket::{NO_SIGNAL, Wait, new_end};

/// The end that sends and the end that receives. A receiver that waits does so for `wait_at_most` at a time. The buffer is to
/// hold `buffer_bytes`, if the system allows so many.
pub(crate) fn packet_pair(buffer_bytes: usize, wait_at_most: Duration) -> io::Result<(OwnedFd, OwnedFd)> {
    let (sending, receiving) = pair()?;
    let (sending, receiving) = (new_end(sending)?, new_end(receiving)?);
    // Less than was asked for is enough.
    let _ = setsockopt(&sending, sockopt::SndBuf, &buffer_bytes);
    let _ = setsockopt(&receiving, sockopt::RcvBuf, &buffer_bytes);
    let millis = i64::try_from(wait_at_most.as_millis()).map_err(io::Error::other)?;
    setsockopt(&receiving, sockopt::ReceiveTimeout, &TimeVal::milliseconds(millis))?;
    Ok((sending, receiving))
}

#[cfg(poolmap_linux)]
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Apple's systems have no `SOCK_SEQPACKET` for local sockets. Datagrams are whole and in order too, but tell of no end.
#[cfg(not(poolmap_linux))]
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
    Ok((one.into(), other.into()))
}

/// Sends a packet, and a copy of a descriptor with it. It does not wait: the error is `WouldBlock` while there is no room, or too
/// many descriptors are under way.
pub(crate) fn send_packet(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let descriptors: Vec<RawFd> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
    let message = [ControlMessage::ScmRights(&descriptors)];
    let message = if descriptors.is_empty() { &message[..0] } else { &message[..] };
    let slices = [IoSlice::new(bytes)];
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &slices, message, Wait::No.flags() | NO_SIGNAL, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(Errno::ENOBUFS | Errno::ETOOMANYREFS) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a packet was not sent for being too long.
pub(crate) fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EMSGSIZE as i32)
}

/// Receives a packet, and the descriptor that came with it; no bytes are the end. Bytes that do not fit into `room` are lost. The
/// error is `WouldBlock` if there is none, at once or after the time that the pair was made for.
pub(crate) fn receive_packet(
    socket: BorrowedFd<'_>,
    room: &mut [u8],
    wait: Wait,
) -> io::Result<(usize, Option<OwnedFd>)> {
    /// A header, and a descriptor, and one more where that is padded.
    const WORDS: usize = 3;

    let mut message = match receive_message::<WORDS>(socket, room, wait.flags()) {
        // The caller looks whether there is still a reason to wait, and calls again.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(io::ErrorKind::WouldBlock.into()),
        message => message?,
    };
    // A process that is out to do harm sends more than belongs to a packet: what came is closed.
    if message.is_cut || message.descriptors.len() > 1 {
        let what =
            "a packet came with descriptors that are not its own, or for which this process has no number (ulimit -n)";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok((message.bytes, message.descriptors.pop()))
}

/// Ends the sending, or the receiving, for every process that has this end.
pub(crate) fn shut_down_packets(socket: BorrowedFd<'_>, direction: Shutdown) {
    use nix::sys::socket::Shutdown as Nix;

    let direction = match direction {
        Shutdown::Read => Nix::Read,
        Shutdown::Write => Nix::Write,
        Shutdown::Both => Nix::Both,
    };
    // An error means that the other end is gone.
    let _ = shutdown(socket.as_fd().as_raw_fd(), direction);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Duration = Duration::from_millis(20);

    #[test]
    fn packets_are_whole_and_in_order_and_the_end_comes_last() {
        let (sending, receiving) = packet_pair(1 << 18, SLICE).unwrap();
        let mut room = [0; 100];
        let empty = receive_packet(receiving.as_fd(), &mut room, Wait::Yes).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        send_packet(sending.as_fd(), b"one", None).unwrap();
        send_packet(sending.as_fd(), b"another", Some(sending.as_fd())).unwrap();
        shut_down_packets(sending.as_fd(), Shutdown::Write);
        let (length, descriptor) = receive_packet(receiving.as_fd(), &mut room, Wait::No).unwrap();
        assert!(&room[..length] == b"one" && descriptor.is_none());
        let (length, descriptor) = receive_packet(receiving.as_fd(), &mut room, Wait::No).unwrap();
        assert!(&room[..length] == b"another" && descriptor.is_some());
        if cfg!(poolmap_linux) {
            assert_eq!(receive_packet(receiving.as_fd(), &mut room, Wait::Yes).unwrap().0, 0);
        }
    }

    #[test]
    fn a_packet_with_more_descriptors_than_belong_to_one_is_refused_and_leaves_none() {
        let (sending, receiving) = packet_pair(1 << 18, SLICE).unwrap();
        let many = [sending.as_raw_fd(); 40];
        for count in [2, 3, 40] {
            let slices = [IoSlice::new(b"x")];
            let rights = [ControlMessage::ScmRights(&many[..count])];
            sendmsg::<()>(sending.as_raw_fd(), &slices, &rights, nix::sys::socket::MsgFlags::empty(), None).unwrap();
            let error = receive_packet(receiving.as_fd(), &mut [0; 8], Wait::No).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{count}");
        }
        // Each copy would keep the sending end open.
        drop(sending);
        if cfg!(poolmap_linux) {
            assert_eq!(receive_packet(receiving.as_fd(), &mut [0; 8], Wait::Yes).unwrap().0, 0);
        }
    }

    #[test]
    fn a_full_buffer_and_a_packet_too_long_are_told() {
        let (sending, _receiving) = packet_pair(1 << 18, SLICE).unwrap();
        let full = (0..100_000).find_map(|_| send_packet(sending.as_fd(), &[1; 1000], None).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
        let (sending, _receiving) = packet_pair(1 << 18, SLICE).unwrap();
        assert!(is_too_long(&send_packet(sending.as_fd(), &vec![1; 64 << 20], None).unwrap_err()));
    }
}
