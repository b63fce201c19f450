//! An entry of a worker's queue: what the parent writes of a chunk, and the worker reads. Nothing else knows where a field stands.

use std::sync::atomic::Ordering;

use super::layout;
use crate::sys::Words;

/// An entry as the parent writes it.
pub(super) struct QueueEntry {
    /// Where the arguments stand: the number of the memory (0: the arena's first piece), the offset, and the bytes.
    pub(super) segment: u64,
    pub(super) offset: usize,
    pub(super) bytes: usize,
    /// The index of the first task in its map.
    pub(super) first_index: u64,
    pub(super) function: u32,
    pub(super) attempt: u32,
    /// How many tasks the worker claims at a time (0: by its clock).
    pub(super) claim_batch: u32,
    /// The number of the first task in the worker's life.
    pub(super) first: u32,
    pub(super) count: u32,
    /// The parameters whose arguments are shared, as bits.
    pub(super) shared: u16,
    /// The messages about memory that were sent before the entry.
    pub(super) messages: u64,
    pub(super) seed: u64,
    /// The index of the function that outputs are folded by.
    pub(super) merge: Option<u32>,
    /// The grants of its tasks: their bytes, 0 if there are none, and where they stand.
    pub(super) table_bytes: usize,
    pub(super) table_segment: u64,
    pub(super) table_offset: usize,
    /// When the tasks were handed to the pool.
    pub(super) handed_nanos: u64,
    /// Whether somebody listens to its tasks, and who (`trace`).
    pub(super) log: u64,
}

/// The words of one entry.
#[derive(Clone, Copy)]
pub(super) struct EntryWords<'a> {
    words: &'a Words,
    start: usize,
}

const SEGMENT: usize = 0;
const OFFSET: usize = 1;
const BYTES: usize = 2;
const FIRST_INDEX: usize = 3;
/// And the attempt, in the lower half.
const FUNCTION: usize = 4;
/// In the lower half; the grain is in the upper one.
const FIRST: usize = 5;
const COUNT: usize = 6;
/// Above the number of messages.
const SHARED: usize = 7;
const SEED: usize = 8;
/// The index, and 1; 0 where outputs are not folded.
const MERGE: usize = 9;
const TABLE_BYTES: usize = 10;
const TABLE_SEGMENT: usize = 11;
const TABLE_OFFSET: usize = 12;
const HANDED_NANOS: usize = 13;
const LOG: usize = 14;
const FIELDS: usize = 15;

const _: () = assert!(FIELDS * 8 <= layout::ENTRY_BYTES);

const MESSAGES_BITS: u32 = 48;
const MESSAGES_MASK: u64 = (1 << MESSAGES_BITS) - 1;

impl<'a> EntryWords<'a> {
    /// The entry of this number. They go round and round.
    #[inline]
    pub(super) fn of(words: &'a Words, number: u64) -> Self {
        let place = (number % layout::ENTRIES_MAX) as usize;
        Self { words, start: layout::ENTRIES + place * layout::ENTRY_BYTES }
    }

    /// Writes all of it. The store that lets the worker claim its tasks comes behind, and publishes it.
    pub(super) fn write(self, entry: &QueueEntry) {
        let mut fields = [0; FIELDS];
        fields[SEGMENT] = entry.segment;
        fields[OFFSET] = entry.offset as u64;
        fields[BYTES] = entry.bytes as u64;
        fields[FIRST_INDEX] = entry.first_index;
        fields[FUNCTION] = u64::from(entry.function) << 32 | u64::from(entry.attempt);
        fields[FIRST] = u64::from(entry.claim_batch) << 32 | u64::from(entry.first);
        fields[COUNT] = u64::from(entry.count);
        fields[SHARED] = u64::from(entry.shared) << MESSAGES_BITS | (entry.messages & MESSAGES_MASK);
        fields[SEED] = entry.seed;
        fields[MERGE] = entry.merge.map_or(0, |merge| u64::from(merge) + 1);
        fields[TABLE_BYTES] = entry.table_bytes as u64;
        fields[TABLE_SEGMENT] = entry.table_segment;
        fields[TABLE_OFFSET] = entry.table_offset as u64;
        fields[HANDED_NANOS] = entry.handed_nanos;
        fields[LOG] = entry.log;
        for (field, value) in fields.into_iter().enumerate() {
            self.store(field, value);
        }
    }

