//! The works that an agent has, until the server has both their outcomes and the acknowledgement. It does no I/O.
//!
//! 1. A work counts as held from its delivery until its last letter is in the stream: so long its lease is extended.
//! 2. A work that comes again while it is held is not begun again; it is acknowledged by its newest delivery.
//! 3. A work that comes again after that is acknowledged at once.

use std::collections::{BTreeMap, VecDeque};

/// So many finished works are known by their numbers.
const FINISHED_MAX: usize = 4096;

/// The works that an agent has.
#[derive(Default)]
pub(super) struct HeldWorks {
    works: BTreeMap<u64, HeldDelivery>,
    /// Letters under way, and the works that they are of.
    letters: BTreeMap<u64, u64>,
    finished: VecDeque<(u64, u64)>,
}

struct HeldDelivery {
    send: u64,
    /// Where it is acknowledged.
    reply: String,
    letters: usize,
    /// Its last letter is written.
    is_done: bool,
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    New,
    /// It is here already.
    Again,
    /// Its outcomes are in the server.
    Finished,
}

impl HeldWorks {
    /// Takes a delivery.
    pub(super) fn take(&mut self, work: u64, send: u64, reply: String) -> Delivered {
        if let Some(held) = self.works.get_mut(&work) {
            (held.send, held.reply) = (send, reply);
            return Delivered::Again;
        }
        if self.finished.contains(&(work, send)) {
            return Delivered::Finished;
        }
        self.works.insert(work, HeldDelivery { send, reply, letters: 0, is_done: false });
        Delivered::New
    }

    /// The latest send of a work that is not done.
    pub(super) fn send_of(&self, work: u64) -> Option<u64> {
        self.works.get(&work).filter(|held| !held.is_done).map(|held| held.send)
    }

    /// A letter of a work is under way, perhaps its last.
    pub(super) fn writing(&mut self, work: u64, letter: u64, is_last: bool) {
        if let Some(held) = self.works.get_mut(&work) {
            held.letters += 1;
            held.is_done |= is_last;
            self.letters.insert(letter, work);
        }
    }

    /// A letter is in the stream; returns where its work is acknowledged, if that is all of it.
    pub(super) fn written(&mut self, letter: u64) -> Option<String> {
        let work = self.letters.remove(&letter)?;
        let held = self.works.get_mut(&work)?;
        held.letters -= 1;
        if !held.is_done || held.letters > 0 {
            return None;
        }
        let HeldDelivery { send, reply, .. } = self.works.remove(&work)?;
        self.finished.push_back((work, send));
        if self.finished.len() > FINISHED_MAX {
            self.finished.pop_front();
        }
        Some(reply)
    }

    /// Forgets a work; returns where it is acknowledged.
    pub(super) fn forget(&mut self, work: u64) -> Option<String> {
        self.letters.retain(|_, of| *of != work);
        self.works.remove(&work).map(|held| held.reply)
    }

    pub(super) fn works(&self) -> Vec<u64> {
        self.works.keys().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.works.len()
    }

    /// Works without their last letter: those that take a worker.
    pub(super) fn busy(&self) -> usize {
        self.works.values().filter(|held| !held.is_done).count()
    }

    pub(super) fn has_letters(&self) -> bool {
        !self.letters.is_empty()
    }

    /// Where all of them are acknowledged.
    pub(super) fn replies(&self) -> impl Iterator<Item = &str> {
        self.works.values().map(|held| held.reply.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_is_acknowledged_once_all_its_letters_are_in_the_stream() {
        let mut held = HeldWorks::default();
        assert_eq!(held.take(1, 10, "a".into()), Delivered::New);
        held.writing(1, 100, false);
        assert_eq!(held.written(100), None, "it goes on");
        held.writing(1, 101, false);
        held.writing(1, 102, true);
        assert_eq!((held.len(), held.busy(), held.send_of(1)), (1, 0, None));
        assert_eq!(held.written(102), None, "another is under way");
        assert_eq!(held.written(101).as_deref(), Some("a"));
        assert_eq!((held.len(), held.has_letters()), (0, false));
        assert_eq!(held.written(101), None);
    }

    #[test]
    fn a_work_that_comes_again_is_not_begun_again() {
        let mut held = HeldWorks::default();
        held.take(1, 10, "a".into());
        assert_eq!(held.take(1, 10, "b".into()), Delivered::Again);
        assert_eq!(held.take(1, 11, "c".into()), Delivered::Again);
        held.writing(1, 100, true);
        assert_eq!(held.written(100).as_deref(), Some("c"));
        assert_eq!(held.take(1, 11, "d".into()), Delivered::Finished);
        assert_eq!(held.take(1, 12, "e".into()), Delivered::New, "it was given back, and sent anew");
        assert_eq!(held.forget(1).as_deref(), Some("e"));
        held.writing(1, 101, true);
        assert_eq!(held.written(101), None);
    }
}
