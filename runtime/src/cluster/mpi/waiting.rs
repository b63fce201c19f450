//! How the threads of MPI wait: by polls that become rarer, which other threads cut short.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::fabric::Fabric;

/// Waits before the next look at the fabric; false once the moment has come, or another thread has woken this one.
pub(super) fn wait_for(fabric: &mut Fabric, is_woken: &AtomicBool, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    if is_woken.swap(false, Ordering::AcqRel) || left.is_zero() {
        return false;
    }
    match fabric.pause() {
        Duration::ZERO => std::thread::yield_now(),
        time => std::thread::park_timeout(time.min(left)),
    }
    true
}
