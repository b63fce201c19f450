//! A worker that writes what it must not into the memory: the parent sees a violation or harmless values, and takes no more
//! memory than the ring and the limit on results.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{arguments, chunk};
use crate::codec::LENGTH_BYTES;
use crate::sys::{Crash, FromParent, RingWriter, STACK_WORDS, Words};
use crate::transport::parent_ring::ParentRing;
use crate::transport::parent_ring::fuzzing::PLACES;
use crate::transport::{Arena, layout};
use crate::wire::{HEAD_BYTES, PanicNote, Records};

/// The most bytes of a result in parts, beside the ring.
const PARTS_BYTES_MAX: usize = 5 << 20;

/// What the two sides do, in any order.
#[derive(Clone, Debug)]
enum Step {
    Assign {
        tasks: usize,
    },
    TakeBack {
        most: u32,
    },
    Take,
    Look,
    Revoke,
    Recall,
    /// The worker claims as it may, and finishes so many tasks with so many bytes: no more than it has claimed, or more.
    Work {
        claims: u32,
        tasks: Option<u32>,
        bytes: u32,
    },
    /// The worker writes a word that it may write, or another.
    Word {
        place: usize,
        value: u64,
    },
    /// The worker writes results that are none.
    Results {
        at: u32,
        garbage: Vec<u8>,
    },
    /// The worker writes a large result or a part of one, with this length before its elements, and finishes so many tasks with it.
    Large {
        kind: u32,
        bytes: u32,
        length: u64,
        tasks: u32,
    },
    /// The worker writes the rest of a large output, and finishes its task.
    Rest,
    /// The worker leaves out what it says it does, or claims to.
    Skip {
        bytes: u32,
        moves: u32,
    },
    Note {
        length: u64,
        garbage: Vec<u64>,
    },
}

/// The words that the parent reads.
fn place() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => prop::sample::select(PLACES.as_slice()),
        1 => (0..layout::WORDS_BYTES / 8).prop_map(|word| word * 8),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    let small = (0..40u64, 0..40u64).prop_map(|(high, low)| high << 32 | low);
    let position = (0..40u64, 0..10u64 << 20).prop_map(|(tasks, position)| tasks << 32 | position);
    prop_oneof![any::<u64>(), small, position, Just(0), Just(u64::MAX)]
}

/// Heads with any kind and lengths that may fit, and other bytes.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let head = (0..8u32, prop_oneof![0..40u32, 0..1u32 << 29]).prop_map(|(kind, length)| length << 3 | kind);
    let heads = vec(head, 0..40).prop_map(|heads| heads.into_iter().flat_map(u32::to_le_bytes).collect());
    prop_oneof![heads, vec(any::<u8>(), 0..200)]
}

/// Large results, or parts, that are what they say, or are not.
fn large() -> impl Strategy<Value = Step> {
    (prop_oneof![Just(0), Just(5), 0..8u32], 0..2u32 << 20, 0..3u32).prop_flat_map(|(kind, bytes, tasks)| {
        let length = prop_oneof![Just(u64::from(bytes.saturating_sub(8))), 3u64 << 20..6 << 20, any::<u64>()];
        length.prop_map(move |length| Step::Large { kind, bytes, length, tasks })
    })
}

fn step() -> impl Strategy<Value = Step> {
    let capacity = layout::RESULTS_BYTES as u32;
    prop_oneof![
        4 => (1..20usize).prop_map(|tasks| Step::Assign { tasks }),
        2 => (0..30u32).prop_map(|most| Step::TakeBack { most }),
        6 => Just(Step::Take),
        2 => Just(Step::Look),
        1 => Just(Step::Revoke),
        2 => Just(Step::Recall),
        6 => (0..20u32, prop::option::of(0..20u32), prop_oneof![8 => 0..200u32, 1 => 0..capacity * 5 / 4])
            .prop_map(|(claims, tasks, bytes)| Step::Work { claims, tasks, bytes }),
        2 => (place(), value()).prop_map(|(place, value)| Step::Word { place, value }),
        2 => (any::<u32>(), garbage()).prop_map(|(at, garbage)| Step::Results { at, garbage }),
        4 => large(),
        2 => Just(Step::Rest),
        1 => (prop_oneof![Just(0), Just(capacity), any::<u32>()], prop_oneof![Just(capacity), any::<u32>()])
            .prop_map(|(bytes, moves)| Step::Skip { bytes, moves }),
        1 => (0..40u64, vec(prop_oneof![0..40u64, any::<u64>()], 0..6))
            .prop_map(|(length, garbage)| Step::Note { length, garbage }),
    ]
}

