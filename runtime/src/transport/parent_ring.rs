//! The parent's end of the memory that it shares with one worker: a queue of entries that describe chunks, and the ring of
//! results. It never waits, and believes nothing that the worker has written.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::arena::Buffers;
use super::claims::Ledger;
use super::entry::{EntryWords, QueueEntry};
use super::layout::part_bytes_max;
use super::private_arguments::Copies;
use super::{Chunk, layout, parking};
use crate::codec::{DirectOutput, NewDirect};
use crate::failpoints::{self, Point};
use crate::sys::{self, CRASH_WORDS, Crash, NativeStack, Ring, Words};
use crate::wire::{self, Finished, PanicNote, Records, TimesWords, Violation, WorkerTimes};

/// A worker's queue and results, as the parent sees them.
pub(super) struct ParentRing {
    words: Arc<Words>,
    results: Ring,
    ledger: Ledger,
    /// The entries that are not finished, oldest first, and the number of the next.
    entries: VecDeque<Assigned>,
    next_entry: u64,
    /// The results that were taken.
    taken: Finished,
    /// The parts of a result that is not finished.
    parts: Vec<u8>,
    /// What has come of a large output that is copied into its own memory.
    direct: Option<Box<dyn DirectOutput>>,
    direct_bytes_min: usize,
    buffers: Arc<Buffers>,
    parts_bytes_max: usize,
    busy_nanos: u64,
    /// The last take was only the head that says that the end of the ring is left out.
    only_skipped: bool,
    /// The tasks taken since the worker last reported its time.
    untimed: u32,
    /// The messages about memory that the worker must have taken in to have finished what it has.
    messages_had: u64,
    /// Those that it must have taken in to begin the entry assigned last, also if that was taken back.
    messages_assigned: u64,
    /// The worker was revoked, and what it has claimed and not begun was recalled.
    recall: Option<recall::Recall>,
}

/// What is said of a worker that writes more than the limit of a result.
const TOO_LARGE: &str = "its results are larger than they may be";

/// A chunk that the worker was assigned.
struct Assigned {
    /// The tasks that it tells of.
    count: u32,
    /// Those without a result.
    left: u32,
    /// Its tasks have their results together, so that several may be begun.
    is_folded: bool,
    /// The messages about memory that the worker takes in before its first task.
    messages: u64,
    /// How room is made for a large output that is copied into its own memory.
    new_direct: Option<NewDirect>,
    /// Where the worker reads its arguments, if that is memory which no other has.
    _copies: Option<Box<Copies>>,
}

/// Results that were taken.
#[derive(Debug)]
pub(crate) struct ResultBatch {
    pub(crate) count: u32,
    pub(crate) records: Records,
    /// The time that some of the last tasks took, and how many they were, if it is known.
    pub(crate) timed: Option<(u32, Duration)>,
    /// So many tasks behind them the worker will not run.
    pub(crate) not_run: u32,
    /// It has reported all that was recalled from it.
    pub(crate) ends_recall: bool,
}

impl ResultBatch {
    /// Results of tasks that a worker was to run, and has.
    pub(crate) fn new(count: u32, records: Records, timed: Option<(u32, Duration)>) -> Self {
        Self { count, records, timed, not_run: 0, ends_recall: false }
    }

    /// Whether it says nothing: the worker has no more than gone on with a result.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.not_run == 0 && !self.ends_recall
    }
}

impl ParentRing {
    /// The memory of a new worker, and its descriptor for the worker.
    pub(super) fn new(buffers: &Arc<Buffers>, frame_bytes_max: usize) -> io::Result<(Self, OwnedFd)> {
        let (memory, results) = new_ring()?;
        let parent_ring = Self {
            words: Arc::new(Words::new(&memory, layout::WORDS_BYTES)?),
            results,
            ledger: Ledger::default(),
            entries: VecDeque::new(),
            next_entry: 0,
            taken: Finished::default(),
            parts: Vec::new(),
            direct: None,
            direct_bytes_min: direct::DIRECT_BYTES_MIN,
            buffers: Arc::clone(buffers),
            parts_bytes_max: frame_bytes_max,
            busy_nanos: 0,
            only_skipped: false,
            untimed: 0,
            messages_had: 0,
            messages_assigned: 0,
            recall: None,
        };
        Ok((parent_ring, memory))
    }

