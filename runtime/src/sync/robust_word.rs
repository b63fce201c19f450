//! Words that one process holds at a time: that of a mutex, and one for each permit of a semaphore.

use std::sync::atomic::Ordering;

use super::segment::{Check, FREE, SyncSegment};

/// A word that this process holds, until it is dropped.
pub(super) struct OwnedWord<'a> {
    segment: &'a SyncSegment,
    offset: usize,
    /// Whether it was taken from a process that died with it.
    pub(super) owner_died: bool,
}

/// Takes the word at an offset if it is nobody's, or, looking closely, a dead one's.
pub(super) fn take<'a>(segment: &'a SyncSegment, offset: usize, look: Check) -> Option<OwnedWord<'a>> {
    let word = segment.word(offset);
    let held = |owner_died| OwnedWord { segment, offset, owner_died };
    let owner = match word.compare_exchange(FREE, segment.name, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => return Some(held(false)),
        Err(owner) => owner,
    };
    if look == Check::Quick || segment.is_alive(owner) {
        return None;
    }
    word.compare_exchange(owner, segment.name, Ordering::SeqCst, Ordering::SeqCst).is_ok().then(|| held(true))
}

impl Drop for OwnedWord<'_> {
    fn drop(&mut self) {
        if !self.segment.is_here() {
            return;
        }
        // If it is not ours any more, another has written nonsense, and it is not ours to mend.
        let word = self.segment.word(self.offset);
        let _ = word.compare_exchange(self.segment.name, FREE, Ordering::SeqCst, Ordering::SeqCst);
        self.segment.wake_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::segment::{HEAD, NAME_BITS, SyncKind};

    #[test]
    fn a_word_of_nobody_that_lives_is_taken_and_reported() {
        let segment = SyncSegment::new(SyncKind::Mutex, 0, |_| ()).unwrap();
        // No slot, one that was never used, one of another incarnation, one behind the table, and more than a name.
        let other_incarnation = segment.name + (1 << 16);
        for nonsense in [1 << 16, 9 << 16 | 9, other_incarnation, 0xffff, u64::MAX, 1 << NAME_BITS | segment.name] {
            segment.word(HEAD).store(nonsense, Ordering::SeqCst);
            assert!(take(&segment, HEAD, Check::Quick).is_none());
            assert!(take(&segment, HEAD, Check::Close).unwrap().owner_died, "{nonsense:#x}");
            assert_eq!(segment.word(HEAD).load(Ordering::SeqCst), FREE);
        }
    }

    #[test]
    fn another_thread_of_this_process_holds_it_too() {
        let segment = SyncSegment::new(SyncKind::Mutex, 0, |_| ()).unwrap();
        let held = take(&segment, HEAD, Check::Close).unwrap();
        assert!(!held.owner_died && take(&segment, HEAD, Check::Close).is_none());
        drop(held);
        assert!(take(&segment, HEAD, Check::Quick).is_some());
    }
}
