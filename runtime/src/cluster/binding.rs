//! The CPUs of an agent: a launcher may have bound it to fewer than its workers are to have.

use super::environment::{Launch, LaunchedBy};
use crate::sys;

/// Undoes the launcher's binding of this thread, if this process is the job's only one on its machine. Threads that are started later
/// inherit it, so the caller is the program's first thread, before it starts any. Returns a sentence for `POOLMAP_EXPLAIN=1`.
pub(crate) fn widen_lone_rank(launch: &Launch) -> Option<String> {
    let binds = matches!(launch.by, LaunchedBy::OpenMpi | LaunchedBy::Pmi | LaunchedBy::Pmix);
    if !binds || launch.local_size != Some(1) {
        return None;
    }
    let cpus = sys::undo_binding()?;
    Some(format!(
        "It runs on {cpus} CPUs, those of its launcher, as it is alone on its machine and was bound to fewer."
    ))
}
