//! Files and sockets as arguments: what a task gets of one is its own descriptor of it.
//!
//! 1. A descriptor is copied when it is encoded, under a number of its own, so each time that it is encoded one task is granted it.
//!    The chunk holds the copy until its tasks have their outcomes: a task that is executed again gets it again.
//! 2. It goes to the worker with each chunk anew, as memory that is lent does. The worker has it until its name is decoded, when the
//!    task gets it, or until the chunk is done. So one that nobody has decoded is closed then.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{ChildStderr, ChildStdin, ChildStdout};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::encode_scope::{WriteAs, form_for, grant, note_descriptor};
use super::grant::{Name, Right};
use super::grant_table::granted;
use super::object_table::take_descriptor;
use super::segment::Segment;
use crate::codec;

/// Passes a file or a socket to a task.
///
/// An `Fd` is an open descriptor, as an [`OwnedFd`] is. It is made from one, from a [`File`], a [`TcpStream`] and the like, and turns
/// into each of them. As an argument, by itself or inside of another value, it travels as a descriptor: the task gets one of its own,
/// for the same open file. So parent and task share the position in the file and flags such as `O_NONBLOCK`, as after `dup`.
///
/// The task's descriptor is closed when the task drops it; it is close-on-exec. If the task's arguments are not decoded, or its chunk is
/// taken back, the worker closes it. This process keeps a copy of the descriptor until the task has its outcome. A task that was sent to
/// a worker behind a long one, and then taken back, leaves a copy with that worker until the long one ends. So the peer of a connection
/// may not see an end when the task has dropped it: call `shutdown` in the task.
///
/// # Limits
///
/// - An `Fd` travels to a worker only. In a result, in a [`channel`](crate::channel()), in a [`Mutex`](crate::Mutex), and in
///   [`shared()`](crate::shared()) it is an error of the task.
/// - The arguments of each task that waits take a descriptor here for each `Fd`. A chunk ends with a task that has one, and the
///   [`window`](crate::Map::window) bounds how many chunks there are.
///
/// # Errors
///
/// If no descriptor is left for the copy, that is an error of the task ([`Encode`](crate::TaskErrorKind::Encode)).
///
/// # Worker death
///
/// A task that is executed again, with [`attempts`](crate::Map::attempts), gets its descriptor again. What the execution before has read
/// or written stays read or written.
///
/// # Examples
///
/// A worker answers a connection, which ends when the task does:
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
///
/// use poolmap::{Fd, Pool, worker};
///
/// #[worker]
/// fn answer(connection: Fd) -> std::io::Result<()> {
///     TcpStream::from(connection).write_all(b"hello")
/// }
///
/// poolmap::init();
/// let pool = Pool::builder().workers(1).build()?;
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (connection, _) = listener.accept()?;
/// pool.apply(answer { connection: connection.into() })?;
/// let mut text = String::new();
/// client.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A file as a result, which is an error:
///
/// ```
/// # use poolmap::{Fd, Pool, worker};
/// #[worker]
/// fn open(path: &str) -> std::io::Result<Fd> {
///     Ok(std::fs::File::open(path)?.into())
/// }
///
/// poolmap::init();
/// let error = Pool::builder().workers(1).build()?.apply(open { path: "/dev/null".into() }).unwrap_err();
/// assert!(format!("{error:#}").contains("an Fd travels as an argument of a worker function only"));
/// # Ok::<(), poolmap::Error>(())
/// ```
#[derive(Debug)]
pub struct Fd(OwnedFd);

impl Fd {
    /// Returns another descriptor for the same open file.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<OwnedFd> for Fd {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl From<Fd> for OwnedFd {
    fn from(fd: Fd) -> Self {
        fd.0
    }
}

macro_rules! turns_into {
    ($($from:ty)*) => {$(
        impl From<$from> for Fd {
            fn from(open: $from) -> Self {
                Self(open.into())
            }
        }

        impl From<Fd> for $from {
            fn from(fd: Fd) -> Self {
                fd.0.into()
            }
        }
    )*};
}
turns_into!(File TcpStream TcpListener UdpSocket UnixStream UnixListener UnixDatagram PipeReader PipeWriter ChildStdin
    ChildStdout ChildStderr);

const ARGUMENT_ONLY: &str = "an Fd travels as an argument of a worker function only, for one task each (not in a result, nor through a \
                             channel, a mutex or `shared()`)";

impl Serialize for Fd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match form_for::<S>() {
            WriteAs::Name => {}
            WriteAs::KeptName | WriteAs::Value | WriteAs::Output | WriteAs::Refused => {
                return Err(ser::Error::custom(ARGUMENT_ONLY));
            }
        }
        let copy = self.0.try_clone();
        let copy = copy.map_err(|error| ser::Error::custom(format!("could not copy a descriptor: {error}")))?;
        let name = grant(&Segment::once(copy), Right::Own, 0, (0, 0)).map_err(ser::Error::custom)?;
        note_descriptor();
        name.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let not_here = || {
            de::Error::custom("an Fd that this task was not given: it travels as an argument of a worker function only")
        };
        if !codec::is_own_deserializer::<D>() {
            return Err(not_here());
        }
        let grant = granted(Name::deserialize(deserializer)?, Right::Own, 0).ok_or_else(not_here)?;
        take_descriptor(&grant).map(Self).ok_or_else(not_here)
    }
}
