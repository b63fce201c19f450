//! The size of the system's pages.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::libc;

/// The largest page that a system has, where it does not say how large its own are.
const PAGE_BYTES_MAX: usize = 64 << 10;

/// The size of a page: asked of the system once. In a worker that is before a signal handler of ours can ask.
pub(crate) fn page_bytes() -> usize {
    static BYTES: AtomicUsize = AtomicUsize::new(0);
    let known = BYTES.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    // SAFETY: it takes a number, and touches no memory of ours.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let bytes = usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(PAGE_BYTES_MAX);
    BYTES.store(bytes, Ordering::Relaxed);
    bytes
}
