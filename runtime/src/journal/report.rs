//! What is said of a file that is written on the way on standard error: what is no error of a map, and what its user should know. It knows
//! no more of it than its path.

use std::io::{self, Write};
use std::path::Path;

/// What a file keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// The outputs of tasks: a journal.
    Outputs,
    /// A line for each task: a job log.
    Log,
}

impl FileKind {
    fn name(self) -> &'static str {
        match self {
            Self::Outputs => "journal",
            Self::Log => "job log",
        }
    }

    /// The name of the thread that writes the file: up to 15 bytes are seen.
    pub(super) fn thread(self) -> &'static str {
        match self {
            Self::Outputs => "poolmap-journal",
            Self::Log => "poolmap-log",
        }
    }

    /// What a file that cannot be written leads to.
    pub(super) fn lost(self) -> &'static str {
        match self {
            Self::Outputs => "Outputs that are not in the journal are computed again after a restart",
            Self::Log => "Lines of this time are missing in the log",
        }
    }
}

/// Writes a line about a file on standard error, which may be closed: that is no reason to stop.
#[cold]
pub(super) fn report(kept: FileKind, path: &Path, text: &str) {
    let _ = io::stderr().write_all(format!("poolmap: {} {}: {text}\n", kept.name(), path.display()).as_bytes());
}
