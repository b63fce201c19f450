//! When something was since the start of a call, by the clock of the machine that it was on.
//!
//! The clocks of two machines have nothing in common. What another machine has done had ended when word of it came. So its clock is taken
//! to be the one by which the quickest word has taken no time: times of other machines are late by what the quickest word takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::transport::Span;

/// The clocks of machines, in the time since the start of a call.
pub(super) struct Clocks {
    /// When the call started, by this machine's clock.
    origin_nanos: u64,
    /// What is added to the time of another machine for the time of this one.
    others: BTreeMap<Arc<str>, i128>,
}

impl Clocks {
    pub(super) fn new(origin_nanos: u64) -> Self {
        Self { origin_nanos, others: BTreeMap::new() }
    }

    /// Notes that something had ended on another machine by now.
    pub(super) fn heard(&mut self, machine: &Arc<str>, ended_nanos: u64, now_nanos: u64) {
        let offset = i128::from(now_nanos) - i128::from(ended_nanos);
        match self.others.get_mut(machine) {
            Some(known) => *known = offset.min(*known),
            None => drop(self.others.insert(Arc::clone(machine), offset)),
        }
    }

    /// When something began, since the start of the call, and how long it took. What began before the call began with it.
    pub(super) fn since_start(&self, machine: Option<&Arc<str>>, span: Span) -> (u64, u64) {
        let offset = machine.and_then(|machine| self.others.get(machine)).copied().unwrap_or(0);
        let begun = i128::from(span.begun_nanos) + offset - i128::from(self.origin_nanos);
        (u64::try_from(begun.max(0)).unwrap_or(u64::MAX), span.ended_nanos.saturating_sub(span.begun_nanos))
    }

    /// When something was on this machine, since the start of the call.
    pub(super) fn here(&self, nanos: u64) -> u64 {
        nanos.saturating_sub(self.origin_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_word_sets_the_clock_of_another_machine() {
        let mut clocks = Clocks::new(1_000_000);
        let (there, span) = (Arc::from("b"), Span { begun_nanos: 500, ended_nanos: 700 });
        assert_eq!(clocks.since_start(None, Span { begun_nanos: 1_000_010, ended_nanos: 1_000_030 }), (10, 20));
        clocks.heard(&there, 700, 1_000_900);
        assert_eq!(clocks.since_start(Some(&there), span), (700, 200));
        clocks.heard(&there, 800, 1_000_950);
        clocks.heard(&there, 900, 1_009_000);
        assert_eq!(clocks.since_start(Some(&there), span), (650, 200));
        assert_eq!(clocks.since_start(None, span), (0, 200));
    }
}