/// The parent's end, and what its worker has of the same memory.
struct Pair {
    arena: Arc<Arena>,
    parent_ring: ParentRing,
    words: Words,
    ring: RingWriter,
    /// The tasks that were given and not taken back, and those that have a result.
    given: usize,
    taken: usize,
    broken: bool,
    is_recalled: bool,
}

impl Pair {
    fn new(arena: &Arc<Arena>) -> Self {
        let (mut parent_ring, memory) = ParentRing::new(&Arc::default(), PARTS_BYTES_MAX).unwrap();
        // So that many results are large.
        parent_ring.direct_bytes_min = 16;
        let words = Words::new(&memory, layout::WORDS_BYTES).unwrap();
        let ring = RingWriter::new(FromParent::in_test(memory), layout::RESULTS, layout::RESULTS_BYTES).unwrap();
        Self {
            arena: Arc::clone(arena),
            parent_ring,
            words,
            ring,
            given: 0,
            taken: 0,
            broken: false,
            is_recalled: false,
        }
    }

    fn set(&self, place: usize, value: u64) {
        self.words.word(place).store(value, Ordering::SeqCst);
    }

    fn get(&self, place: usize) -> u64 {
        self.words.word(place).load(Ordering::SeqCst)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Assign { tasks } if self.parent_ring.entries.len() < 8 && !self.is_recalled => {
                let chunk = chunk(&self.arena, &vec![7; tasks], false);
                assert_eq!(arguments(&chunk), vec![7; tasks]);
                let _ = self.parent_ring.assign(&chunk, None, 0, (0, 0));
                self.given += tasks;
            }
            Step::Assign { .. } => {}
            Step::TakeBack { most } => match self.parent_ring.take_back(most) {
                Ok(count) => {
                    assert!(count <= most);
                    self.lose(count);
                }
                Err(_) => self.broken = true,
            },
            Step::Take => self.take(),
            Step::Look => self.look(),
            Step::Revoke => self.parent_ring.revoke(),
            Step::Recall => match self.parent_ring.recall() {
                Ok(Some(count)) => {
                    self.is_recalled = true;
                    self.lose(count);
                }
                Ok(None) => {}
                Err(_) => self.broken = true,
            },
            Step::Work { claims, tasks, bytes } => self.work(claims, tasks, bytes),
            Step::Word { place, value } => self.set(place, value),
            Step::Results { at, garbage } => self.ring.room(at, garbage.len()).copy_from_slice(&garbage),
            Step::Large { kind, bytes, length, tasks } => {
                let place = self.write_head(kind, bytes);
                self.ring.room(place, 8).copy_from_slice(&length.to_le_bytes());
                self.work(tasks, None, bytes + HEAD_BYTES as u32);
            }
            Step::Rest => {
                let left = self.parent_ring.direct.as_ref().map_or(0, |output| output.left());
                if left < layout::RESULTS_BYTES {
                    self.write_head(0, left as u32);
                    self.work(1, Some(1), (left + HEAD_BYTES) as u32);
                }
            }
            Step::Skip { bytes, moves } => {
                let finished = self.get(layout::FINISHED);
                let position = finished as u32;
                let head = (bytes.wrapping_sub(HEAD_BYTES as u32) << 3 | 6).to_le_bytes();
                self.ring.room(position, HEAD_BYTES).copy_from_slice(&head);
                let moved = u64::from(position.wrapping_add(moves));
                self.set(layout::FINISHED, finished >> 32 << 32 | moved);
            }
            Step::Note { length, garbage } => {
                self.set(layout::NOTE_TASK, u64::from(self.parent_ring.taken.tasks.wrapping_add(1)));
                self.set(layout::NOTE_LENGTH, length);
                for (place, word) in garbage.into_iter().enumerate() {
                    self.set(layout::NOTE + 8 * place, word);
                }
            }
        }
        let most = PARTS_BYTES_MAX + layout::RESULTS_BYTES;
        assert!(self.parent_ring.parts.len() <= most && self.parent_ring.parts.capacity() <= 2 * most);
        assert!(self.parent_ring.direct.as_ref().is_none_or(|output| output.bytes() <= PARTS_BYTES_MAX + LENGTH_BYTES));
    }

    /// Writes a head behind what is finished; returns the place behind it.
    fn write_head(&mut self, kind: u32, bytes: u32) -> u32 {
        let position = self.get(layout::FINISHED) as u32;
        self.ring.room(position, HEAD_BYTES).copy_from_slice(&(bytes << 3 | kind).to_le_bytes());
        position.wrapping_add(HEAD_BYTES as u32)
    }

    fn lose(&mut self, count: u32) {
        self.given = self.given.checked_sub(count as usize).expect("more was taken back than was given");
    }

    fn work(&mut self, claim: u32, tasks: Option<u32>, bytes: u32) {
        let claims = self.get(layout::CLAIMS);
        let (claimed, limit) = (claims as u32, (claims >> 32) as u32);
        let count = claim.min(limit.wrapping_sub(claimed));
        self.set(layout::CLAIMS, claims & !u64::from(u32::MAX) | u64::from(claimed.wrapping_add(count)));
        let finished = self.get(layout::FINISHED);
        let position = u64::from((finished as u32).wrapping_add(bytes));
        let done = u64::from(((finished >> 32) as u32).wrapping_add(tasks.unwrap_or(count)));
        self.set(layout::FINISHED, done << 32 | position);
        self.set(layout::BUSY_NANOS, self.get(layout::BUSY_NANOS).wrapping_add(1));
    }

    fn take(&mut self) {
        match self.parent_ring.take() {
            Ok(None) => assert!(!self.parent_ring.has_results()),
            Ok(Some((taken, _))) => {
                let count = taken.count as usize;
                self.taken += count;
                self.lose(taken.not_run);
                self.is_recalled &= !taken.ends_recall;
                assert!(self.taken <= self.given || self.broken, "results of more tasks than were given");
                assert!(taken.records.bytes_left() <= PARTS_BYTES_MAX + layout::RESULTS_BYTES);
                let mut records = taken.records;
                if let Some(output) = records.take_direct() {
                    assert_eq!((count, output.left()), (1, 0), "it comes by itself, and whole");
                    assert!(output.finish().is_ok());
                    return;
                }
                let bytes = records.into_buffer();
                let mut records = Records::new(bytes.clone());
                let whole = (0..count).take_while(|_| records.next().is_ok()).count();
                let split = Records::new(bytes).split_parts(count);
                assert!(split.is_ok() || whole < count);
            }
            Err(_) => self.broken = true,
        }
    }

    fn look(&mut self) {
        let _ = (
            self.parent_ring.begun(),
            self.parent_ring.has_results(),
            self.parent_ring.note(),
            self.parent_ring.crash(),
        );
        if self.parent_ring.notify_at_half().is_err() {
            self.broken = true;
        }
        if let Ok((claimed, open)) = self.parent_ring.load() {
            assert!(self.broken || (claimed + open) as usize == self.given - self.taken);
        }
    }
}

