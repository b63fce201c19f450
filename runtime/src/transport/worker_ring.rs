//! The worker's end of the memory that it shares with its parent: claims tasks, reads their arguments where they stand, and
//! writes results into the ring. It trusts the parent, and waits for it alone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::entry::EntryWords;
use super::layout::part_bytes_max;
use super::{ChannelError, OutputSender, WorkerSocket, claims, layout, parking};
use crate::failpoints::{self, Point};
use crate::shared;
use crate::sys::{self, CrashSlot, FromParent, RingWriter, View, Words};
use crate::wire::{
    self, Finished, HEAD_BYTES, OversizedResult, PanicNote, Status, TaskFrames, TaskProgress, TasksRun, TimesWords,
    Violation,
};

/// A worker's queue and results, as the worker sees them.
pub(crate) struct WorkerRing {
    words: Arc<Words>,
    results: RingWriter,
    arena: View,
    /// The memory of its arguments, where that is not the arena.
    arguments: Option<View>,
    /// How many messages about memory have come.
    messages: u64,
    /// The messages that had come before the entry whose tasks are granted something, while they are.
    granted: Option<u64>,
    /// The number of the entry whose tasks are next, and how far its arguments are taken.
    entry: u64,
    cursor: usize,
    /// How many tasks of that entry are claimed at a time.
    claim_batch: u32,
    /// The number behind the last task that is claimed.
    claimed: u32,
    /// The parent can recall tasks that it has claimed and not begun. If not, it claims one task at a time, where that is left to it.
    heeds_fences: bool,
    finished: Finished,
    /// The bytes of the last run's results.
    last_bytes: usize,
    /// The number of the parent's sleep for which the bell was rung.
    rung: u64,
    told_nanos: u64,
}

/// The arguments of claimed tasks, room for their results, and the words that tell how far they have come.
pub(crate) struct ClaimedTasks<'a> {
    pub(crate) tasks: TaskFrames<'a>,
    pub(crate) room: &'a mut [u8],
    pub(crate) progress: TaskProgress<'a>,
}

/// Tasks that were claimed, all of one entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub(crate) function: u32,
    pub(crate) attempt: u32,
    pub(crate) count: u32,
    /// The index of the first of them in its call, and its number in this worker's life.
    pub(crate) index: u64,
    pub(crate) number: u32,
    /// It is the first of its entry. The fields below count from it.
    pub(crate) is_first: bool,
    /// The seed of its call.
    pub(crate) seed: u64,
    /// The index of the function that their outputs are folded by, if they are.
    pub(crate) merge: Option<u32>,
    /// The parameters whose arguments are shared.
    pub(crate) shared: u16,
    /// The messages about memory that come before it.
    messages: u64,
    segment: u64,
    offset: usize,
    bytes: usize,
    /// The bytes of what they are granted.
    pub(crate) table_bytes: usize,
    /// When they were handed to the pool.
    pub(crate) handed_nanos: u64,
    /// The listener to their logs.
    pub(crate) log: u64,
}

/// When the ring is empty, results go on at its start, if this much of it was used: few pages are touched, and stay in the
/// caches.
const RESTART_BYTES: usize = 256 * 1024;
/// That much of it is used again so soon while results are smaller than this together.
const SMALL_BYTES: usize = 64 * 1024;
/// So many outputs are folded into one at most: the heads of their results must find room in the ring together.
const FOLDED_TASKS_MAX: u32 = 4096;

