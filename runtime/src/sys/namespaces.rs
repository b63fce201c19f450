//! Namespaces that processes of a pool may enter, as descriptors (namespaces(7)), and how they come from the process that has made them.
//! It makes none and enters none.

#[cfg(poolmap_sandbox)]
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Namespaces that are open. Each lives as long as a descriptor of it, or a process in it.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// The namespace of users to which the others belong, if that is not the program's.
    pub(crate) users: Option<OwnedFd>,
    /// A network with no interface that is up.
    pub(crate) network: Option<OwnedFd>,
    /// A tree of files with an empty root.
    pub(crate) mounts: Option<OwnedFd>,
}

impl Namespaces {
    /// The descriptors that are there, in their order.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.users, &self.network, &self.mounts].into_iter().flatten().map(AsFd::as_fd)
    }

    /// A bit for each that is there, in their order: how they are announced.
    pub(crate) fn bits(&self) -> u8 {
        let present = [&self.users, &self.network, &self.mounts].map(Option::is_some);
        present.iter().enumerate().fold(0, |bits, (place, &is_there)| bits | u8::from(is_there) << place)
    }

    /// Takes those that were announced; none where one is missing.
    pub(crate) fn take(bits: u8, mut next: impl FnMut() -> Option<OwnedFd>) -> Option<Self> {
        let mut namespaces = Self::default();
        let places = [&mut namespaces.users, &mut namespaces.network, &mut namespaces.mounts];
        for (place, descriptor) in places.into_iter().enumerate() {
            if bits & 1 << place != 0 {
                *descriptor = Some(next()?);
            }
        }
        Some(namespaces)
    }
}

/// How long the reason may be for which some are missing.
#[cfg(poolmap_sandbox)]
const MESSAGE_BYTES_MAX: usize = 1 << 10;

/// Sends what this process has made to its parent, and why something is missing.
#[cfg(poolmap_sandbox)]
pub(crate) fn send_namespaces(
    channel: &super::socket::SocketToParent,
    made: &Namespaces,
    why_missing: Option<&str>,
) -> io::Result<()> {
    let mut message = vec![made.bits()];
    message.extend(why_missing.unwrap_or_default().bytes().take(MESSAGE_BYTES_MAX - 1));
    let descriptors: Vec<BorrowedFd<'_>> = made.descriptors().collect();
    super::socket::send_with_descriptors(channel, &message, &descriptors).map(drop)
}

/// Receives them in the parent, which waits until then; and why something is missing, if something is.
///
/// # Errors
///
/// The other end has closed the channel, has not answered in time, or has sent something else.
#[cfg(poolmap_sandbox)]
pub(crate) fn receive_namespaces(
    channel: &std::os::unix::net::UnixStream,
    until: std::time::Instant,
) -> io::Result<(Namespaces, Option<String>)> {
    use super::message::receive_message;
    use super::poll::{Watch, poll};
    use nix::sys::socket::MsgFlags;

    /// A header, and a word for each two descriptors.
    const WORDS: usize = 4;

    let mut message = [0; MESSAGE_BYTES_MAX];
    let received = loop {
        let left = until.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        poll(&mut [Watch::read(channel.as_fd())], Some(left))?;
        match receive_message::<WORDS>(channel.as_fd(), &mut message, MsgFlags::MSG_DONTWAIT) {
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            received => break received?,
        }
    };
    let Some((&bits, why)) = message[..received.bytes].split_first() else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let mut descriptors = received.descriptors.into_iter();
    let namespaces = Namespaces::take(bits, || descriptors.next()).ok_or(io::ErrorKind::InvalidData)?;
    let why = Some(String::from_utf8_lossy(why).into_owned()).filter(|why| !why.is_empty());
    Ok((namespaces, why))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn those_that_are_announced_are_taken_in_order_and_all_of_them() {
        let open = || Some(OwnedFd::from(File::open("/dev/null").ok()?));
        for bits in 0..8 {
            let taken = Namespaces::take(bits, open).unwrap();
            assert_eq!((taken.bits(), taken.descriptors().count()), (bits, bits.count_ones() as usize));
        }
        let mut two = [open(), open()].into_iter().flatten();
        assert!(Namespaces::take(0b111, || two.next()).is_none());
    }

    #[cfg(poolmap_sandbox)]
    #[test]
    fn they_arrive_with_the_reason_for_what_is_missing() {
        use std::time::{Duration, Instant};

        use super::super::socket::{SocketToParent, pair};

        let (parent, maker) = pair().unwrap();
        let made = Namespaces { network: Some(File::open("/dev/null").unwrap().into()), ..Namespaces::default() };
        let maker = SocketToParent::in_test(maker);
        send_namespaces(&maker, &made, Some(&"x".repeat(5000))).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let (received, why) = receive_namespaces(&parent, until).unwrap();
        assert_eq!((received.bits(), why), (0b010, Some("x".repeat(MESSAGE_BYTES_MAX - 1))));
        drop(maker);
        assert_eq!(receive_namespaces(&parent, until).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let (parent, _maker) = pair().unwrap();
        let late = receive_namespaces(&parent, Instant::now()).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
