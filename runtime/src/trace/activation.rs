//! When a worker has a subscriber and a logger of ours.
//!
//! The program's own choice wins. While an initializer runs, the subscriber is that of its thread alone. Behind it, or before the first task
//! that somebody listens to, it becomes that of the process, if the program has set none by then; so does the logger.

use std::sync::OnceLock;

use tracing::subscriber::{self, DefaultGuard, NoSubscriber};
use tracing::{callsite, dispatcher};

use super::forwarder::Forwarder;
use super::record::{LEVEL, LIFECYCLE};
use super::{link, logger};

/// Whether the global subscriber of this worker is ours, once that is settled.
static IS_OURS: OnceLock<bool> = OnceLock::new();

/// Notes the word of the tasks that are run next.
#[inline]
pub(crate) fn set_tasks(word: u64) {
    if word | link::word() != 0 {
        change(word);
    }
}

#[cold]
fn change(word: u64) {
    link::set_word(word);
    if word != 0 && word & LIFECYCLE == 0 {
        make_global();
    }
    want((word & LEVEL) as u8);
}

fn want(level: u8) {
    if link::set_wanted(level) {
        callsite::rebuild_interest_cache();
        logger::set_level(level);
    }
}

/// Makes the subscriber and the logger of this worker ours, where the program has set none.
fn make_global() {
    IS_OURS.get_or_init(|| {
        logger::install(link::wanted());
        subscriber::set_global_default(Forwarder).is_ok()
    });
}

/// Until what it returns is dropped, what an initializer or a finalizer makes on this thread is written.
#[inline]
pub(crate) fn enter_lifecycle_call() -> Option<impl Drop> {
    if link::word() & LIFECYCLE == 0 { None } else { lifecycle_scope() }
}

#[cold]
fn lifecycle_scope() -> Option<LifecycleScope> {
    if IS_OURS.get().is_some() {
        return None;
    }
    // What `main` does before `init()` may have set one.
    if !dispatcher::get_default(|dispatch| dispatch.is::<NoSubscriber>()) {
        let _ = IS_OURS.set(false);
        return None;
    }
    Some(LifecycleScope(Some(subscriber::set_default(Forwarder))))
}

struct LifecycleScope(Option<DefaultGuard>);

impl Drop for LifecycleScope {
    fn drop(&mut self) {
        self.0 = None;
        make_global();
    }
}
