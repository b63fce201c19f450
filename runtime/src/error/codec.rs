//! Why a value could not be turned into bytes or back; it knows no format.

use std::fmt;

/// Reports why a value could not be encoded or decoded.
///
/// The message names the cause, and a remedy where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError {
    message: String,
}

impl CodecError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// There is no memory for so many bytes of arguments.
    pub(crate) fn no_memory(bytes: usize, error: &std::io::Error) -> Self {
        Self::new(format!("there is no memory for its {bytes} bytes: {error}"))
    }

    /// Returns the cause, as a lower-case fragment.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CodecError {}
