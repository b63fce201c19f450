//! The errors, as plain data: nothing here knows how a worker is started or how bytes travel.

mod arguments;
mod call;
mod chain;
mod codec;
mod native;
mod remote;
mod saved;
mod signal;
mod sync;
mod task;

pub(crate) use arguments::{FailedArguments, ShowArguments};
pub use call::Error;
pub(crate) use call::{Kind, LengthMismatch, Place, StartFailure};
pub use codec::CodecError;
pub(crate) use native::NativeBacktrace;
pub use remote::RemoteError;
pub(crate) use remote::TypedValue;
pub(crate) use saved::SavedNote;
pub(crate) use signal::signal_name;
pub(crate) use sync::{SyncError, SyncErrorKind};
pub(crate) use task::{Printed, kind_text};
pub use task::{TaskError, TaskErrorKind};

/// A `Result` whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
