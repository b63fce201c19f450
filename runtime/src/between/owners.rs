//! Words that one process holds at a time: that of a mutex, and one for each permit of a semaphore.

use std::sync::atomic::Ordering;

use super::object::{Check, FREE, Object};

/// A word that this process holds, until it is dropped.
pub(super) struct OwnedWord<'a> {
    object: &'a Object,
    offset: usize,
    /// Whether it was taken from a process that died with it.
    pub(super) owner_died: bool,
}

/// Takes the word at an offset if it is nobody's, or, looking closely, a dead one's.
pub(super) fn take<'a>(object: &'a Object, offset: usize, look: Check) -> Option<OwnedWord<'a>> {
    let word = object.word(offset);
    let held = |owner_died| OwnedWord { object, offset, owner_died };
    let owner = match word.compare_exchange(FREE, object.name, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => return Some(held(false)),
        Err(owner) => owner,
    };
    if look == Check::Quick || object.is_alive(owner) {
        return None;
    }
    word.compare_exchange(owner, object.name, Ordering::SeqCst, Ordering::SeqCst).is_ok().then(|| held(true))
}

impl Drop for OwnedWord<'_> {
    fn drop(&mut self) {
        if !self.object.is_here() {
            return;
        }
        // If it is not ours any more, another has written nonsense, and it is not ours to mend.
        let word = self.object.word(self.offset);
        let _ = word.compare_exchange(self.object.name, FREE, Ordering::SeqCst, Ordering::SeqCst);
        self.object.wake_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::between::object::{HEAD, NAME_BITS, ObjectKind};

    #[test]
    fn a_word_of_nobody_that_lives_is_taken_and_reported() {
        let object = Object::new(ObjectKind::Mutex, 0, |_| ()).unwrap();
        // No slot, one that was never used, one of another incarnation, one behind the table, and more than a name.
        let other_incarnation = object.name + (1 << 16);
        for nonsense in [1 << 16, 9 << 16 | 9, other_incarnation, 0xffff, u64::MAX, 1 << NAME_BITS | object.name] {
            object.word(HEAD).store(nonsense, Ordering::SeqCst);
            assert!(take(&object, HEAD, Check::Quick).is_none());
            assert!(take(&object, HEAD, Check::Close).unwrap().owner_died, "{nonsense:#x}");
            assert_eq!(object.word(HEAD).load(Ordering::SeqCst), FREE);
        }
    }

    #[test]
    fn another_thread_of_this_process_holds_it_too() {
        let object = Object::new(ObjectKind::Mutex, 0, |_| ()).unwrap();
        let held = take(&object, HEAD, Check::Close).unwrap();
        assert!(!held.owner_died && take(&object, HEAD, Check::Close).is_none());
        drop(held);
        assert!(take(&object, HEAD, Check::Quick).is_some());
    }
}
