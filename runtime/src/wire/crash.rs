//! The messages of a crash, which a signal's handler sends: it can make no frame, so it is given what is before and behind its words.

use super::fields::{FieldReader, Violation, begin, finish};
use super::{HEADER_BYTES, TRAILER_BYTES};
use crate::sys::{AroundWords, CRASH_WORDS, Crash, DENIED_PATH_WORDS, NativeStack, STACK_WORDS, path_from_words};

pub(super) const CRASH: u8 = 22;
pub(super) const STACK: u8 = 27;
pub(super) const DENIED_PATH: u8 = 28;

/// The bytes around the words of a crash.
pub(crate) fn around_crash() -> AroundWords {
    around_words(CRASH, CRASH_WORDS)
}

/// The bytes around the words of a stack, if a frame may be so large.
pub(crate) fn around_stack(frame_bytes_max: usize) -> Option<AroundWords> {
    (8 * STACK_WORDS <= frame_bytes_max).then(|| around_words(STACK, STACK_WORDS))
}

/// The bytes around the words of a denied system call's path.
pub(crate) fn around_denied_path() -> AroundWords {
    around_words(DENIED_PATH, DENIED_PATH_WORDS)
}

fn around_words(kind: u8, words: usize) -> AroundWords {
    let mut head = Vec::new();
    begin(&mut head, kind);
    head.resize(head.len() + 8 * words, 0);
    finish(&mut head);
    let tail = head.split_off(head.len() - TRAILER_BYTES);
    head.truncate(HEADER_BYTES);
    AroundWords { head, tail }
}

/// The crash that a frame carries.
pub(super) fn crash(fields: &mut FieldReader<'_>) -> Result<Crash, Violation> {
    let words = [fields.u64()?, fields.u64()?, fields.u64()?];
    Crash::from_words(words).ok_or_else(|| Violation::new("invalid crash record"))
}

/// The stack that a frame carries.
pub(super) fn stack(payload: &[u8]) -> Result<Option<NativeStack>, Violation> {
    from_words(payload, STACK_WORDS, "invalid record of a stack", |word| NativeStack::from_words(word))
}

/// The path that a frame carries; none where it is to be none.
pub(super) fn denied_path(payload: &[u8]) -> Result<Option<Vec<u8>>, Violation> {
    from_words(payload, DENIED_PATH_WORDS, "invalid path of a denied call", |word| path_from_words(word))
}

/// Reads so many words.
fn from_words<T>(
    payload: &[u8],
    count: usize,
    invalid: &str,
    read: impl FnOnce(&dyn Fn(usize) -> u64) -> T,
) -> Result<T, Violation> {
    match payload.as_chunks::<8>() {
        (words, []) if words.len() == count => {
            Ok(read(&|at: usize| words.get(at).map_or(0, |word| u64::from_le_bytes(*word))))
        }
        _ => Err(Violation::new(invalid)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ToParent;

    #[test]
    fn a_crash_between_its_head_and_its_tail_is_a_frame() {
        use crate::wire::FrameBuffer;

        let AroundWords { head: mut frame, tail } = around_crash();
        for word in [11u64, 4, 8] {
            frame.extend_from_slice(&word.to_le_bytes());
        }
        frame.extend_from_slice(&tail);
        let mut inbox = FrameBuffer::new(4096);
        inbox.room()[..frame.len()].copy_from_slice(&frame);
        inbox.filled(frame.len());
        let parsed = ToParent::parse(inbox.next().unwrap().unwrap());
        let Ok(ToParent::Crash(crash)) = parsed else {
            panic!("{parsed:?}");
        };
        assert_eq!(crash, Crash { signal: 11, reason: crate::sys::Reason::NotMapped(8) });
        assert!(ToParent::parse((CRASH, &[0; 24])).is_err());
    }

    #[test]
    fn a_stack_is_a_frame_of_one_size() {
        let around = around_stack(8 * STACK_WORDS).unwrap();
        assert_eq!(around.head.len() + around.tail.len(), HEADER_BYTES + TRAILER_BYTES);
        assert!(around_stack(8 * STACK_WORDS - 1).is_none(), "no frame may be so large");
        let mut words = vec![0; 8 * STACK_WORDS];
        assert!(matches!(ToParent::parse((STACK, &words)), Ok(ToParent::Stack(None))), "no files");
        words[8] = 1;
        assert!(matches!(ToParent::parse((STACK, &words)), Ok(ToParent::Stack(Some(_)))));
        for length in [0, 7, words.len() - 8, words.len() - 1] {
            assert!(ToParent::parse((STACK, &words[..length])).is_err());
        }
    }
}
