//! Values as packets. A large one goes as memory of its own, whose descriptor travels in the packet.
//!
//! A packet is its kind (one byte), the value's length (`u64`, little-endian), and the value where it is small.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use crate::sys::{self, Wait};

/// A value of more bytes goes as memory: below, a copy costs less than that, and several fit into a socket's buffer.
pub(super) const SMALL_BYTES_MAX: usize = 64 << 10;
/// A value cannot have more bytes, as a frame by default.
pub(super) const VALUE_BYTES_MAX: usize = 1 << 31;
/// The bytes that a channel's buffer is asked to hold.
pub(super) const BUFFER_BYTES: usize = 256 << 10;
/// So much of a large value is read at once: what is read follows what there is, and not what a length claims.
const READ_BYTES: usize = 1 << 20;

/// The head before a value.
pub(super) const HEAD_BYTES: usize = 9;
const SMALL: u8 = 1;
const LARGE: u8 = 2;

thread_local! {
    /// A buffer to send from and to receive into, with room for a packet.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls a function with this thread's buffer, which may hold anything.
pub(super) fn with_buffer<R>(use_buffer: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    // A value's own code may send or receive too: it finds another buffer then.
    // As does a thread that has destroyed its own, at its end.
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    let result = use_buffer(&mut buffer);
    if buffer.capacity() <= 2 * (HEAD_BYTES + SMALL_BYTES_MAX) {
        let _ = BUFFER.try_with(|kept| kept.set(buffer));
    }
    result
}

/// A packet to be sent, as often as it takes.
pub(super) struct Packet<'a> {
    /// The head and the value.
    bytes: &'a mut [u8],
    /// Where the value stands too, if it is large.
    memory: Option<OwnedFd>,
}

impl<'a> Packet<'a> {
    /// The packet of a value that stands behind room for the head.
    pub(super) fn new(bytes: &'a mut [u8]) -> io::Result<Self> {
        let length = bytes.len() - HEAD_BYTES;
        bytes[0] = SMALL;
        bytes[1..HEAD_BYTES].copy_from_slice(&(length as u64).to_le_bytes());
        let mut packet = Self { bytes, memory: None };
        if length > SMALL_BYTES_MAX {
            packet.make_large()?;
        }
        Ok(packet)
    }

    pub(super) fn is_small(&self) -> bool {
        self.memory.is_none()
    }

    /// Puts the value into memory of its own.
    pub(super) fn make_large(&mut self) -> io::Result<()> {
        let value = &self.bytes[HEAD_BYTES..];
        let memory = File::from(sys::memory_file(value.len())?);
        memory.write_all_at(value, 0)?;
        // The receiver finds the bytes that were sent. Where the system has no seals, it copies what it finds, once.
        let _ = sys::seal_against_all_writers(&memory);
        self.memory = Some(memory.into());
        self.bytes[0] = LARGE;
        Ok(())
    }

    /// Sends it, if there is room now; the error is `WouldBlock` if not.
    pub(super) fn send(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        match &self.memory {
            None => sys::send_packet(socket, self.bytes, None),
            Some(memory) => sys::send_packet(socket, &self.bytes[..HEAD_BYTES], Some(memory.as_fd())),
        }
    }
}

/// A packet that has come.
#[derive(Debug)]
pub(super) enum ReceivedPacket {
    /// A value's bytes, the last so many of the buffer.
    Small(usize),
    Large(Vec<u8>),
    /// Nothing more will come.
    End,
    Nothing,
}

/// Receives a packet into `buffer`.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut Vec<u8>, wait: Wait) -> io::Result<ReceivedPacket> {
    buffer.resize(HEAD_BYTES + SMALL_BYTES_MAX, 0);
    match sys::receive_packet(socket, buffer, wait) {
        Ok((0, _)) => Ok(ReceivedPacket::End),
        Ok((length, memory)) => parse(&buffer[..length], memory),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(ReceivedPacket::Nothing),
        Err(error) => Err(error),
    }
}

