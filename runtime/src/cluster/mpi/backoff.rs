//! How long a thread that polls may wait until it polls again: MPI has no call that wakes it.
//!
//! Measured with 3 ranks that wait: in 5 s 2.7 s of CPU time where they only yield; with these waits 0.4 to 0.6 s in 10 s, the start of MPI
//! included, and a task's outcome comes after 40 µs.

use std::time::Duration;

/// So many polls in a row without traffic are followed by a yield alone.
const YIELDS: u32 = 64;
const SHORTEST: Duration = Duration::from_micros(20);
/// So many of the shortest waits come before longer ones: an answer that comes at once over TCP takes MPICH several polls, and 0.2 ms.
const SHORT_WAITS: u32 = 32;
const LONGEST: Duration = Duration::from_micros(500);
/// After 50 ms without traffic a job is at rest, and an answer may take longer. (The signs of life that agents send each second are not
/// answered: they are no traffic in this sense.)
const AT_REST_POLLS: u32 = 100;
const AT_REST: Duration = Duration::from_millis(10);

/// The waits between polls, which become longer while nothing happens.
#[derive(Debug, Default)]
pub(super) struct PollBackoff {
    idle_polls: u32,
    /// The polls before the last traffic.
    before_traffic: u32,
}

/// Whether something is on its way that only a poll moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Nothing,
    /// Large messages advance by a piece at each poll.
    Transfer,
}

impl PollBackoff {
    /// Begins anew, after traffic.
    pub(super) fn reset(&mut self) {
        if self.idle_polls > 0 {
            self.before_traffic = self.idle_polls;
        }
        self.idle_polls = 0;
    }

    /// Goes on as before the last traffic, as nothing follows it.
    pub(super) fn resume(&mut self) {
        self.idle_polls = self.idle_polls.max(self.before_traffic);
    }

    /// How long to wait now; zero is a yield.
    pub(super) fn next(&mut self, pending: Pending) -> Duration {
        self.idle_polls = self.idle_polls.saturating_add(1);
        let Some(short) = self.idle_polls.checked_sub(YIELDS + 1) else { return Duration::ZERO };
        match pending {
            Pending::Transfer => SHORTEST,
            Pending::Nothing if short > SHORT_WAITS + AT_REST_POLLS => AT_REST,
            Pending::Nothing => LONGEST.min(SHORTEST * 2u32.pow(short.saturating_sub(SHORT_WAITS).min(10))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_yields_then_doubles_up_to_the_longest_wait() {
        let mut backoff = PollBackoff::default();
        let mut waits = || backoff.next(Pending::Nothing).as_micros();
        assert!((0..64).all(|_| waits() == 0));
        assert!((0..32).all(|_| waits() == 20));
        assert_eq!([waits(), waits(), waits(), waits(), waits(), waits()], [20, 40, 80, 160, 320, 500]);
        assert!((0..95).all(|_| waits() == 500));
        assert!((0..1000).all(|_| waits() == 10_000));
        backoff.reset();
        assert_eq!(backoff.next(Pending::Nothing), Duration::ZERO);
        backoff.idle_polls = u32::MAX;
        assert_eq!(backoff.next(Pending::Nothing), AT_REST);
        assert_eq!(backoff.next(Pending::Transfer), SHORTEST);
    }

    #[test]
    fn it_goes_on_as_before_traffic_that_nothing_follows() {
        let mut backoff = PollBackoff::default();
        while backoff.next(Pending::Nothing) != AT_REST {}
        // A message is received, and returned.
        backoff.reset();
        backoff.reset();
        backoff.resume();
        assert_eq!(backoff.next(Pending::Nothing), AT_REST);
        // A message that came just before is answered soon.
        backoff.reset();
        assert_eq!(backoff.next(Pending::Nothing), Duration::ZERO);
        backoff.reset();
        backoff.resume();
        assert_eq!(backoff.next(Pending::Nothing), Duration::ZERO);
    }
}
