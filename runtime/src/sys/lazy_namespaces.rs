//! Namespaces for the workers of a pool, as its parent has them: made while the first worker starts.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::namespaces::{NamespaceKinds, Namespaces};

/// Namespaces that are in the making, or made.
#[derive(Debug)]
pub(crate) struct LazyNamespaces {
    wanted: NamespaceKinds,
    /// Whether those that are to enter them begin with several threads.
    have_threads: bool,
    made: OnceLock<(Namespaces, Option<String>)>,
}

impl LazyNamespaces {
    /// Has a thread make them.
    pub(crate) fn begin(wanted: NamespaceKinds, have_threads: bool) -> Arc<Self> {
        let namespaces = Arc::new(Self { wanted, have_threads, made: OnceLock::new() });
        let making = Arc::clone(&namespaces);
        let thread = std::thread::Builder::new().name("poolmap-namespaces".to_owned());
        // Without one, the first that asks for them makes them.
        let _ = thread.spawn(move || {
            making.get();
        });
        namespaces
    }

    /// The same where they are made already.
    pub(crate) fn known(&self) -> Option<(&Namespaces, Option<&str>)> {
        self.made.get().map(|(namespaces, why_missing)| (namespaces, why_missing.as_deref()))
    }

    /// Those that could be made, and why one that is wanted is missing, if one is. It waits until they are made.
    pub(crate) fn get(&self) -> (&Namespaces, Option<&str>) {
        let (namespaces, why_missing) = self.made.get_or_init(|| make_namespaces(self.wanted, self.have_threads));
        (namespaces, why_missing.as_deref())
    }
}

#[cfg(poolmap_sandbox)]
use super::sandbox_namespaces::make_namespaces;

#[cfg(not(poolmap_sandbox))]
fn make_namespaces(_wanted: NamespaceKinds, _have_threads: bool) -> (Namespaces, Option<String>) {
    (Namespaces::default(), Some("this platform has none".to_owned()))
}

/// So often it is looked, a millisecond apart, before other threads are taken for ones that stay.
const LOOKS: u32 = 4;
/// Whether this program had several threads when it called [`note_threads`].
static HAS_THREADS: AtomicBool = AtomicBool::new(false);

/// Notes whether this program has several threads, as its workers will then have at this place too.
pub(crate) fn note_threads() {
    // A folder has two links beside those of the folders in it.
    let has_more = || std::fs::metadata("/proc/self/task").is_ok_and(|folder| folder.nlink() > 3);
    // A thread that was joined may be counted for a moment longer.
    let has_threads = (0..LOOKS).all(|look| {
        if look > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        has_more()
    });
    HAS_THREADS.store(has_threads, Ordering::Relaxed);
}

pub(crate) fn has_threads() -> bool {
    HAS_THREADS.load(Ordering::Relaxed)
}