    /// Leaves only so many tasks in it, of which the worker has claimed none but these.
    pub(super) fn set_count(self, count: u32) {
        self.store(COUNT, count.into());
    }

    /// The number of the first task, and how many are claimed at a time.
    #[inline]
    pub(super) fn first_and_grain(self) -> (u32, u32) {
        let first = self.load(FIRST);
        (first as u32, (first >> 32) as u32)
    }

    #[inline]
    pub(super) fn count(self) -> u32 {
        self.load(COUNT) as u32
    }

    /// The function, and which attempt it is.
    #[inline]
    pub(super) fn function_and_attempt(self) -> (u32, u32) {
        let function = self.load(FUNCTION);
        ((function >> 32) as u32, function as u32)
    }

    #[inline]
    pub(super) fn first_index(self) -> u64 {
        self.load(FIRST_INDEX)
    }

    #[inline]
    pub(super) fn seed(self) -> u64 {
        self.load(SEED)
    }

    #[inline]
    pub(super) fn merge(self) -> Option<u32> {
        self.load(MERGE).checked_sub(1).map(|merge| merge as u32)
    }

    /// The parameters whose arguments are shared, and the messages that were sent before.
    #[inline]
    pub(super) fn shared_and_messages(self) -> (u16, u64) {
        let shared = self.load(SHARED);
        ((shared >> MESSAGES_BITS) as u16, shared & MESSAGES_MASK)
    }

    /// Where the arguments stand: the memory, the offset and the bytes.
    #[inline]
    pub(super) fn arguments(self) -> (u64, usize, usize) {
        (self.load(SEGMENT), self.load(OFFSET) as usize, self.load(BYTES) as usize)
    }

    /// The bytes of what its tasks are granted.
    #[inline]
    pub(super) fn table_bytes(self) -> usize {
        self.load(TABLE_BYTES) as usize
    }

    /// Where that stands.
    pub(super) fn table_place(self) -> (u64, usize) {
        (self.load(TABLE_SEGMENT), self.load(TABLE_OFFSET) as usize)
    }

    /// When the tasks were handed to the pool.
    #[inline]
    pub(super) fn handed_nanos(self) -> u64 {
        self.load(HANDED_NANOS)
    }

    /// The listener to its tasks' logs.
    #[inline]
    pub(super) fn log(self) -> u64 {
        self.load(LOG)
    }

    #[inline]
    fn load(self, field: usize) -> u64 {
        self.words.word(self.start + 8 * field).load(Ordering::Relaxed)
    }

    fn store(self, field: usize, value: u64) {
        self.words.word(self.start + 8 * field).store(value, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use super::*;
    use crate::sys;

    #[test]
    fn what_is_written_is_read_and_other_entries_stay() {
        let memory = sys::raced_memory(layout::WORDS_BYTES).unwrap();
        let words = Words::new(&memory, layout::WORDS_BYTES).unwrap();
        let entry = QueueEntry {
            segment: 1,
            offset: 2,
            bytes: 3,
            first_index: 4,
            function: 5,
            attempt: 6,
            claim_batch: 7,
            first: 8,
            count: 9,
            shared: 10,
            messages: 11,
            seed: 12,
            merge: Some(0),
            table_bytes: 13,
            table_segment: 14,
            table_offset: 15,
            handed_nanos: 16,
            log: 17,
        };
        let number = layout::ENTRIES_MAX + 3;
        EntryWords::of(&words, number).write(&entry);
        let read = EntryWords::of(&words, 3);
        assert_eq!(read.arguments(), (1, 2, 3));
        assert_eq!((read.first_index(), read.function_and_attempt(), read.seed()), (4, (5, 6), 12));
        assert_eq!((read.first_and_grain(), read.count(), read.merge()), ((8, 7), 9, Some(0)));
        assert_eq!(read.shared_and_messages(), (10, 11));
        assert_eq!((read.table_bytes(), read.table_place(), read.handed_nanos()), (13, (14, 15), 16));
        assert_eq!(read.log(), 17);
        read.set_count(1);
        assert_eq!(EntryWords::of(&words, number).count(), 1);
        for other in [2, 4] {
            assert_eq!(EntryWords::of(&words, other).count(), 0);
        }
        EntryWords::of(&words, 3).write(&QueueEntry { merge: None, ..entry });
        assert_eq!(read.merge(), None);
    }
}
