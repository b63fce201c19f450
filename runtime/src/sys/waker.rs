//! Wakes a thread that waits in `poll`.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

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
        let _ = (&self.write).write(&[0]);
    }

    /// Takes back the wake-ups so far.
    pub(crate) fn clear(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.read).read(&mut bytes), Ok(read) if read == bytes.len()) {}
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}
