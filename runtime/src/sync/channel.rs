//! A queue of values that processes send to each other.

use std::fmt;
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::endpoints::{ChannelEnd, EndRole, Endpoints, PeerStatus};
use super::packets::{self, BUFFER_BYTES, HEAD_BYTES, Packet, ReceivedPacket, VALUE_BYTES_MAX};
use super::segment::{Check, LIVENESS_CHECK_INTERVAL, SyncKind, WaitLimit};
use crate::codec;
use crate::error::{CodecError, Error, Result, SyncErrorKind};
use crate::shared;
use crate::sys::{self, Wait, Watch};

/// Creates a queue of values between processes: Python's `Queue`, and its `Pipe` too.
///
/// Both ends can be cloned, and passed as arguments of worker functions, by themselves or inside of another value. So any number of
/// processes send and any number receive. Each value is received once. A receiver gets the values of one sender in the order in which
/// they were sent.
///
/// # Limits
///
/// - The buffer of a socket holds the values that are sent and not yet received: about 400 KiB where the system allows it (some 700
///   small values). A sender blocks while it is full.
/// - A value of more than 64 KiB, up to 2 GiB, travels in memory of its own; the buffer holds only a reference. For such values
///   only their number is limited.
/// - The channel takes three descriptors here, and two or three in each worker that has received an end. At most 4,096 processes can
///   share it.
/// - An end does not travel in a task's result, through a channel or a mutex, or in [`shared`](crate::shared()), where it would stay
///   open after the call: pass `std::iter::repeat(&sender)`.
/// - A program that forks to become a daemon creates its channels, and its other handles, after the fork, because the workers do not
///   know the forked process. In a fork each method returns an error ([`Error::is_forked`]), and a drop releases nothing.
///
/// # The end
///
/// A channel ends for the receivers when the last [`Sender`] is dropped and all values are received. A call with a sender among its
/// arguments holds it until the call has the task's outcome. So drop the clones that you made for the call. Do not wait for the end on
/// the thread that drives the call: map on one thread, and receive on another.
///
/// # Worker death
///
/// Values that were sent are received, also after their sender's death. If the last sender is gone, and a sender's process died, the
/// receivers get the values that are left, and then an error with [`is_owner_died`](Error::is_owner_died), within 50 ms. Senders get
/// the same error if the receivers are gone that way. Values that no process has received then are lost. Values that a process had
/// received when it died are lost with its task's other work.
///
/// # Errors
///
/// The system has no memory to share, or no descriptor is left.
///
/// # Examples
///
/// Values from all workers, as they arrive:
///
/// ```
/// use poolmap::{Sender, channel, pool_map, worker};
///
/// #[worker]
/// fn count_to(number: u32, numbers: Sender<u32>) -> poolmap::Result<()> {
///     for number in 0..number {
///         numbers.send(number)?;
///     }
///     Ok(())
/// }
///
/// poolmap::init();
/// let (sender, receiver) = channel()?;
/// let sum = std::thread::scope(|scope| {
///     let sent = scope.spawn(move || pool_map!(count_to, 1..=4, std::iter::repeat(sender)));
///     let sum = receiver.iter().sum::<poolmap::Result<u32>>();
///     sent.join().expect("no panic")?;
///     sum
/// })?;
/// assert_eq!(sum, 0 + 1 + 3 + 6);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// No receiver is left, so the sender gets its value back:
///
/// ```
/// # use poolmap::channel;
/// let (sender, receiver) = channel()?;
/// drop(receiver);
/// let error = sender.send("text".to_owned()).unwrap_err();
/// assert!(error.error().is_disconnected());
/// assert_eq!(error.into_value(), "text");
/// # Ok::<(), poolmap::Error>(())
/// ```
pub fn channel<T: Serialize + DeserializeOwned>() -> Result<(Sender<T>, Receiver<T>)> {
    let failed = |error| Error::sync(SyncErrorKind::Unfit, format!("could not create a channel: {error}"));
    let (sending, receiving) = sys::packet_pair(BUFFER_BYTES, LIVENESS_CHECK_INTERVAL).map_err(failed)?;
    let ends = Endpoints::new()?;
    let sender = Sender { end: ends.open(EndRole::Send, Arc::new(sending)), value: PhantomData };
    let receiver = Receiver { end: ends.open(EndRole::Receive, Arc::new(receiving)), value: PhantomData };
    Ok((sender, receiver))
}

/// Sends values into a [`channel()`].
pub struct Sender<T> {
    pub(super) end: Arc<ChannelEnd>,
    value: PhantomData<fn(T)>,
}

/// Receives values from a [`channel()`].
pub struct Receiver<T> {
    pub(super) end: Arc<ChannelEnd>,
    value: PhantomData<fn() -> T>,
}

