//! What became of a failed task's arguments where they were to be saved in a file.

use std::fmt;
use std::path::PathBuf;

/// Where a failed task was saved, or why it was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SavedNote {
    Saved(PathBuf),
    NotSaved(String),
}

impl fmt::Display for SavedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Saved(path) => write!(f, "saved as {}", path.display()),
            Self::NotSaved(why) => write!(f, "not saved: {why}"),
        }
    }
}