    /// Gives the worker a chunk, of which it claims `claim_batch` tasks at a time (0: by its clock), once it has got so many
    /// messages about memory. True if the bell must be rung for it.
    pub(super) fn assign(
        &mut self,
        chunk: &Chunk,
        copies: Option<Box<Copies>>,
        claim_batch: u32,
        (messages, log): (u64, u64),
    ) -> bool {
        assert!((self.entries.len() as u64) < layout::ENTRIES_MAX, "a worker is given fewer chunks at once");
        let (segment, offset) = copies.as_ref().map_or_else(|| chunk.place(), |copies| copies.place(chunk));
        let (table_bytes, table_segment, table_offset) =
            copies.as_ref().map_or_else(|| chunk.table(), |copies| copies.table(chunk));
        let head = chunk.head();
        EntryWords::of(&self.words, self.next_entry).write(&QueueEntry {
            segment: segment.map_or(0, |segment| segment.id),
            offset,
            bytes: chunk.tasks().len(),
            first_index: head.first_index,
            function: head.function,
            attempt: head.attempt,
            claim_batch,
            first: self.ledger.limit(),
            count: chunk.count(),
            shared: chunk.shared_parameters(),
            messages,
            seed: chunk.seed(),
            merge: chunk.merge(),
            table_bytes,
            table_segment: table_segment.map_or(0, |segment| segment.id),
            table_offset,
            handed_nanos: chunk.handed_nanos(),
            log,
        });
        self.entries.push_back(Assigned {
            count: chunk.count(),
            left: chunk.count(),
            is_folded: chunk.merge().is_some(),
            messages,
            new_direct: chunk.new_direct(),
            _copies: copies,
        });
        self.next_entry += 1;
        self.messages_assigned = messages;
        self.words.word(layout::REVOKED).store(0, Ordering::Relaxed);
        failpoints::reached(Point::ParentEntry);
        self.ledger.add(self.words.word(layout::CLAIMS), chunk.count());
        failpoints::reached(Point::ParentAssigned);
        self.must_wake()
    }

    /// Takes back the last tasks that the worker has not claimed, `most` at most; returns how many.
    pub(super) fn take_back(&mut self, most: u32) -> Result<u32, Violation> {
        failpoints::reached(Point::ParentTakeBack);
        // Before it is taken back: a worker that sees no task sees this. It never decreases: the worker may look only after several
        // entries were taken back, the last first.
        self.words.word(layout::LEASES_ENDED).store(self.messages_assigned, Ordering::Release);
        let count = self.ledger.take_back(self.words.word(layout::CLAIMS), most)?;
        let mut left = count;
        while let Some(last) = self.entries.back_mut().filter(|_| left > 0) {
            let of_last = left.min(last.left);
            last.left -= of_last;
            last.count -= of_last;
            left -= of_last;
            let (is_empty, now) = (last.left == 0, last.count);
            EntryWords::of(&self.words, self.next_entry - 1).set_count(now);
            if is_empty {
                self.entries.pop_back();
                // The worker has not been at an entry of which it has claimed nothing, so its place is used again.
                self.next_entry -= u64::from(now == 0);
            }
        }
        Ok(count)
    }

    /// Lets the worker begin nothing more of what it has claimed: such tasks have empty results. It holds until the worker is
    /// given another chunk, which it must not be before it has finished.
    pub(super) fn revoke(&mut self) {
        self.words.word(layout::REVOKED).store(1, Ordering::Relaxed);
    }

    /// How many tasks the worker has claimed that have no result yet, and how many it has not.
    pub(super) fn load(&mut self) -> Result<(u32, u32), Violation> {
        let claimed = self.ledger.claimed(self.words.word(layout::CLAIMS))?;
        Ok((claimed.wrapping_sub(self.taken.tasks), self.ledger.limit().wrapping_sub(claimed)))
    }

    /// The words that this side and the worker write.
    pub(super) fn words(&self) -> &Arc<Words> {
        &self.words
    }

