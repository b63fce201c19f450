//! How this process waits for memory that it has lent: until those who run tasks with it are done, or gone. It knows them as
//! somebody who can look after that.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::locks::{Lock, Rank, Ranked};
use crate::sys::PerProcess;

/// Takes in that tasks have ended, where no other thread does: after a call has ended, no caller reads the results of what
/// still runs of it.
pub(crate) trait Looker: Send + Sync {
    /// Takes in what has happened, without waiting.
    fn look(&self);
}

impl Ranked for Vec<Weak<dyn Looker>> {
    const RANK: Rank = Rank::Lookers;
}

/// A fork has none of its parent's.
static LOOKERS: PerProcess<Lock<Vec<Weak<dyn Looker>>>> = PerProcess::new();

/// Has somebody look, as long as it is there, while a thread waits.
pub(crate) fn look_while_waiting<L: Looker + 'static>(looker: &Arc<L>) {
    let looker: Arc<dyn Looker> = Arc::<L>::clone(looker);
    let mut lookers = LOOKERS.get().lock();
    lookers.retain(|other| other.strong_count() > 0);
    lookers.push(Arc::downgrade(&looker));
}

/// It is looked this often: at first, as a killed worker is gone within a millisecond; and later.
const PAUSE_MIN: Duration = Duration::from_micros(50);
const PAUSE_MAX: Duration = Duration::from_millis(2);

/// Waits until something holds, for so long at most; tells whether it does.
pub(super) fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    let mut pause = PAUSE_MIN;
    while !holds() {
        let Some(left) = limit.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else {
            return false;
        };
        let lookers: Vec<Arc<dyn Looker>> = LOOKERS.get().lock().iter().filter_map(Weak::upgrade).collect();
        lookers.iter().for_each(|looker| looker.look());
        drop(lookers);
        if holds() {
            return true;
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(PAUSE_MAX);
    }
    true
}