proptest! {
    #[test]
    fn a_hostile_worker_is_found_out_or_harmless(steps in vec(step(), 1..60)) {
        let arena = Arc::new(Arena::shared().unwrap());
        let mut pair = Pair::new(&arena);
        for step in steps {
            // After a fault, too, nothing panics: what came before it is still taken in.
            pair.step(step);
        }
    }

    #[test]
    fn a_note_of_any_bytes_is_a_note_or_none(
        length in prop_oneof![0..200u64, Just(layout::NOTE_BYTES_MAX as u64), any::<u64>()],
        real in any::<bool>(),
        garbage in vec((0..20usize, any::<u64>()), 0..10),
        crash in (any::<u64>(), 0..20u64, any::<u64>()).prop_map(<[u64; 3]>::from),
        stack in vec((0..STACK_WORDS, prop_oneof![0..140u64, any::<u64>()]), 0..20),
    ) {
        let arena = Arc::new(Arena::shared().unwrap());
        let pair = Pair::new(&arena);
        let text = "x".repeat(100);
        let note = PanicNote { message: text.clone(), location: Some(text.clone()), backtrace: Some(text) };
        let bytes = note.encode(layout::NOTE_BYTES_MAX);
        for (place, word) in bytes.chunks_exact(8).enumerate() {
            pair.set(layout::NOTE + 8 * place, u64::from_le_bytes(word.try_into().unwrap()));
        }
        for (place, word) in garbage {
            pair.set(layout::NOTE + 8 * place, word);
        }
        pair.set(layout::NOTE_LENGTH, if real { bytes.len() as u64 } else { length });
        pair.set(layout::NOTE_TASK, 1);
        for (place, word) in [1].into_iter().chain(crash).enumerate() {
            pair.set(layout::CRASH + 8 * place, word);
        }
        prop_assert_eq!(pair.parent_ring.crash(), Crash::from_words(crash));
        pair.set(layout::STACK, 1);
        for (place, word) in stack {
            pair.set(layout::STACK + 8 * (place + 1), word);
        }
        if let Some(stack) = pair.parent_ring.stack() {
            prop_assert!(stack.frames.iter().all(|frame| frame.file.is_none_or(|file| file < stack.files.len())));
        }
        if let Some(note) = pair.parent_ring.note() {
            let texts = [Some(note.message), note.location, note.backtrace];
            let together: usize = texts.iter().flatten().map(String::len).sum();
            prop_assert!(together <= layout::NOTE_BYTES_MAX);
        }
    }
}
