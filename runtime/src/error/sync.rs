//! How what processes use together can fail.

use super::{Error, Kind};

/// The kind of the failure, and its message.
pub(crate) struct SyncError {
    pub(crate) cause: SyncErrorKind,
    pub(crate) message: String,
}

/// Why a channel, a mutex or another thing between processes could not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncErrorKind {
    /// A process ended without giving back what it held.
    OwnerDied,
    /// The other ends of a channel are gone.
    Disconnected,
    /// They are gone, and one of them ended without dropping its end.
    DisconnectedByDeath,
    TimedOut,
    /// A value, the memory or the system would not have it.
    Unfit,
}

impl Error {
    pub(crate) fn sync(cause: SyncErrorKind, message: impl Into<String>) -> Self {
        Self::new(Kind::Sync(SyncError { cause, message: message.into() }))
    }

    fn sync_cause(&self) -> Option<SyncErrorKind> {
        match self.kind() {
            Kind::Sync(failure) => Some(failure.cause),
            _ => None,
        }
    }

    /// Returns whether a process died while this one depended on it.
    ///
    /// The process waited at the same [`Barrier`](crate::Barrier), or had the [`Sender`](crate::Sender)s or
    /// [`Receiver`](crate::Receiver)s of the channel.
    pub fn is_owner_died(&self) -> bool {
        matches!(self.sync_cause(), Some(SyncErrorKind::OwnerDied | SyncErrorKind::DisconnectedByDeath))
    }

    /// Returns whether the other ends of a channel are gone.
    ///
    /// A receiver gets no more values then, and no process would receive a sender's value.
    pub fn is_disconnected(&self) -> bool {
        matches!(self.sync_cause(), Some(SyncErrorKind::Disconnected | SyncErrorKind::DisconnectedByDeath))
    }

    /// Returns whether the wait timed out, or another participant's wait at the same [`Barrier`](crate::Barrier).
    ///
    /// [`TaskErrorKind`](crate::TaskErrorKind) reports a task that took too long.
    pub fn is_timed_out(&self) -> bool {
        self.sync_cause() == Some(SyncErrorKind::TimedOut)
    }
}
