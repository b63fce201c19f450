//! The worker's end of the socket: frames, and descriptors that come with some. It waits for the parent alone, whose death ends
//! every wait.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use super::ChannelError;
use super::parent_socket::fault;
use crate::failpoints::{self, Point};
use crate::sys::{self, CrashSlot, FromParent, SocketToParent, Wait};
use crate::task::Role;
use crate::wire::{self, FrameBuffer, ToWorker};

/// The worker's side.
pub(crate) struct WorkerSocket {
    stream: Arc<SocketToParent>,
    inbox: FrameBuffer,
    descriptors: VecDeque<FromParent>,
}

impl WorkerSocket {
    /// The channel that this process was started with.
    pub(crate) fn new(stream: SocketToParent) -> Self {
        Self {
            stream: Arc::new(stream),
            inbox: FrameBuffer::new(crate::wire::WELCOME_BYTES_MAX),
            descriptors: VecDeque::new(),
        }
    }

    /// Sets the limit for frames, which the parent's first frame tells.
    pub(crate) fn set_frame_bytes_max(&mut self, frame_bytes_max: usize) {
        self.inbox.set_frame_bytes_max(frame_bytes_max);
    }

    /// A second handle on the socket, to send on and to watch.
    pub(crate) fn stream(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// The socket, to send descriptors of outputs on.
    pub(super) fn shared_stream(&self) -> Arc<SocketToParent> {
        Arc::clone(&self.stream)
    }

    /// Returns a sender of whole frames, for any thread.
    pub(crate) fn sender(&self, role: Role) -> Result<Arc<FrameSender>, ChannelError> {
        let stream = self.stream.try_clone().map_err(|error| fault(&error))?;
        Ok(Arc::new(FrameSender { stream: Mutex::new(stream), role }))
    }

    /// Where a signal that ends this process is recorded while `running` holds the number of a task, and not 0: no frame is sent
    /// then, but that of a panic. No stack is sent where a frame may not be as large as that.
    pub(crate) fn crash_slot(&self, running: &Arc<AtomicU64>, frame_bytes_max: usize) -> io::Result<CrashSlot> {
        let (crash, stack) = (wire::around_crash(), wire::around_stack(frame_bytes_max));
        let path = wire::around_denied_path();
        Ok(CrashSlot::Socket { stream: self.stream()?, running: Arc::clone(running), crash, stack, path })
    }

    /// Rings the parent's bell. A full socket means that it has been rung.
    pub(crate) fn ring_bell(&self) -> Result<(), ChannelError> {
        failpoints::reached(Point::Ringing);
        match sys::send(&self.stream, &[0], Wait::No) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(fault(&error)),
            _ => Ok(()),
        }
    }

    /// Takes the descriptor that came first.
    pub(crate) fn descriptor(&mut self) -> Option<FromParent> {
        self.descriptors.pop_front()
    }

    /// Waits for the next message and hands it over; none at the end of the stream.
    pub(crate) fn receive<T>(&mut self, on_message: impl FnOnce(ToWorker<'_>) -> T) -> Result<Option<T>, ChannelError> {
        while !self.inbox.has_frame()? {
            match self.fill(Wait::Yes) {
                Ok(0) if self.inbox.is_empty() => return Ok(None),
                Ok(0) => return Err(ChannelError::Closed),
                Ok(_) => {}
                Err(error) => return Err(fault(&error)),
            }
        }
        let frame = self.inbox.next()?;
        let message = frame.map(ToWorker::parse).transpose()?.map(on_message);
        // The buffer of a large frame is not kept beside the values that come of it.
        self.inbox.release();
        Ok(message)
    }

    /// Handles what has arrived, without waiting, and returns whether a whole message is there.
    pub(crate) fn poll(&mut self) -> Result<bool, ChannelError> {
        match self.fill(Wait::No) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(fault(&error)),
        }
        Ok(self.inbox.has_frame()?)
    }

    fn fill(&mut self, wait: Wait) -> io::Result<usize> {
        let Self { stream, inbox, descriptors } = self;
        let count = sys::receive_with_descriptors(stream, inbox.room(), wait, descriptors)?;
        inbox.filled(count);
        Ok(count)
    }
}

/// Sends whole frames; the panic hook has it too.
pub(crate) struct FrameSender {
    stream: Mutex<UnixStream>,
    role: Role,
}

impl FrameSender {
    /// Sends a frame. It waits for the parent alone; what goes on when the parent is gone speaks to nobody then.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<(), ChannelError> {
        // A task may fork, and both processes come back from it: the channel belongs to one of them.
        if sys::is_fork() {
            sys::exit_fork();
        }
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = failpoints::cut(Point::Sending, frame);
        while !left.is_empty() {
            match sys::send(&stream, left, Wait::Yes).map_err(|error| fault(&error)) {
                Ok(sent) => left = &left[sent..],
                Err(ChannelError::Closed) if !self.role.ends_with_parent() => return Ok(()),
                Err(fault) => return Err(fault),
            }
        }
        failpoints::reached(Point::Sent);
        Ok(())
    }
}
