//! The works that an agent has asked the server for: it never has more than it has room for. The server fills the requests of an agent in
//! the order in which they were made. A work does not say which it is of, but the end of a request does. It does no I/O.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The server keeps a request so long.
pub(super) const PULL_TIME: Duration = Duration::from_secs(10);
/// A request that has not ended by then is lost: a server says nothing of one for a stream that it does not have.
const SPARE_TIME: Duration = Duration::from_secs(3);
/// After a request that the server would not have.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);
/// After work that was given back: whoever cannot begin it cannot begin the next.
const RETURNED_PAUSE: Duration = Duration::from_secs(1);
const RETURNED_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The requests that are with the server.
pub(super) struct Pulls {
    next: u64,
    open: BTreeMap<u64, OpenPull>,
    paused_until: Option<Instant>,
    returned_pause: Duration,
}

struct OpenPull {
    left: usize,
    until: Instant,
}

/// A request to be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PullRequest {
    pub(super) number: u64,
    pub(super) batch: usize,
}

impl Pulls {
    pub(super) fn new() -> Self {
        Self { next: 0, open: BTreeMap::new(), paused_until: None, returned_pause: RETURNED_PAUSE }
    }

    /// What is to be asked for, so that so many works may come.
    pub(super) fn request(&mut self, room: usize, now: Instant) -> Option<PullRequest> {
        self.open.retain(|_, pull| now < pull.until);
        if self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.paused_until = None;
        let open: usize = self.open.values().map(|pull| pull.left).sum();
        let batch = room.checked_sub(open).filter(|batch| *batch > 0)?;
        self.next += 1;
        self.open.insert(self.next, OpenPull { left: batch, until: now + PULL_TIME + SPARE_TIME });
        Some(PullRequest { number: self.next, batch })
    }

    /// A work has come, of the oldest request.
    pub(super) fn came(&mut self) {
        if let Some(mut oldest) = self.open.first_entry() {
            oldest.get_mut().left -= 1;
            if oldest.get().left == 0 {
                oldest.remove();
            }
        }
    }

    /// A request has ended: its time is over, or the server would not have it.
    pub(super) fn ended(&mut self, number: u64, is_over: bool, now: Instant) {
        self.open.remove(&number);
        if !is_over {
            self.pause(now, REFUSED_PAUSE);
        }
    }

    /// The server has forgotten all of them.
    pub(super) fn lost(&mut self) {
        self.open.clear();
    }

    /// Works were given back.
    pub(super) fn returned(&mut self, now: Instant) {
        self.pause(now, self.returned_pause);
        self.returned_pause = (2 * self.returned_pause).min(RETURNED_PAUSE_MAX);
    }

    /// A work was finished.
    pub(super) fn finished(&mut self) {
        self.returned_pause = RETURNED_PAUSE;
    }

    /// When it may ask again.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    fn pause(&mut self, now: Instant, pause: Duration) {
        self.paused_until = self.paused_until.max(Some(now + pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_asked_for_than_there_is_room_for() {
        let (mut pulls, now) = (Pulls::new(), Instant::now());
        assert_eq!(pulls.request(3, now), Some(PullRequest { number: 1, batch: 3 }));
        assert_eq!(pulls.request(3, now), None);
        pulls.came();
        assert_eq!(pulls.request(2, now), None, "one is held, two may come");
        assert_eq!(pulls.request(3, now), Some(PullRequest { number: 2, batch: 1 }), "it is finished");
        pulls.ended(1, true, now);
        assert_eq!(pulls.request(3, now), Some(PullRequest { number: 3, batch: 2 }));
        pulls.came();
        assert_eq!(pulls.request(2, now), None);
        pulls.lost();
        pulls.came();
        assert_eq!(pulls.request(3, now), Some(PullRequest { number: 4, batch: 3 }));
        assert_eq!(pulls.request(3, now + PULL_TIME + SPARE_TIME), Some(PullRequest { number: 5, batch: 3 }));
    }

    #[test]
    fn who_gives_back_waits_longer_each_time() {
        let (mut pulls, mut now) = (Pulls::new(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            pulls.returned(now);
            assert_eq!(pulls.request(1, now + Duration::from_millis(seconds * 1000 - 1)), None);
            now += Duration::from_secs(seconds);
            pulls.lost();
            assert!(pulls.request(1, now).is_some());
        }
        pulls.finished();
        pulls.returned(now);
        pulls.lost();
        assert!(pulls.request(1, now + Duration::from_secs(1)).is_some());
    }
}
