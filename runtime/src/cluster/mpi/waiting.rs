//! How the threads of MPI wait: by polls that become rarer, which other threads cut short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::fabric::Fabric;

/// The thread that polls, as others wake it.
pub(super) struct PollingThread {
    is_woken: Arc<AtomicBool>,
    thread: Thread,
}

impl PollingThread {
    /// The calling thread.
    pub(super) fn current() -> Self {
        Self { is_woken: Arc::default(), thread: std::thread::current() }
    }

    /// Wakes it, from any thread.
    pub(super) fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let (is_woken, thread) = (Arc::clone(&self.is_woken), self.thread.clone());
        Arc::new(move || {
            if !is_woken.swap(true, Ordering::AcqRel) {
                thread.unpark();
            }
        })
    }

    /// Waits before the next look at the fabric; false once the moment has come, or another thread has woken this one.
    pub(super) fn wait(&self, fabric: &mut Fabric, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        if self.is_woken.swap(false, Ordering::AcqRel) || left.is_zero() {
            return false;
        }
        match fabric.pause() {
            Duration::ZERO => std::thread::yield_now(),
            time => std::thread::park_timeout(time.min(left)),
        }
        true
    }
}
