//! The calls that a worker was at when it ended, as text that is made when somebody asks for it. It knows nothing of how.

use std::fmt;
use std::sync::{Arc, LazyLock};

type MakeText = Box<dyn FnOnce() -> String + Send>;

/// The text of a stack of calls.
#[derive(Clone)]
pub(crate) struct NativeBacktrace(Arc<LazyLock<String, MakeText>>);

impl NativeBacktrace {
    /// The text that this makes, which must not panic.
    pub(crate) fn new(make_text: impl FnOnce() -> String + Send + 'static) -> Self {
        let make_text: MakeText = Box::new(make_text);
        Self(Arc::new(LazyLock::new(make_text)))
    }

    /// The text. The first call may look names up.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NativeBacktrace {
    /// The text with `{:#?}`; nothing is looked up for `{:?}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if f.alternate() { self.text() } else { ".." })
    }
}
