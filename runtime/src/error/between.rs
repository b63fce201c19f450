//! How what processes use together can fail.

use super::{Error, Kind};

/// What failed, and its message.
pub(crate) struct BetweenFailure {
    pub(crate) cause: Between,
    pub(crate) message: String,
}

/// Why a channel, a mutex or another thing between processes could not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
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
    pub(crate) fn between(cause: Between, message: impl Into<String>) -> Self {
        Self::new(Kind::Between(BetweenFailure { cause, message: message.into() }))
    }

    fn between_cause(&self) -> Option<Between> {
        match self.kind() {
            Kind::Between(failure) => Some(failure.cause),
            _ => None,
        }
    }

    /// Whether a process ended, however it did, while it held a part of what this one waited for: it waited at a
    /// [`Barrier`](crate::Barrier), or had the [`Sender`](crate::Sender)s or [`Receiver`](crate::Receiver)s of a channel.
    pub fn is_owner_died(&self) -> bool {
        matches!(self.between_cause(), Some(Between::OwnerDied | Between::DisconnectedByDeath))
    }

    /// Whether the other ends of a channel are gone: to a receiver, that nothing more will come; to a sender, that nobody would
    /// receive it.
    pub fn is_disconnected(&self) -> bool {
        matches!(self.between_cause(), Some(Between::Disconnected | Between::DisconnectedByDeath))
    }

    /// Whether the time that the caller gave was over, or the time of another who waited at the same
    /// [`Barrier`](crate::Barrier). A task that took too long is told by [`TaskErrorKind`](crate::TaskErrorKind).
    pub fn is_timed_out(&self) -> bool {
        self.between_cause() == Some(Between::TimedOut)
    }
}
