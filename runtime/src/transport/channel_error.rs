//! Why a channel is of no more use.

use crate::wire::Violation;

/// Why a channel is of no more use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChannelError {
    /// The other side has closed it, or is gone.
    Closed,
    /// The other side broke the protocol.
    Violation(Violation),
    /// The system refuses it.
    Broken(String),
}

impl From<Violation> for ChannelError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}
