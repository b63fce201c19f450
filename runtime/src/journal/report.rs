//! What is said of a journal on standard error: what is no error of a map, and what its user should know. It knows no more of it than its
//! path.

use std::io::{self, Write};
use std::path::Path;

/// Writes a line about a journal on standard error, which may be closed: that is no reason to stop.
#[cold]
pub(super) fn report(path: &Path, text: &str) {
    let _ = io::stderr().write_all(format!("poolmap: journal {}: {text}\n", path.display()).as_bytes());
}
