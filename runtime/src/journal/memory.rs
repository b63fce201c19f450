//! What a process knows of a journal: which records the file has for it, and how many equal tasks it has begun itself. It knows no file.
//!
//! 1. Occurrences are counted by half of the digest, and nothing is counted for the first, to take less memory: 9 bytes for each task, and
//!    what the table leaves free. Two digests that share it are counted as one, so each has a key of its own all the same.
//! 2. A record that was taken is forgotten here: no other task of this process has its key.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use super::format::{FRONT_BYTES, OutputForm, OutputFront, RecordFront};
use crate::locks::{Rank, Ranked};

/// A task, as its output is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskKey {
    pub(crate) digest: u128,
    pub(crate) occurrence: u32,
}

impl Hash for TaskKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.digest as u64 ^ u64::from(self.occurrence) << 32);
    }
}

/// Where an output stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputPlace {
    pub(super) at: u64,
    pub(crate) bytes: u32,
    pub(crate) form: OutputForm,
}

/// A digest is random already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("a digest is one number");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

type DigestTable<K, V> = HashMap<K, V, BuildHasherDefault<AsItIs>>;

/// What a process knows of a journal.
#[derive(Default)]
pub(super) struct FileMemory {
    /// The tasks that this process has begun, and how often those that it has begun more than once.
    begun: HashSet<u64, BuildHasherDefault<AsItIs>>,
    again: DigestTable<u64, u32>,
    records: DigestTable<TaskKey, OutputPlace>,
    /// How many records each function had when they were read.
    of_functions: DigestTable<u64, u64>,
    /// The functions that were reported.
    reported: DigestTable<u64, ()>,
    /// The outputs that other builds have written.
    of_others: u64,
    /// What stands at the end of the file is of this build.
    is_own: bool,
    /// Up to here the file was read, or written by this process.
    end: u64,
}

impl Ranked for FileMemory {
    const RANK: Rank = Rank::JournalMemory;
}

impl FileMemory {
    /// Forgets the records, which will be read anew from a place on, but not what this process has begun.
    pub(super) fn forget_records(&mut self, end: u64) {
        let (begun, again) = (std::mem::take(&mut self.begun), std::mem::take(&mut self.again));
        *self = Self { begun, again, end, ..Self::default() };
    }

    /// Adds what stands in the file, for a process of this build.
    pub(super) fn add(&mut self, front: RecordFront, body_at: u64, body_bytes: u32, build: &[u8]) {
        match front {
            RecordFront::Build(of_record) => self.is_own = of_record == build,
            RecordFront::Output(_) if !self.is_own => self.of_others += 1,
            RecordFront::Output(OutputFront { form, occurrence, function, digest }) => {
                let front = FRONT_BYTES as u32;
                let place = OutputPlace { at: body_at + u64::from(front), bytes: body_bytes - front, form };
                self.records.insert(TaskKey { digest, occurrence }, place);
                *self.of_functions.entry(function).or_default() += 1;
            }
        }
    }

    /// Takes the next tasks, which have these digests, in their order: gives the key of each, and where its output stands, if it is
    /// there.
    #[inline]
    pub(super) fn begin(
        &mut self,
        digests: impl Iterator<Item = u128>,
        mut give: impl FnMut(TaskKey, Option<OutputPlace>),
    ) {
        for digest in digests {
            let half = (digest >> 64) as u64;
            let occurrence = if self.begun.insert(half) { 0 } else { self.count_again(half) };
            let key = TaskKey { digest, occurrence };
            give(key, if self.records.is_empty() { None } else { self.records.remove(&key) });
        }
    }

    #[cold]
    fn count_again(&mut self, half: u64) -> u32 {
        let count = self.again.entry(half).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Makes room for so many tasks more.
    pub(super) fn reserve(&mut self, tasks: usize) {
        self.begun.reserve(tasks);
    }

    /// How many outputs other builds have written.
    pub(super) fn of_others(&self) -> u64 {
        self.of_others
    }

    /// Whether the file had outputs of a function, which was not reported before.
    pub(super) fn reports(&mut self, function: u64) -> bool {
        self.of_functions.contains_key(&function) && self.reported.insert(function, ()).is_none()
    }

    /// Where the file ends, as far as this process knows.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Notes the end of the file; `is_own` says whether what stands before it is of this build.
    pub(super) fn set_end(&mut self, end: u64, is_own: bool) {
        (self.end, self.is_own) = (end, is_own);
    }

    /// Whether what stands at the end of the file is of this build.
    pub(super) fn is_own(&self) -> bool {
        self.is_own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILD: &[u8] = b"this";

    fn add(memory: &mut FileMemory, digest: u128, occurrence: u32) {
        let front = OutputFront { form: OutputForm::Plain, occurrence, function: 7, digest };
        memory.add(RecordFront::Output(front), 100 * u64::from(occurrence), FRONT_BYTES as u32 + 1, BUILD);
    }

    fn begin(memory: &mut FileMemory, digests: &[u128]) -> Vec<(u32, bool)> {
        let mut begun = Vec::new();
        memory.begin(digests.iter().copied(), |key, place| begun.push((key.occurrence, place.is_some())));
        begun
    }

    #[test]
    fn each_record_goes_to_the_task_that_it_is_of_and_to_no_other() {
        let mut memory = FileMemory::default();
        memory.add(RecordFront::Build(BUILD.to_vec()), 0, 8, BUILD);
        let (one, other) = (1 << 64, 2 << 64);
        add(&mut memory, one, 2);
        add(&mut memory, one, 0);
        add(&mut memory, other, 0);
        let begun = begin(&mut memory, &[one, one, one, one, other, other]);
        assert_eq!(begun, [(0, true), (1, false), (2, true), (3, false), (0, true), (1, false)]);
    }

    #[test]
    fn records_of_another_build_are_counted_and_not_taken() {
        let mut memory = FileMemory::default();
        memory.add(RecordFront::Build(b"another".to_vec()), 0, 8, BUILD);
        add(&mut memory, 1 << 64, 0);
        assert!(!memory.is_own() && memory.of_others() == 1 && !memory.reports(7));
        memory.add(RecordFront::Build(BUILD.to_vec()), 0, 8, BUILD);
        add(&mut memory, 1 << 64, 0);
        assert_eq!(begin(&mut memory, &[1 << 64]), [(0, true)]);
        assert!(memory.reports(7) && !memory.reports(7));
    }

    #[test]
    fn digests_with_one_half_have_keys_of_their_own() {
        let mut memory = FileMemory::default();
        memory.add(RecordFront::Build(BUILD.to_vec()), 0, 8, BUILD);
        let (one, other) = (1 << 64 | 5, 1 << 64 | 6);
        assert_eq!(begin(&mut memory, &[one, other]), [(0, false), (1, false)]);
        memory.forget_records(48);
        assert_eq!((memory.end(), memory.is_own()), (48, false));
        assert_eq!(begin(&mut memory, &[one]), [(2, false)]);
    }
}