impl<T: Serialize> Sender<T> {
    /// Sends a value, and blocks while the channel is full.
    ///
    /// # Errors
    ///
    /// No receiver is left ([`is_disconnected`](Error::is_disconnected)); if a receiver's process died, also
    /// [`is_owner_died`](Error::is_owner_died), within 50 ms. The value does not encode, or takes more than 2 GiB. The error returns
    /// the value ([`SendError::into_value`]).
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_for(value, WaitLimit::Endless)
    }

    /// Sends a value without blocking.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send); the channel is full ([`is_timed_out`](Error::is_timed_out)).
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_for(value, WaitLimit::None)
    }

    /// Sends a value, and blocks up to `timeout` while the channel is full.
    ///
    /// # Errors
    ///
    /// The errors of [`send`](Self::send); the channel was full all that time ([`is_timed_out`](Error::is_timed_out)).
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendError<T>> {
        self.send_for(value, WaitLimit::of(timeout))
    }

    fn send_for(&self, value: T, patience: WaitLimit) -> Result<(), SendError<T>> {
        let checked = self.end.ends.segment.check_process(SyncKind::Channel);
        checked
            .and_then(|()| packets::with_buffer(|buffer| self.send_by(buffer, &value, patience)))
            .map_err(|error| SendError { error, value })
    }

    fn send_by(&self, buffer: &mut Vec<u8>, value: &T, patience: WaitLimit) -> Result<()> {
        let failed = |error| Error::sync(SyncErrorKind::Unfit, format!("could not send a value: {error}"));
        buffer.clear();
        buffer.resize(HEAD_BYTES, 0);
        let by_value = shared::by_value();
        let encoded = codec::encode_caught(value, buffer, VALUE_BYTES_MAX);
        drop(by_value);
        encoded.map_err(|error| Error::sync(SyncErrorKind::Unfit, format!("could not encode a value: {error}")))?;
        let mut packet = Packet::new(buffer).map_err(failed)?;
        let (mut look, mut had_room) = (self.end.check_due(), false);
        loop {
            match self.end.find_others(look) {
                PeerStatus::Some => {}
                found => return Err(no_receiver(found)),
            }
            match packet.send(self.end.socket.as_fd()) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if sys::is_too_long(&error) && packet.is_small() => {
                    packet.make_large().map_err(failed)?;
                    continue;
                }
                Err(error) => {
                    return Err(match self.end.find_others(Check::Close) {
                        PeerStatus::Some => failed(error),
                        found => no_receiver(found),
                    });
                }
            }
            if look == Check::Quick {
                look = Check::Close;
                continue;
            }
            let Some(slice) = patience.slice() else {
                return Err(Error::sync(
                    SyncErrorKind::TimedOut,
                    "the channel is full: receive faster, or wait longer",
                ));
            };
            if had_room {
                // But not for descriptors, of which too many are under way, or another was faster.
                std::thread::sleep(slice.min(NO_ROOM));
            }
            let mut watches = [Watch { write: true, ..Watch::hang_up(self.end.socket.as_fd()) }];
            had_room = sys::poll(&mut watches, Some(slice)).is_err() || watches[0].ready;
        }
    }
}

/// A sender that finds no room where there was some tries again after this long.
const NO_ROOM: Duration = Duration::from_millis(1);

fn no_receiver(found: PeerStatus) -> Error {
    match found {
        PeerStatus::NoneByDeath => {
            Error::sync(SyncErrorKind::DisconnectedByDeath, "channel closed: a process holding a Receiver died")
        }
        _ => Error::sync(SyncErrorKind::Disconnected, "channel closed: all receivers were dropped"),
    }
}

impl<T: DeserializeOwned> Receiver<T> {
    /// Waits for the next value and returns it.
    ///
    /// # Errors
    ///
    /// All values are received, and no sender is left ([`is_disconnected`](Error::is_disconnected)); if a process died without
    /// dropping its sender, also [`is_owner_died`](Error::is_owner_died). The received bytes are not a `T`, because a faulty task wrote
    /// at random; later values are not affected.
    pub fn recv(&self) -> Result<T> {
        match self.receive_for(WaitLimit::Endless)? {
            Some(value) => Ok(value),
            None => Err(Error::sync(SyncErrorKind::TimedOut, "no value came until the end of time")),
        }
    }

