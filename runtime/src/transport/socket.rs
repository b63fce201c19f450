//! The channel over a socket pair: length-prefixed frames. The parent's side never waits; the worker's side waits for the
//! parent alone, whose death ends every wait.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::Fault;
use crate::sys::{self, Wait};
use crate::wire::{FrameBuffer, ToParent, ToWorker};

/// One call of [`Link::receive`] takes about so much, so that no worker keeps the parent from the others.
const RECEIVE_BYTES_MAX: usize = 1 << 20;

/// The parent's side.
pub(crate) struct Link {
    stream: Arc<UnixStream>,
    inbox: FrameBuffer,
    outbox: VecDeque<Arc<[u8]>>,
    /// How much of the outbox's first frame is sent.
    sent: usize,
}

impl Link {
    /// A channel, and the end that the worker gets as its standard input.
    pub(crate) fn new(frame_bytes_max: usize) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = sys::pair()?;
        let link =
            Self { stream: Arc::new(ours), inbox: FrameBuffer::new(frame_bytes_max), outbox: VecDeque::new(), sent: 0 };
        Ok((link, theirs.into()))
    }

    /// The socket, to wait for.
    pub(crate) fn stream(&self) -> &Arc<UnixStream> {
        &self.stream
    }

    /// Sends the first frame, with a descriptor. The socket's buffer is empty, so it has room for both.
    pub(crate) fn greet(&mut self, frame: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let sent = match descriptor {
            Some(descriptor) => sys::send_with_descriptor(&self.stream, frame, descriptor)?,
            None => sys::send(&self.stream, frame, Wait::No)?,
        };
        if sent == frame.len() { Ok(()) } else { Err(io::Error::other("a new socket took a part of its first frame")) }
    }

    /// Sends a frame: as much as the socket takes now, the rest by [`flush`](Self::flush).
    pub(crate) fn send(&mut self, frame: Arc<[u8]>) -> Result<(), Fault> {
        self.outbox.push_back(frame);
        self.flush()
    }

    /// Whether something waits for room in the socket.
    pub(crate) fn wants_write(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        while let Some(frame) = self.outbox.front() {
            match sys::send(&self.stream, &frame[self.sent..], Wait::No) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(fault(&error)),
            }
            if self.sent == frame.len() {
                self.outbox.pop_front();
                self.sent = 0;
            }
        }
        Ok(())
    }

    /// Hands over the messages that have arrived, and tells how many bytes were read. Those before a fault are handed
    /// over first.
    pub(crate) fn receive(
        &mut self,
        mut on_message: impl FnMut(ToParent<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut taken = 0;
        while taken < RECEIVE_BYTES_MAX {
            let room = self.inbox.room();
            let whole_room = room.len();
            let count = match sys::receive(&self.stream, room, Wait::No) {
                Ok(0) => return Err(Fault::Closed),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(fault(&error)),
            };
            self.inbox.filled(count);
            taken += count;
            while let Some(frame) = self.inbox.next()? {
                on_message(ToParent::parse(frame)?)?;
            }
            if count < whole_room {
                break;
            }
        }
        Ok(taken)
    }

    /// Tells the worker that nothing more will come, so that it exits once it has nothing to run.
    pub(crate) fn close_write(&self) {
        // An error means that the worker is gone already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

fn fault(error: &io::Error) -> Fault {
    if sys::is_hung_up(error) {
        Fault::Closed
    } else {
        Fault::Broken(format!("the channel to the worker failed: {error}"))
    }
}

/// The worker's side.
pub(crate) struct WorkerEnd {
    stream: UnixStream,
    inbox: FrameBuffer,
}

impl WorkerEnd {
    /// The channel that this process was started with.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, inbox: FrameBuffer::new(crate::wire::FRAME_BYTES_MIN) }
    }

    /// Sets the limit for frames, which the parent's first frame tells.
    pub(crate) fn set_frame_bytes_max(&mut self, frame_bytes_max: usize) {
        self.inbox.set_frame_bytes_max(frame_bytes_max);
    }

    /// A second handle on the socket, to send on and to watch.
    pub(crate) fn stream(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// Waits for the parent's first bytes, which may bring a descriptor.
    pub(crate) fn receive_greeting(&mut self) -> io::Result<Option<OwnedFd>> {
        let (count, descriptor) = sys::receive_with_descriptor(&self.stream, self.inbox.room())?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.inbox.filled(count);
        Ok(descriptor)
    }

    /// Waits for the next message and hands it over; none at the end of the stream.
    pub(crate) fn receive<T>(&mut self, on_message: impl FnOnce(ToWorker<'_>) -> T) -> Result<Option<T>, Fault> {
        while !self.has_frame()? {
            match sys::receive(&self.stream, self.inbox.room(), Wait::Yes) {
                Ok(0) if self.inbox.is_empty() => return Ok(None),
                Ok(0) => return Err(Fault::Closed),
                Ok(count) => self.inbox.filled(count),
                Err(error) => return Err(fault(&error)),
            }
        }
        let frame = self.inbox.next()?;
        let message = frame.map(ToWorker::parse).transpose()?;
        Ok(message.map(on_message))
    }

    /// Takes in what has arrived, without waiting, and tells whether a whole message is there.
    pub(crate) fn poll(&mut self) -> Result<bool, Fault> {
        match sys::receive(&self.stream, self.inbox.room(), Wait::No) {
            Ok(count) => self.inbox.filled(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(fault(&error)),
        }
        self.has_frame()
    }

    fn has_frame(&mut self) -> Result<bool, Fault> {
        Ok(self.inbox.has_frame()?)
    }
}