/// Reads a packet that anyone may have sent.
fn parse(packet: &[u8], memory: Option<OwnedFd>) -> io::Result<ReceivedPacket> {
    let broken = |what: &str| io::Error::new(ErrorKind::InvalidData, format!("a packet is broken: {what}"));
    let (head, value) = packet.split_at_checked(HEAD_BYTES).ok_or_else(|| broken("it ends too soon"))?;
    let (&[kind], length) = head.split_at(1) else {
        return Err(broken("it has no kind"));
    };
    let length = length.try_into().map(u64::from_le_bytes).ok().and_then(|length| usize::try_from(length).ok());
    let length = length.filter(|&length| length <= VALUE_BYTES_MAX).ok_or_else(|| broken("its value is too long"))?;
    match (kind, memory) {
        (SMALL, None) if value.len() == length => Ok(ReceivedPacket::Small(length)),
        (LARGE, Some(memory)) if value.is_empty() => read(memory, length).map(ReceivedPacket::Large),
        _ => Err(broken("it is not what it says")),
    }
}

/// Reads a large value.
fn read(memory: OwnedFd, length: usize) -> io::Result<Vec<u8>> {
    let broken = |what: &str| io::Error::new(ErrorKind::InvalidData, format!("a packet is broken: its memory {what}"));
    // A descriptor that is no memory could keep a reader waiting.
    if sys::memory_bytes(&memory)? != length {
        return Err(broken("has another length"));
    }
    // Holes cost their sender nothing, and could be made while this reads: a claim costs its sender what it costs here.
    if sys::CAN_SEAL && !(sys::is_sealed_against_writers(&memory) && sys::filled_bytes(&memory)? >= length) {
        return Err(broken("is not filled, or not sealed"));
    }
    let memory = File::from(memory);
    let mut value = Vec::new();
    value.try_reserve_exact(length).map_err(io::Error::other)?;
    while value.len() < length {
        let read = value.len();
        value.resize(length.min(read + READ_BYTES), 0);
        memory.read_exact_at(&mut value[read..], read as u64)?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;

    fn packet(kind: u8, length: u64, value: &[u8]) -> Vec<u8> {
        [&[kind][..], &length.to_le_bytes(), value].concat()
    }

    #[test]
    fn small_and_large_values_come_back_as_they_went() {
        let (sending, receiving) = sys::packet_pair(BUFFER_BYTES, Duration::from_millis(1)).unwrap();
        for length in [0, 1, SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1, 3 * READ_BYTES + 5] {
            let value: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let mut bytes = [&[0; HEAD_BYTES][..], &value].concat();
            Packet::new(&mut bytes).unwrap().send(sending.as_fd()).unwrap();
            let mut buffer = Vec::new();
            match receive(receiving.as_fd(), &mut buffer, Wait::No).unwrap() {
                ReceivedPacket::Small(came) => assert_eq!(buffer[HEAD_BYTES..HEAD_BYTES + came], value),
                ReceivedPacket::Large(came) => assert_eq!(came, value),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_anyone_sends_is_an_error_and_no_more() {
        let memory = || Some(sys::memory_file(100).unwrap());
        let sealed = || {
            let memory = File::from(sys::memory_file(100).unwrap());
            memory.write_all_at(&[7; 100], 0).unwrap();
            assert_eq!(sys::seal_against_all_writers(&memory).is_ok(), sys::CAN_SEAL);
            Some(OwnedFd::from(memory))
        };
        let (socket, _other) = sys::pair().unwrap();
        for (packet, memory) in [
            (vec![SMALL], None),
            (packet(SMALL, 3, b"ab"), None),
            (packet(SMALL, 2, b"ab"), memory()),
            (packet(SMALL, u64::MAX, b"ab"), None),
            (packet(LARGE, 100, b"ab"), memory()),
            (packet(LARGE, 100, b""), None),
            (packet(LARGE, 101, b""), memory()),
            (packet(LARGE, VALUE_BYTES_MAX as u64 + 1, b""), memory()),
            (packet(LARGE, 0, b""), Some(socket.into())),
            (packet(3, 0, b""), None),
        ] {
            assert_eq!(parse(&packet, memory).unwrap_err().kind(), ErrorKind::InvalidData, "{packet:?}");
        }
        assert!(
            matches!(parse(&packet(LARGE, 100, b""), sealed()), Ok(ReceivedPacket::Large(value)) if value == [7; 100])
        );
        if sys::CAN_SEAL {
            let sparse = sys::memory_file(1 << 30).unwrap();
            sys::seal_against_all_writers(&sparse).unwrap();
            for memory in [memory().unwrap(), sparse] {
                let length = sys::memory_bytes(&memory).unwrap() as u64;
                let error = parse(&packet(LARGE, length, b""), Some(memory)).unwrap_err();
                assert!(error.to_string().contains("not filled"), "{error}");
            }
        }
    }
}
