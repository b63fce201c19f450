//! The works without all of their outcomes, as they were sent: what the server loses is published again from here. It does no I/O.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;

use super::notices::SentWork;
use crate::cluster::messages::{CallTask, Done, Work};

/// The works without all of their outcomes.
#[derive(Default)]
pub(super) struct Outstanding {
    works: BTreeMap<u64, OutstandingWork>,
    /// The works by the number of their latest send.
    sends: BTreeMap<u64, u64>,
    next_send: u64,
    bytes: usize,
}

struct OutstandingWork {
    call: u64,
    body: Bytes,
    send: u64,
    sent: Instant,
    /// Where it is in the stream, once the server has said so.
    sequence: Option<u64>,
    /// The tasks without an outcome: the first, and the one behind the last.
    left: Vec<(u64, u64)>,
}

/// A work to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Publication {
    pub(super) work: u64,
    pub(super) send: u64,
    pub(super) body: Bytes,
}

impl Outstanding {
    pub(super) fn len(&self) -> usize {
        self.works.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a work, in the place of an earlier one of its number.
    pub(super) fn insert(&mut self, work: &Work, body: Bytes, now: Instant) -> Publication {
        self.remove(work.id);
        let ranges = work
            .chunks
            .iter()
            .map(|chunk| (chunk.first_index, chunk.first_index.saturating_add(u64::from(chunk.count))));
        let send = self.next_send();
        let left = ranges.collect();
        self.bytes += body.len();
        self.sends.insert(send, work.id);
        let entry = OutstandingWork { call: work.call, body: body.clone(), send, sent: now, sequence: None, left };
        self.works.insert(work.id, entry);
        Publication { work: work.id, send, body }
    }

    /// Gives a work a new send, if the one that is named is its latest.
    pub(super) fn resend(&mut self, sent: SentWork, now: Instant) -> Option<Publication> {
        let next = self.next_send();
        let entry = self.works.get_mut(&sent.work).filter(|entry| entry.send == sent.send)?;
        self.sends.remove(&sent.send);
        self.sends.insert(next, sent.work);
        (entry.send, entry.sent, entry.sequence) = (next, now, None);
        Some(Publication { work: sent.work, send: next, body: entry.body.clone() })
    }

    fn next_send(&mut self) -> u64 {
        self.next_send += 1;
        self.next_send
    }

    /// The server has a send; returns whether that is anybody's.
    pub(super) fn posted(&mut self, send: u64, sequence: u64) -> bool {
        let entry = self.sends.get(&send).and_then(|work| self.works.get_mut(work));
        match entry {
            Some(entry) => {
                entry.sequence = Some(sequence);
                true
            }
            None => false,
        }
    }

    /// Takes outcomes out; returns what is to be forgotten, if they were the last of a work.
    pub(super) fn outcomes(&mut self, done: &Done) -> Option<(Publication, Option<u64>)> {
        let entry = self.works.get_mut(&done.work)?;
        for outcome in &done.outcomes {
            let range = (outcome.first_index, outcome.first_index.saturating_add(outcome.count));
            entry.left = entry.left.iter().flat_map(|&left| without(left, range)).collect();
        }
        if entry.left.is_empty() { self.remove(done.work) } else { None }
    }

    /// A task has ended without an outcome; returns the works that are complete by that.
    pub(super) fn abort(&mut self, task: &CallTask) -> Vec<u64> {
        let mut complete = Vec::new();
        let range = (task.index, task.index.saturating_add(1));
        for (&work, entry) in self.works.iter_mut().filter(|(_, entry)| entry.call == task.call) {
            entry.left = entry.left.iter().flat_map(|&left| without(left, range)).collect();
            if entry.left.is_empty() {
                complete.push(work);
            }
        }
        complete
    }

    /// Forgets a work; returns how it was sent, and where it is.
    pub(super) fn remove(&mut self, work: u64) -> Option<(Publication, Option<u64>)> {
        let OutstandingWork { send, body, sequence, .. } = self.works.remove(&work)?;
        self.sends.remove(&send);
        self.bytes -= body.len();
        Some((Publication { work, send, body }, sequence))
    }

    pub(super) fn contains(&self, work: u64) -> bool {
        self.works.contains_key(&work)
    }

    /// The works of a call.
    pub(super) fn of_call(&self, call: u64) -> Vec<u64> {
        self.works.iter().filter(|(_, entry)| entry.call == call).map(|(&work, _)| work).collect()
    }

    pub(super) fn all(&self) -> Vec<u64> {
        self.works.keys().copied().collect()
    }

    /// All of them, as they were sent last.
    pub(super) fn publications(&self) -> Vec<Publication> {
        let publication =
            |(&work, entry): (&u64, &OutstandingWork)| Publication { work, send: entry.send, body: entry.body.clone() };
        self.works.iter().map(publication).collect()
    }

    /// Those that the server has said to have, and that were sent before a moment.
    pub(super) fn posted_before(&self, moment: Instant) -> Vec<SentWork> {
        let old = self.works.iter().filter(|(_, entry)| entry.sent <= moment);
        let sent = |(&work, entry): (&u64, &OutstandingWork)| {
            Some(SentWork { work, send: entry.send, sequence: entry.sequence? })
        };
        old.filter_map(sent).collect()
    }
}

/// What is left of a range without another.
fn without((first, end): (u64, u64), (taken_first, taken_end): (u64, u64)) -> impl Iterator<Item = (u64, u64)> {
    let before = (first, end.min(taken_first));
    let behind = (first.max(taken_end), end);
    let is_apart = taken_end <= first || end <= taken_first;
    let parts = if is_apart { [(first, end), (0, 0)] } else { [before, behind] };
    parts.into_iter().filter(|(first, end)| first < end)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::cluster::nats::tests::works::{outcome, work};

    fn done(work: u64, ranges: &[(u64, u64)]) -> Done {
        let outcomes = ranges.iter().map(|&(first, count)| outcome(first, count)).collect();
        Done { work, call: 3, per_task: None, outcomes, is_last: true }
    }

    #[test]
    fn a_work_is_outstanding_until_its_last_outcome_whatever_is_said() {
        let mut outstanding = Outstanding::default();
        let sent = outstanding.insert(&work(1, 3, &[(0, 4), (10, 2)]), Bytes::from_static(b"body"), Instant::now());
        assert!(outstanding.posted(sent.send, 77));
        assert_eq!(outstanding.outcomes(&done(1, &[(0, 2), (11, 1)])), None, "it claims to be the last");
        assert_eq!(outstanding.outcomes(&done(1, &[(1, 2), (u64::MAX, 5)])), None, "some of it again");
        assert_eq!(outstanding.outcomes(&done(2, &[(0, 9)])), None, "of another work");
        let last = outstanding.outcomes(&done(1, &[(3, 1), (10, 1)]));
        assert_eq!(last, Some((sent, Some(77))));
        assert_eq!((outstanding.len(), outstanding.bytes()), (0, 0));
    }

    #[test]
    fn a_task_that_has_ended_is_waited_for_no_more() {
        let mut outstanding = Outstanding::default();
        for (id, first) in [(1, 0), (2, 2)] {
            outstanding.insert(&work(id, 3, &[(first, 2)]), Bytes::new(), Instant::now());
        }
        assert_eq!(outstanding.abort(&CallTask { call: 3, index: 1 }), [0; 0]);
        assert_eq!(outstanding.abort(&CallTask { call: 4, index: 0 }), [0; 0]);
        assert!(outstanding.outcomes(&done(1, &[(0, 1)])).is_some());
        outstanding.abort(&CallTask { call: 3, index: 2 });
        assert_eq!(outstanding.abort(&CallTask { call: 3, index: 3 }), [2]);
    }

    #[test]
    fn a_send_that_is_not_the_latest_is_nobodys() {
        let mut outstanding = Outstanding::default();
        let now = Instant::now();
        let first = outstanding.insert(&work(1, 3, &[(0, 1)]), Bytes::new(), now);
        let lost = SentWork { work: 1, send: first.send, sequence: 5 };
        let second = outstanding.resend(lost, now).unwrap();
        assert_eq!(outstanding.resend(lost, now), None);
        assert!(!outstanding.posted(first.send, 6) && outstanding.posted(second.send, 7));
        let third = outstanding.insert(&work(1, 3, &[(0, 1)]), Bytes::new(), now);
        assert!(!outstanding.posted(second.send, 8) && outstanding.posted(third.send, 9));
        assert_eq!(outstanding.posted_before(now), [SentWork { work: 1, send: third.send, sequence: 9 }]);
        assert_eq!(outstanding.len(), 1);
    }

    proptest! {
        #[test]
        fn ranges_are_taken_as_sets_are(ranges in vec((0u64..40, 0u64..12), 0..12)) {
            let mut left = vec![(5u64, 30u64)];
            let mut expected: Vec<u64> = (5..30).collect();
            for (first, count) in ranges {
                left = left.into_iter().flat_map(|part| without(part, (first, first + count))).collect();
                expected.retain(|index| *index < first || first + count <= *index);
            }
            let found: Vec<u64> = left.into_iter().flat_map(|(first, end)| first..end).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