impl WorkerRing {
    /// Opens the memory whose descriptors came with the greeting.
    pub(crate) fn new(
        arena: &FromParent,
        arena_bytes: usize,
        own: FromParent,
        arguments: Option<&FromParent>,
    ) -> io::Result<Self> {
        let mut words = Words::new(own.descriptor(), layout::WORDS_BYTES)?;
        let bytes =
            sys::memory_bytes(own.descriptor())?.checked_sub(layout::RESULTS).filter(|bytes| bytes.is_power_of_two());
        let bytes = bytes.ok_or_else(|| io::Error::other("the parent sent memory without a ring"))?;
        let mut results = RingWriter::new(own, layout::RESULTS, bytes)?;
        words.keep_from_forks();
        results.keep_from_forks();
        let heeds_fences = sys::register_for_fences();
        words.word(layout::HEEDS_FENCES).store(u64::from(heeds_fences), Ordering::Release);
        Ok(Self {
            words: Arc::new(words),
            results,
            arena: View::new(arena, arena_bytes)?,
            arguments: match arguments {
                Some(memory) => Some(View::new(memory, sys::memory_bytes(memory.descriptor())?)?),
                None => None,
            },
            messages: 0,
            granted: None,
            entry: 0,
            cursor: 0,
            claim_batch: 0,
            claimed: 0,
            heeds_fences,
            finished: Finished::default(),
            last_bytes: 0,
            rung: 0,
            told_nanos: sys::monotonic_nanos(),
        })
    }

    /// Counts a message about memory, and returns its number.
    pub(crate) fn segment_received(&mut self) -> u64 {
        self.messages += 1;
        self.messages
    }

    /// Whether all messages about memory have come that were sent before these tasks.
    #[inline]
    pub(crate) fn has_memory(&self, claimed: &Claimed) -> bool {
        self.messages >= claimed.messages
    }

    /// Whether there is a task to run.
    #[inline]
    pub(crate) fn has_tasks(&self) -> bool {
        self.claimed != self.finished.tasks || claims::has_open(self.words.word(layout::CLAIMS))
    }

    /// The next tasks to run: as many as the parent lets a worker claim at a time, or `most` where it leaves that open.
    #[inline]
    pub(crate) fn next(&mut self, most: u32) -> Option<Claimed> {
        let next = self.finished.tasks;
        if self.claimed == next {
            // Unclaimed tasks may change, so this is no more than a hint. Of the entry behind this one, a single task is
            // claimed first.
            let (first, count) = self.read_entry();
            let known = count.saturating_sub(next.wrapping_sub(first));
            let most = if self.heeds_fences { most } else { 1 };
            let claim_batch = if self.claim_batch == 0 { most } else { self.claim_batch };
            let wanted = if known == 0 { 1 } else { known.min(claim_batch) };
            failpoints::reached(Point::BeforeClaim);
            let (_, count) = claims::claim(self.words.word(layout::CLAIMS), wanted)?;
            self.claimed = next.wrapping_add(count);
            failpoints::reached(Point::Claimed);
        }
        // There is an entry with the task, this one or the next, and it does not change.
        let (mut first, mut count) = self.read_entry();
        while next.wrapping_sub(first) >= count {
            self.entry += 1;
            self.cursor = 0;
            (first, count) = self.read_entry();
        }
        let end = first.wrapping_add(count);
        let count = self.claimed.wrapping_sub(next).min(end.wrapping_sub(next));
        let entry = self.entry_words();
        let (function, attempt) = entry.function_and_attempt();
        let merge = entry.merge();
        let (shared, messages) = entry.shared_and_messages();
        let (segment, offset, bytes) = entry.arguments();
        Some(Claimed {
            function,
            attempt,
            count: if merge.is_some() { count.min(FOLDED_TASKS_MAX) } else { count },
            index: entry.first_index() + u64::from(next.wrapping_sub(first)),
            number: next,
            is_first: next == first,
            seed: entry.seed(),
            merge,
            shared,
            messages,
            segment,
            offset: offset + self.cursor,
            bytes: bytes - self.cursor,
            table_bytes: entry.table_bytes(),
            handed_nanos: entry.handed_nanos(),
            log: entry.log(),
        })
    }

    /// The number of the entry's first task, and how many it has.
    fn read_entry(&mut self) -> (u32, u32) {
        let entry = self.entry_words();
        let (first, claim_batch) = entry.first_and_grain();
        let count = entry.count();
        self.claim_batch = claim_batch;
        (first, count)
    }

