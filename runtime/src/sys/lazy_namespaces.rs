//! Namespaces for the workers of a pool, as its parent has them: made when they are needed first.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::namespaces::Namespaces;

/// Which namespaces are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamespaceKinds {
    /// A network with no interface that is up.
    pub(crate) network: bool,
    /// A tree of files with an empty root.
    pub(crate) mounts: bool,
}

/// Namespaces that are made when they are asked for first, and are the same ones then.
#[derive(Debug, Default)]
pub(crate) struct LazyNamespaces {
    wanted: NamespaceKinds,
    /// Whether those that are to enter them begin with several threads.
    have_threads: bool,
    made: OnceLock<(Arc<Namespaces>, Option<String>)>,
}

impl LazyNamespaces {
    pub(crate) fn new(wanted: NamespaceKinds, have_threads: bool) -> Self {
        Self { wanted, have_threads, made: OnceLock::new() }
    }

    /// Those that could be made, and why one that is wanted is missing, if one is.
    pub(crate) fn get(&self) -> (&Arc<Namespaces>, Option<&str>) {
        let (namespaces, why_missing) = self.made.get_or_init(|| {
            let (made, why_missing) = match self.wanted == NamespaceKinds::default() {
                true => (Namespaces::default(), None),
                false => make_namespaces(self.wanted, self.have_threads),
            };
            (Arc::new(made), why_missing)
        });
        (namespaces, why_missing.as_deref())
    }
}

#[cfg(poolmap_sandbox)]
use super::sandbox_namespaces::make_namespaces;

#[cfg(not(poolmap_sandbox))]
fn make_namespaces(_wanted: NamespaceKinds, _have_threads: bool) -> (Namespaces, Option<String>) {
    (Namespaces::default(), Some("this platform has none".to_owned()))
}

/// Whether this program had several threads when it called [`note_threads`].
static HAS_THREADS: AtomicBool = AtomicBool::new(false);

/// Notes whether this program has several threads, as its workers will then have at this place too.
pub(crate) fn note_threads() {
    // The folder of the first has this one in it, and its own name (proc_pid_task(5)).
    let threads = std::fs::metadata("/proc/self/task").map_or(1, |folder| folder.nlink().saturating_sub(2));
    HAS_THREADS.store(threads > 1, Ordering::Relaxed);
}

pub(crate) fn has_threads() -> bool {
    HAS_THREADS.load(Ordering::Relaxed)
}
