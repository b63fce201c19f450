//! An error that a worker function returned, as it reaches the parent: texts, and the value itself where it is serde.

use std::error::Error;
use std::fmt;

/// Represents the error that a worker function returned in its worker.
///
/// `{error}` is the message of the original. [`source`](Error::source) returns the chain of its sources, outermost first. If the
/// original type is serde, [`downcast`](RemoteError::downcast) returns the original.
///
/// # Examples
///
/// ```
/// use poolmap::{TaskErrorKind, pool_try_map, worker};
///
/// #[worker]
/// fn parse(text: &str) -> Result<i64, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// poolmap::init();
/// let outcomes = pool_try_map!(parse, ["1", "two"])?;
/// assert_eq!(outcomes[0].as_ref().ok(), Some(&1));
/// let TaskErrorKind::Failed(error) = outcomes[1].as_ref().unwrap_err().kind() else {
///     panic!("another kind of error");
/// };
/// assert_eq!(error.message(), "invalid digit found in string");
/// # Ok::<(), poolmap::Error>(())
/// ```
#[derive(Clone)]
pub struct RemoteError {
    message: String,
    debug: String,
    type_name: String,
    pub(crate) typed: Option<TypedValue>,
    cause: Option<Box<SourceLink>>,
}

/// The error value itself: its type, by a hash that is equal in all processes of one binary, and its bytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TypedValue {
    pub(crate) type_hash: u64,
    pub(crate) bytes: Vec<u8>,
}

impl RemoteError {
    pub(crate) fn new(
        message: String,
        chain: Vec<String>,
        debug: String,
        type_name: String,
        typed: Option<TypedValue>,
    ) -> Self {
        let cause =
            chain.into_iter().rev().fold(None, |source, message| Some(Box::new(SourceLink { message, source })));
        Self { message, debug, type_name, typed, cause }
    }

    /// Returns the message: the original's `Display` text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the original's `Debug` text, made in the worker.
    pub fn debug_text(&self) -> &str {
        &self.debug
    }

    /// Returns the name of the original's type, as the compiler writes it.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.debug)
    }
}

impl Error for RemoteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// One link of the chain of sources.
#[derive(Clone, Debug)]
struct SourceLink {
    message: String,
    source: Option<Box<SourceLink>>,
}

impl fmt::Display for SourceLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for SourceLink {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}