    #[inline]
    fn entry_words(&self) -> EntryWords<'_> {
        EntryWords::of(&self.words, self.entry)
    }

    /// Has claimed tasks run: `run` is given their arguments, and room in the ring for their results. The result that outgrows the room
    /// is given back, as are all where their outputs are folded, and is to be brought over by [`carry`](Self::send_oversized).
    pub(crate) fn run(
        &mut self,
        claimed: &Claimed,
        run: impl FnOnce(ClaimedTasks<'_>) -> Result<TasksRun, Violation>,
    ) -> Result<Option<Box<OversizedResult>>, ChannelError> {
        self.rewind();
        if claimed.is_first {
            self.begin_entry(claimed)?;
        }
        let own = (claimed.segment != 0).then(|| shared::find(claimed.segment));
        let tasks = match &own {
            None => self.arguments.as_ref().unwrap_or(&self.arena).bytes(claimed.offset, claimed.bytes),
            Some(Some(memory)) => memory.pages().numbers(claimed.offset, claimed.bytes),
            Some(None) => return Err(Violation::new("a chunk stands in memory that was not sent").into()),
        };
        let tasks = tasks.ok_or_else(|| Violation::new("a chunk stands behind the end of its memory"))?;
        let free = self.free();
        let room = self.results.room(self.finished.position, free);
        let progress = TaskProgress {
            begun: self.words.word(layout::BEGUN),
            finished: self.words.word(layout::FINISHED),
            revoked: self.words.word(layout::REVOKED),
            begun_nanos: self.words.word(layout::BEGUN_NANOS),
            times: TimesWords::at(&self.words, layout::TIMES),
            count: self.finished,
        };
        let run = run(ClaimedTasks { tasks: TaskFrames::of(tasks), room, progress })?;
        self.last_bytes = run.finished.position.wrapping_sub(self.finished.position) as usize;
        self.last_bytes += run.oversized.as_ref().map_or(0, |oversized| oversized.bytes.len());
        self.finished = run.finished;
        self.cursor += run.taken;
        Ok(run.oversized)
    }

    /// Records what the tasks of an entry are granted, in the place of what those of the one before were.
    #[inline]
    fn begin_entry(&mut self, claimed: &Claimed) -> Result<(), ChannelError> {
        self.end_grants();
        if claimed.table_bytes > 0 {
            return self.take_grants(claimed);
        }
        // Those of an entry that was taken back before it was begun.
        shared::end_leases(claimed.messages);
        Ok(())
    }

    #[cold]
    fn take_grants(&mut self, claimed: &Claimed) -> Result<(), ChannelError> {
        let (segment, offset) = self.entry_words().table_place();
        let memory = if segment == 0 { None } else { shared::find(segment) };
        let table = match (segment, &memory) {
            (0, _) => self.arguments.as_ref().unwrap_or(&self.arena).bytes(offset, claimed.table_bytes),
            (_, Some(memory)) => memory.pages().numbers(offset, claimed.table_bytes),
            (_, None) => None,
        };
        if !table.is_some_and(|table| shared::begin_grants(table, claimed.messages)) {
            return Err(Violation::new("what a chunk's tasks are granted is not there").into());
        }
        self.granted = Some(claimed.messages);
        Ok(())
    }

    /// Gives up what the tasks of the entry that is done were granted.
    #[inline]
    fn end_grants(&mut self) {
        if let Some(messages) = self.granted.take() {
            shared::end_grants(messages);
        }
    }

    /// Gives up what tasks were granted, if no task of their entry is left.
    #[inline]
    pub(crate) fn end_grants_if_done(&mut self) {
        if self.granted.is_some() && self.claimed == self.finished.tasks {
            let (first, count) = self.read_entry();
            if self.finished.tasks.wrapping_sub(first) >= count {
                self.end_grants();
            }
        }
    }

    /// Gives up what was lent for entries that were taken back as a whole, if there is no task.
    ///
    /// The parent stores the number of its last entry before it takes that back, and what comes later has higher ones. So if there is no
    /// task behind the number, every entry up to it is done or was taken back.
    pub(crate) fn end_leases_taken_back(&self) {
        let messages = self.words.word(layout::LEASES_ENDED).load(Ordering::Acquire);
        if messages > 0 && !self.has_tasks() {
            shared::end_leases(messages);
        }
    }

    /// The number of the next task.
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        self.finished.tasks
    }

    /// How much room there is for results.
    fn free(&self) -> usize {
        let released = self.words.word(layout::RELEASED).load(Ordering::Acquire) as u32;
        self.results.capacity() - self.finished.position.wrapping_sub(released) as usize
    }

    /// Whether there is so much room.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.free() >= bytes
    }

    /// Lets the results go on at the ring's start, if it is empty and much of it was used. The part that is left out is no room until
    /// the parent has taken it in, so this is done where there is enough without it.
    fn rewind(&mut self) {
        let place = self.finished.position as usize % self.results.capacity();
        let often = if self.last_bytes < SMALL_BYTES { RESTART_BYTES } else { self.results.capacity() / 2 };
        if place < often || self.free() < self.results.capacity() {
            return;
        }
        let left_out = self.results.capacity() - place;
        if left_out >= HEAD_BYTES {
            self.append(&wire::skip_head(left_out), &[], left_out - HEAD_BYTES);
            self.publish();
        }
    }

    fn publish(&self) {
        self.words.word(layout::FINISHED).store(self.finished.pack(), Ordering::Release);
    }

    /// Writes a head and bytes behind what is in the ring; others see it with the next result. `left_out` bytes behind
    /// them are not written.
    fn append(&mut self, head: &[u8], bytes: &[u8], left_out: usize) {
        let all = head.len() + bytes.len() + left_out;
        let room = self.results.room(self.finished.position, head.len() + bytes.len());
        room[..head.len()].copy_from_slice(head);
        failpoints::reached(Point::HeadWritten);
        room[head.len()..].copy_from_slice(bytes);
        self.finished.position = self.finished.position.wrapping_add(all as u32);
    }

    /// Brings a result over that outgrew the room, in parts if need be, and the empty ones around it; `wait` is called, with the
    /// bytes that are needed, when there is no room. The last part and what stands behind it come at once.
    pub(crate) fn send_oversized(
        &mut self,
        oversized: &OversizedResult,
        mut wait: impl FnMut(&mut Self, usize) -> Result<(), ChannelError>,
    ) -> Result<(), ChannelError> {
        let before = empty(Status::Output, oversized.before);
        let behind = empty(oversized.status_behind(), oversized.behind);
        while !self.has_room(before.len()) {
            wait(self, before.len())?;
        }
        self.append(&before, &[], 0);
        let mut left = &oversized.bytes[..];
        loop {
            let (part, rest) = left.split_at(left.len().min(part_bytes_max(self.results.capacity())));
            let needed = part.len() + HEAD_BYTES + behind.len();
            while !self.has_room(needed) {
                wait(self, needed)?;
            }
            left = rest;
            if rest.is_empty() {
                self.append(&wire::head(oversized.status, part.len()), part, 0);
                self.append(&behind, &[], 0);
                let tasks = oversized.before + 1 + oversized.behind;
                self.finished.tasks = self.finished.tasks.wrapping_add(tasks);
            } else {
                self.append(&wire::part_head(part.len()), part, 0);
            }
            failpoints::reached(Point::Uncounted);
            self.publish();
            if rest.is_empty() {
                failpoints::reached(Point::Finished);
                return Ok(());
            }
            failpoints::reached(Point::PartSent);
        }
    }

    /// Where it is counted how long tasks wait and take.
    pub(crate) fn times(&self) -> TimesWords<'_> {
        TimesWords::at(&self.words, layout::TIMES)
    }

    /// Publishes how long tasks have run, in all.
    pub(crate) fn set_busy_nanos(&self, nanos: u64) {
        self.words.word(layout::BUSY_NANOS).store(nanos, Ordering::Relaxed);
    }

    /// Where the running task's panic is recorded.
    pub(crate) fn panic_slot(&self) -> PanicSlot {
        PanicSlot(Arc::clone(&self.words))
    }

    /// Returns a sender of outputs that are in memory of their own, over this socket.
    pub(crate) fn output_sender(&self, socket: &WorkerSocket) -> OutputSender {
        OutputSender::new(Arc::clone(&self.words), socket.shared_stream())
    }

    /// Which task is running.
    pub(crate) fn task_counter(&self) -> TaskCounter {
        TaskCounter(Arc::clone(&self.words))
    }

    /// Where a signal that ends this process is recorded.
    pub(crate) fn crash_slot(&self) -> CrashSlot {
        let words = Arc::clone(&self.words);
        let (running, crash, stack, path) = (layout::BEGUN, layout::CRASH, layout::STACK, layout::DENIED_PATH);
        CrashSlot::Memory { words, running, crash, stack, path }
    }

    /// Whether the parent sleeps, was not rung for, and asked to be notified of this (rule 6 of `parking`).
    #[inline]
    pub(crate) fn should_notify(&mut self) -> bool {
        let at = self.words.word(layout::TELL_AT).load(Ordering::Relaxed) as u32;
        self.claimed.wrapping_sub(at) < 1 << 31 && self.must_wake_parent()
    }

    /// Whether the parent sleeps, was not rung for, and has not been notified of results for long.
    pub(crate) fn is_to_tell_at(&mut self, now_nanos: u64) -> bool {
        let since = Duration::from_nanos(now_nanos.saturating_sub(self.told_nanos));
        since >= parking::TELL_AFTER && self.must_wake_parent() && {
            self.told_nanos = now_nanos;
            true
        }
    }

    /// Whether the parent sleeps, and was not rung for.
    pub(crate) fn must_wake_parent(&mut self) -> bool {
        parking::must_wake_parent(&self.arena.word(layout::PARENT_PARKED), &mut self.rung)
    }

    /// Says that this side is about to sleep; it must look once more at what it waits for (rule 1 of `parking`).
    pub(crate) fn park(&self) {
        parking::park_worker(self.words.word(layout::WORKER_PARKED));
    }

    pub(crate) fn unpark(&self) {
        parking::unpark_worker(self.words.word(layout::WORKER_PARKED));
    }
}

/// So many results without a payload.
fn empty(status: Status, count: u32) -> Vec<u8> {
    wire::head(status, 0).repeat(count as usize)
}

/// Identifies the running task, by its number in the worker's life.
pub(crate) struct TaskCounter(Arc<Words>);

impl TaskCounter {
    /// The number of the task that was begun last.
    pub(crate) fn number(&self) -> u32 {
        let Self(words) = self;
        (words.word(layout::BEGUN).load(Ordering::Relaxed) as u32).wrapping_sub(1)
    }
}

/// Where a worker leaves word of a panic, at the moment of it.
pub(crate) struct PanicSlot(Arc<Words>);

impl PanicSlot {
    /// Leaves word of the running task's panic.
    pub(crate) fn write(&self, note: &PanicNote) {
        let Self(words) = self;
        let bytes = note.encode(layout::NOTE_BYTES_MAX);
        for (place, part) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            words.word(layout::NOTE + 8 * place).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        words.word(layout::NOTE_LENGTH).store(bytes.len() as u64, Ordering::Relaxed);
        failpoints::reached(Point::Noted);
        let task = words.word(layout::BEGUN).load(Ordering::Relaxed);
        words.word(layout::NOTE_TASK).store(task, Ordering::Release);
    }
}
