//! How this process waits for memory that it has lent: until those who run tasks with it are done, or gone. It knows them as
//! somebody who can look after that.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::locks::{Lock, Rank, Ranked};
use crate::sys::PerProcess;

/// Records that tasks have ended, where no other thread does: after a call has ended, no caller reads the results of what
/// still runs of it.
pub(crate) trait Poller: Send + Sync {
    /// Handles what has happened, without waiting.
    fn poll_once(&self);
}

impl Ranked for Vec<Weak<dyn Poller>> {
    const RANK: Rank = Rank::Pollers;
}

/// A fork has none of its parent's.
static POLLERS: PerProcess<Lock<Vec<Weak<dyn Poller>>>> = PerProcess::new();

/// Has somebody look, as long as it is there, while a thread waits.
pub(crate) fn poll_while_waiting<L: Poller + 'static>(poller: &Arc<L>) {
    let poller: Arc<dyn Poller> = Arc::<L>::clone(poller);
    let mut pollers = POLLERS.get().lock();
    pollers.retain(|other| other.strong_count() > 0);
    pollers.push(Arc::downgrade(&poller));
}

/// It is looked this often: at first, as a killed worker is gone within a millisecond; and later.
const PAUSE_MIN: Duration = Duration::from_micros(50);
const PAUSE_MAX: Duration = Duration::from_millis(2);

/// Waits until something holds, for this long at most; returns whether it does.
pub(super) fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    let mut pause = PAUSE_MIN;
    while !holds() {
        let Some(left) = limit.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else {
            return false;
        };
        let pollers: Vec<Arc<dyn Poller>> = POLLERS.get().lock().iter().filter_map(Weak::upgrade).collect();
        pollers.iter().for_each(|poller| poller.poll_once());
        drop(pollers);
        if holds() {
            return true;
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(PAUSE_MAX);
    }
    true
}
