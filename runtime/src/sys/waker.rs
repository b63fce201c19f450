//! Wakes a thread that waits in `poll`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::socket::{Wait, receive, send};

/// A pair of sockets: a byte in it wakes whoever polls it. Nothing is lost if no one polls at the moment.
pub(crate) struct Waker {
    write: UnixStream,
    read: UnixStream,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let (write, read) = super::socket::pair()?;
        write.set_nonblocking(true)?;
        read.set_nonblocking(true)?;
        Ok(Self { write, read })
    }

    /// Wakes the waiting thread, or the next that waits.
    pub(crate) fn wake(&self) {
        // A full buffer means that a wake-up is under way already.
        let _ = send(&self.write, &[0], Wait::No);
    }

    /// Takes back the wake-ups so far.
    pub(crate) fn clear(&self) {
        let mut bytes = [0; 64];
        while matches!(receive(&self.read, &mut bytes, Wait::No), Ok(read) if read == bytes.len()) {}
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}