    /// Whether the worker has no task without a result.
    pub(super) fn is_idle(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there are results to take.
    pub(super) fn has_results(&self) -> bool {
        self.words.word(layout::FINISHED).load(Ordering::Acquire) != self.taken.pack()
    }

    /// Takes the results that there are. The second is true if the bell must be rung for the worker, which waits for room.
    pub(super) fn take(&mut self) -> Result<Option<(ResultBatch, bool)>, Violation> {
        failpoints::reached(Point::ParentTake);
        let busy_nanos = self.words.word(layout::BUSY_NANOS).load(Ordering::Relaxed);
        let finished = Finished::unpack(self.words.word(layout::FINISHED).load(Ordering::Acquire));
        if finished == self.taken {
            return Ok(None);
        }
        let count = finished.tasks.wrapping_sub(self.taken.tasks);
        let (claimed, _) = self.load()?;
        if count > claimed {
            return Err(Violation::new("it gives results that it was not asked for"));
        }
        let skipped = self.skip()?;
        let bytes = finished.position.wrapping_sub(self.taken.position) as usize;
        // A worker leaves out the end of the ring once, and then has results.
        if std::mem::replace(&mut self.only_skipped, skipped && bytes == 0) && self.only_skipped {
            return Err(Violation::new("it leaves out results again and again"));
        }
        if bytes > self.results.capacity() {
            return Err(Violation::new(TOO_LARGE));
        }
        let (count, records) = match self.take_direct(finished) {
            Some(taken) => taken,
            None => (count, self.take_copied(finished)?),
        };
        self.words.word(layout::RELEASED).store(u64::from(self.taken.position), Ordering::Release);
        failpoints::reached(Point::ParentReleased);
        let must_wake = self.must_wake();
        self.finish_entries(count)?;
        let mut taken = self.settle(count, records)?;
        // The time is that of all that is finished: where some is left, it is counted with that.
        let busy_nanos = if self.taken == finished { busy_nanos } else { self.busy_nanos };
        taken.timed = self.timed(taken.count, busy_nanos);
        Ok(Some((taken, must_wake)))
    }

    /// Copies out what has come, and takes the finished results.
    fn take_copied(&mut self, finished: Finished) -> Result<Records, Violation> {
        let bytes = finished.position.wrapping_sub(self.taken.position) as usize;
        if self.parts.len() + bytes > self.parts_bytes_max + self.results.capacity() {
            return Err(Violation::new(TOO_LARGE));
        }
        if self.parts.capacity() == 0 {
            self.parts = self.buffers.take();
        }
        self.results.copy_out(self.taken.position, bytes, &mut self.parts);
        let count = finished.tasks.wrapping_sub(self.taken.tasks);
        self.taken = finished;
        self.take_records(count)
    }

    /// The finished results out of what has come. The parts behind them are of a result that is not finished, and stay.
    fn take_records(&mut self, count: u32) -> Result<Records, Violation> {
        if count == 0 {
            return Ok(Records::default());
        }
        let come = std::mem::take(&mut self.parts);
        if come.len() <= part_bytes_max(self.results.capacity()) {
            // There is no part among them: each but a result's last, which is a record, is as large as it may be.
            return Ok(Records::new(come));
        }
        let (records, parts) = Records::new(come).split_parts(count as usize)?;
        self.parts = parts;
        Ok(records)
    }

    /// Steps over what the worker has left out at the end of the ring; returns whether it has.
    fn skip(&mut self) -> Result<bool, Violation> {
        let skipped = wire::skipped(self.results.read(self.taken.position));
        if let Some(skipped) = skipped {
            let to_end = self.results.capacity() - self.taken.position as usize % self.results.capacity();
            if skipped != to_end {
                return Err(Violation::new("it leaves out results"));
            }
            self.taken.position = self.taken.position.wrapping_add(skipped as u32);
        }
        Ok(skipped.is_some())
    }

    /// How many messages about memory the worker must have taken in to have finished what was taken.
    pub(super) fn messages_had(&self) -> u64 {
        self.messages_had
    }

    fn finish_entries(&mut self, count: u32) -> Result<(), Violation> {
        let mut left = count;
        while left > 0 {
            let first = self.entries.front_mut().ok_or_else(|| Violation::new("it gives results of no chunk"))?;
            let of_first = left.min(first.left);
            first.left -= of_first;
            left -= of_first;
            self.messages_had = first.messages;
            if first.left == 0 {
                self.entries.pop_front();
            }
        }
        Ok(())
    }

    fn timed(&mut self, count: u32, busy_nanos: u64) -> Option<(u32, Duration)> {
        self.untimed = self.untimed.saturating_add(count);
        let since = busy_nanos.wrapping_sub(self.busy_nanos);
        if since == 0 || self.untimed == 0 {
            return None;
        }
        self.busy_nanos = busy_nanos;
        Some((std::mem::take(&mut self.untimed), Duration::from_nanos(since)))
    }

    /// A number that changes when the worker finishes a task or a part of a result, or begins a task.
    pub(super) fn progress_stamp(&self) -> u64 {
        let begun = self.words.word(layout::BEGUN).load(Ordering::Acquire);
        self.words.word(layout::FINISHED).load(Ordering::Acquire) ^ begun.rotate_left(32)
    }

    /// How many tasks the worker has begun that have no result: no more than one, but where it folds their outputs.
    pub(super) fn begun(&self) -> u32 {
        let begun = self.words.word(layout::BEGUN).load(Ordering::Acquire);
        let begun = u32::try_from(begun).map_or(0, |begun| begun.wrapping_sub(self.taken.tasks));
        let most = match self.entries.front() {
            Some(entry) if entry.is_folded => entry.left,
            _ => 1,
        };
        if begun <= most { self.kept_of(begun) } else { 0 }
    }

    /// What the worker has counted.
    pub(super) fn times(&self) -> WorkerTimes {
        TimesWords::at(&self.words, layout::TIMES).read()
    }

    /// When the task begun last began.
    pub(super) fn begun_nanos(&self) -> u64 {
        self.words.word(layout::BEGUN_NANOS).load(Ordering::Relaxed)
    }

    /// The number behind that of the task that is running, if that is this one.
    fn is_running(&self, task: u64) -> bool {
        let begun = self.begun();
        begun > 0 && task == u64::from(self.taken.tasks.wrapping_add(begun))
    }

    /// Returns the signal that ended the worker in its running task, if the worker has recorded it.
    pub(super) fn crash(&self) -> Option<Crash> {
        let task = self.words.word(layout::CRASH).load(Ordering::Acquire);
        if !self.is_running(task) {
            return None;
        }
        let places: [usize; CRASH_WORDS] = std::array::from_fn(|word| layout::CRASH + 8 * (word + 1));
        Crash::from_words(places.map(|place| self.words.word(place).load(Ordering::Relaxed)))
    }

    /// Returns the stack of the worker's thread when a signal ended it in its running task, if the worker has recorded it.
    pub(super) fn stack(&self) -> Option<NativeStack> {
        let task = self.words.word(layout::STACK).load(Ordering::Acquire);
        let word = |word: usize| self.words.word(layout::STACK + 8 * (word + 1)).load(Ordering::Relaxed);
        if self.is_running(task) { NativeStack::from_words(word) } else { None }
    }

    /// Returns the path of the system call that was denied to the running task, if the worker has recorded one.
    pub(super) fn denied_path(&self) -> Option<Vec<u8>> {
        let task = self.words.word(layout::DENIED_PATH).load(Ordering::Acquire);
        let word = |word: usize| self.words.word(layout::DENIED_PATH + 8 * (word + 1)).load(Ordering::Relaxed);
        if self.is_running(task) { sys::path_from_words(word) } else { None }
    }

    /// Returns the panic of the running task, if the worker has recorded one.
    pub(super) fn note(&self) -> Option<PanicNote> {
        let task = self.words.word(layout::NOTE_TASK).load(Ordering::Acquire);
        if !self.is_running(task) {
            return None;
        }
        let length = self.words.word(layout::NOTE_LENGTH).load(Ordering::Relaxed);
        let length = usize::try_from(length).ok().filter(|&length| length <= layout::NOTE_BYTES_MAX)?;
        let words = (0..length.div_ceil(8)).map(|word| self.words.word(layout::NOTE + 8 * word));
        let mut bytes: Vec<u8> = words.flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        bytes.truncate(length);
        PanicNote::decode(&bytes).ok()
    }

    /// Asks the worker to tell when it has claimed half of what it has not.
    pub(super) fn notify_at_half(&mut self) -> Result<(), Violation> {
        let (_, open) = self.load()?;
        let at = self.ledger.limit().wrapping_sub(open / 2);
        self.words.word(layout::TELL_AT).store(u64::from(at), Ordering::Relaxed);
        Ok(())
    }

    fn must_wake(&self) -> bool {
        parking::must_wake_worker(self.words.word(layout::WORKER_PARKED))
    }
}

/// The share of the address space that a ring may take, where that is limited: each is mapped twice, here and in its worker.
const ADDRESS_SPACE_SHARE: u64 = 64;

/// New memory for a worker, and its ring: as large as is usual, or as there is memory for.
fn new_ring() -> io::Result<(OwnedFd, Ring)> {
    let most = sys::address_space_bytes().map_or(u64::MAX, |bytes| bytes / ADDRESS_SPACE_SHARE);
    let mut bytes = layout::RESULTS_BYTES;
    while bytes as u64 > most && bytes > layout::RESULTS_BYTES_MIN {
        bytes /= 2;
    }
    loop {
        let made = sys::raced_memory(layout::bytes(bytes)).and_then(|memory| {
            let ring = Ring::new(&memory, layout::RESULTS, bytes)?;
            Ok((memory, ring))
        });
        match made {
            Err(error) if bytes > layout::RESULTS_BYTES_MIN && !sys::is_short_of_descriptors(&error) => bytes /= 2,
            made => return made,
        }
    }
}

mod direct;
mod recall;

#[cfg(any(fuzzing, test))]
mod fuzzing;
#[cfg(fuzzing)]
pub(crate) use fuzzing::fuzz;

#[cfg(test)]
mod tests;