    /// Returns the next value, or `None` if there is none now.
    ///
    /// # Errors
    ///
    /// The errors of [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<T>> {
        self.receive_for(WaitLimit::None)
    }

    /// Waits up to `timeout` for the next value. Returns `None` if the time is over first.
    ///
    /// # Errors
    ///
    /// The errors of [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<T>> {
        self.receive_for(WaitLimit::of(timeout))
    }

    /// Returns an iterator of the values, which ends when all senders are dropped.
    ///
    /// An error is its last item, also the error that a sender's process died without dropping its sender.
    pub fn iter(&self) -> Values<'_, T> {
        Values { receiver: self, is_over: false }
    }

    fn receive_for(&self, patience: WaitLimit) -> Result<Option<T>> {
        self.end.ends.segment.check_process(SyncKind::Channel)?;
        packets::with_buffer(|buffer| self.receive_by(buffer, patience))
    }

    fn receive_by(&self, buffer: &mut Vec<u8>, patience: WaitLimit) -> Result<Option<T>> {
        let mut look = Check::Quick;
        loop {
            // Asked before the look into the socket: what is sent before the last sender goes stands there already.
            let found = self.end.find_others(look);
            let wait = match (found, patience) {
                (PeerStatus::Some, WaitLimit::Endless) => Wait::Yes,
                _ => Wait::No,
            };
            let came = packets::receive(self.end.socket.as_fd(), buffer, wait);
            let came =
                came.map_err(|error| Error::sync(SyncErrorKind::Unfit, format!("could not receive a value: {error}")))?;
            let decoded = match came {
                ReceivedPacket::Small(length) => decode(&buffer[HEAD_BYTES..HEAD_BYTES + length]),
                ReceivedPacket::Large(value) => decode(&value),
                ReceivedPacket::End | ReceivedPacket::Nothing => {
                    if found != PeerStatus::Some {
                        return Err(no_sender(found));
                    }
                    if look == Check::Close {
                        let Some(slice) = patience.slice() else {
                            return Ok(None);
                        };
                        self.sleep(&came, wait, slice);
                    }
                    look = Check::Close;
                    continue;
                }
            };
            let unfit =
                |error| Error::sync(SyncErrorKind::Unfit, format!("could not decode a received value: {error}"));
            return decoded.map(Some).map_err(unfit);
        }
    }

    /// Waits until something comes, if that was not waited for already.
    fn sleep(&self, came: &ReceivedPacket, waited: Wait, slice: Duration) {
        match (came, waited) {
            (ReceivedPacket::Nothing, Wait::Yes) => {}
            (ReceivedPacket::Nothing, Wait::No) => {
                let mut watches = [Watch::read(self.end.socket.as_fd())];
                let _ = sys::poll(&mut watches, Some(slice));
            }
            // A task shut the socket down, and no sender did, as there are some: there is nothing to wait for but their end.
            _ => std::thread::sleep(slice),
        }
    }
}

/// Decodes a value, in which no handle is found, also where it is received by a value that is an argument itself.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let _closed = shared::closed_table();
    codec::decode_caught(bytes)
}

fn no_sender(found: PeerStatus) -> Error {
    match found {
        PeerStatus::NoneByDeath => Error::sync(
            SyncErrorKind::DisconnectedByDeath,
            "channel closed: a process holding a Sender died, and may have had more to send",
        ),
        _ => Error::sync(SyncErrorKind::Disconnected, "channel closed: all senders were dropped"),
    }
}

/// Iterates over the values of a [`channel()`]. [`Receiver::iter`] returns it.
pub struct Values<'a, T> {
    receiver: &'a Receiver<T>,
    is_over: bool,
}

impl<T: DeserializeOwned> Iterator for Values<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if self.is_over {
            return None;
        }
        let next = self.receiver.recv();
        if let Err(error) = &next {
            self.is_over = true;
            if error.is_disconnected() && !error.is_owner_died() {
                return None;
            }
        }
        Some(next)
    }
}

impl<'a, T: DeserializeOwned> IntoIterator for &'a Receiver<T> {
    type Item = Result<T>;
    type IntoIter = Values<'a, T>;

    fn into_iter(self) -> Values<'a, T> {
        self.iter()
    }
}

/// Holds a value that was not sent, and the error.
pub struct SendError<T> {
    value: T,
    error: Error,
}

impl<T> SendError<T> {
    /// Returns the error.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the value.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> From<SendError<T>> for Error {
    fn from(error: SendError<T>) -> Self {
        error.error
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl<T> std::error::Error for SendError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Implements what both ends are alike in.
macro_rules! end {
    ($end:ident, $role:expr) => {
        impl<T> Clone for $end<T> {
            fn clone(&self) -> Self {
                Self { end: Arc::clone(&self.end), value: PhantomData }
            }
        }

        impl<T> fmt::Debug for $end<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($end)).finish_non_exhaustive()
            }
        }

        impl<T> Serialize for $end<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.end.serialize(serializer)
            }
        }

        impl<'de, T> Deserialize<'de> for $end<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                ChannelEnd::deserialize($role, deserializer).map(|end| Self { end, value: PhantomData })
            }
        }
    };
}

end!(Sender, EndRole::Send);
end!(Receiver, EndRole::Receive);
