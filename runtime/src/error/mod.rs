//! The errors, as plain data: nothing here knows how a worker is started or how bytes travel.

mod call;
mod chain;
mod codec;
mod native;
mod remote;
mod signal;
mod sync;
mod task;

pub use call::Error;
pub(crate) use call::{Kind, LengthMismatch, Place, StartFailure};
pub use codec::CodecError;
pub(crate) use native::NativeBacktrace;
pub use remote::RemoteError;
pub(crate) use remote::TypedValue;
pub(crate) use sync::{SyncError, SyncErrorKind};
pub(crate) use task::Printed;
pub use task::{TaskError, TaskErrorKind};

/// A `Result` whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
