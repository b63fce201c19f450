//! A worker that does to the shared memory what some bytes say: for the fuzz target `ring`, and for random bytes in tests.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ParentRing;
use crate::codec::direct_output;
use crate::sys::{FromParent, RingWriter, Words};
use crate::transport::{Arena, Chunk, ChunkHead, layout};

/// The most bytes of a result in parts, beside the ring.
const PARTS_BYTES_MAX: usize = 1 << 20;
/// The bytes that the parent copies for one input, so that none takes long.
const TAKES_MAX: usize = 64;

thread_local! {
    /// It is large, and holds nothing of an input once that is over.
    static ARENA: Arc<Arena> = Arc::new(Arena::shared().expect("the system has memory to share"));
}

pub(in crate::transport::parent_ring) const PLACES: [usize; 11] = [
    layout::CLAIMS,
    layout::FINISHED,
    layout::BEGUN,
    layout::BUSY_NANOS,
    layout::HEEDS_FENCES,
    layout::WORKER_PARKED,
    layout::NOTE_TASK,
    layout::NOTE_LENGTH,
    layout::NOTE,
    layout::CRASH,
    layout::TIMES,
];

/// Does one step after another: each is ten bytes, of which the first says what is done.
///
/// # Panics
///
/// If the parent takes what it must not, or more memory than has arrived accounts for.
pub(crate) fn fuzz(bytes: &[u8]) {
    let arena = ARENA.with(Arc::clone);
    let (mut parent_ring, memory) =
        ParentRing::new(&Arc::default(), PARTS_BYTES_MAX).expect("there is memory for a worker");
    // So that an input of some bytes has large results.
    parent_ring.direct_bytes_min = 16;
    let words = Words::new(&memory, layout::WORDS_BYTES).expect("the words can be mapped");
    let mut ring = RingWriter::new(FromParent::in_test(memory), layout::RESULTS, layout::RESULTS_BYTES)
        .expect("the results can be mapped");
    let (mut given, mut done, mut takes, mut is_recalled) = (0u32, 0u32, 0, false);
    for step in bytes.as_chunks::<10>().0 {
        let [act, place, value @ ..] = *step;
        let value = u64::from_le_bytes(value);
        match act % 7 {
            0 if parent_ring.entries.len() < 8 && !is_recalled => {
                let count = u32::from(place % 20) + 1;
                let _ = parent_ring.assign(&chunk(&arena, count), None, 0, (0, 0));
                given += count;
            }
            1 => {
                let word = PLACES.get(usize::from(place)).copied();
                let any = value as usize % (layout::WORDS_BYTES / 8) * 8;
                words.word(word.unwrap_or(any)).store(value, Ordering::SeqCst);
            }
            2 => {
                let at = u32::from(place) * 4;
                ring.room(at, 8).copy_from_slice(&value.to_le_bytes());
            }
            3 if takes < TAKES_MAX => {
                takes += 1;
                let (count, ends_recall) = take(&mut parent_ring);
                done += count;
                is_recalled &= !ends_recall;
            }
            4 => {
                if let Ok(count) = parent_ring.take_back(place.into()) {
                    assert!(count <= place.into() && count <= given - done, "more was taken back than was open");
                    given -= count;
                }
            }
            5 => look(&mut parent_ring),
            6 => {
                if let Ok(Some(count)) = parent_ring.recall() {
                    assert!(count <= given - done, "more was recalled than was given");
                    given -= count;
                    is_recalled = true;
                }
            }
            _ => {}
        }
        assert!(done <= given, "results of more tasks than were given");
    }
}

/// Returns how many results were taken, and whether a recall is over.
fn take(parent_ring: &mut ParentRing) -> (u32, bool) {
    let Ok(Some((mut taken, _))) = parent_ring.take() else {
        return (0, false);
    };
    if taken.records.take_direct().is_some() {
        assert_eq!(taken.count, 1, "an output in its own memory comes by itself");
    }
    let most = PARTS_BYTES_MAX + layout::RESULTS_BYTES;
    for _ in 0..taken.count {
        if taken.records.next().is_err() {
            break;
        }
    }
    assert!(taken.records.into_buffer().capacity() <= 2 * most && parent_ring.parts.capacity() <= 2 * most);
    (taken.count, taken.ends_recall)
}

fn look(parent_ring: &mut ParentRing) {
    let _ = (
        parent_ring.begun(),
        parent_ring.has_results(),
        parent_ring.crash(),
        parent_ring.times(),
        parent_ring.stack(),
        parent_ring.progress_stamp(),
        parent_ring.load(),
        parent_ring.notify_at_half(),
    );
    if let Some(note) = parent_ring.note() {
        let texts = [Some(note.message), note.location, note.backtrace];
        let together: usize = texts.iter().flatten().map(String::capacity).sum();
        assert!(together <= layout::NOTE_BYTES_MAX, "a note of more than has room");
    }
}

/// A chunk of tasks without arguments.
fn chunk(arena: &Arc<Arena>, count: u32) -> Chunk {
    let tasks = vec![0; 4 * count as usize];
    let block = arena.own_block(tasks.clone()).expect("the system has memory for a few tasks");
    Chunk::new(ChunkHead { function: 0, attempt: 1, first_index: 0 }, count, block, tasks.len())
        .direct(direct_output::<Vec<u16>>())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), (0..40u64, 0..99u64).prop_map(|(high, low)| high << 32 | low)]
    }

    proptest! {
        #[test]
        fn the_parent_survives_any_steps(steps in vec((0..6u8, 0..13u8, value()), 0..60)) {
            let bytes = steps.into_iter().flat_map(|(act, place, value)| {
                [act, place].into_iter().chain(value.to_le_bytes())
            });
            fuzz(&bytes.collect::<Vec<_>>());
        }
    }
}
