//! Rows that are read, encoded one behind the other, and sent as chunks.
//!
//! Memory that a worker has read is in its processor's caches, and each line of it comes back with the first byte that is
//! written there. Small stores one behind the other wait for that a few at a time, a copy for many lines at once: so short
//! rows are written on a stage, and copied from there.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use super::super::columns::Length;
use super::super::zip::Rows;
use super::batch::{EncodedRows, FIRST_ATTEMPT, NextAction, not_encoded};
use super::{Engine, WINDOW_BYTES};
use crate::codec::Sink;
use crate::error::{CodecError, Result};
use crate::foreign::Panic;
use crate::functions::{DROPS_OUTPUT, OUTPUT_BY_VALUE, serialize_panicked};
use crate::shared;
use crate::transport::{Chunk, ChunkHead, Sharing};

/// A chunk is sent when it has so many bytes, whatever its number of tasks: what is written soon before it is read is still in
/// the caches.
const CHUNK_BYTES: usize = 64 * 1024;
/// A chunk is sent when it has taken so long to read: items that come slowly do not wait for each other.
const READ_TIME: Duration = Duration::from_micros(500);
/// The stage stays in the first cache of the processor.
const STAGE_BYTES: usize = 16 * 1024;
/// Rows of more bytes are written where they are read.
const STAGED_BYTES_MAX: usize = 512;
/// As are fewer rows than these.
const STAGED_ROWS_MIN: usize = 16;

/// Where rows are written before they are copied.
#[derive(Debug, Default)]
pub(super) struct StagingBuffer {
    /// It is made when the first row is.
    bytes: Vec<u8>,
    /// The size of each of the last rows; zero if there was none.
    row_bytes: usize,
    /// The most that the rows of a chunk took so far, which others are to find room for; none before the first.
    room_bytes: Option<usize>,
}

impl StagingBuffer {
    /// Notes how much the rows of a chunk took.
    fn note_chunk(&mut self, bytes: usize) {
        self.room_bytes = Some(self.room_bytes.unwrap_or(0).max(bytes));
    }

    /// Lends the stage for `rows` rows and as many more bytes than theirs as are free; none where it is no help.
    fn lend(&mut self, rows: usize, free: usize) -> Option<Vec<u8>> {
        let fits = (1..=STAGED_BYTES_MAX).contains(&self.row_bytes) && rows >= STAGED_ROWS_MIN && free >= STAGE_BYTES;
        fits.then(|| {
            self.bytes.resize(STAGE_BYTES, 0);
            std::mem::take(&mut self.bytes)
        })
    }
}

/// The input of a map, without the types of its columns.
pub(in crate::map) trait Input {
    /// The length of each column, in order.
    fn lengths(&self) -> Vec<Length>;

    /// The columns that are shared: a bit for each, the first the lowest.
    fn shared(&self) -> u16;

    /// Whether the items of some may have to be waited for.
    fn is_polled(&self) -> bool;

    /// Pulls a row and drops it; returns whether there was one.
    fn skip_row(&mut self, rows: &mut Rows) -> Result<bool>;

    /// Pulls rows, and encodes them one behind the other, until something else is to be done. After each it notes in `written` how
    /// many they are, and where they end. The panic of an iterator or of a Serialize goes through.
    fn write_rows(
        &mut self,
        engine: &mut Engine,
        sink: Sink<'_>,
        limits: RowLimits,
        written: &mut (u32, usize),
    ) -> NextAction;
}

/// When rows are no more to be written in a row.
#[derive(Clone, Copy)]
pub(in crate::map) struct RowLimits {
    /// So many tasks.
    pub(super) most: usize,
    /// So many bytes in the chunk: it is sent then.
    pub(super) chunk_end: usize,
    /// So many where they are written: they are copied then, if they are on the stage.
    pub(super) end: usize,
    pub(super) is_staged: bool,
    started: Instant,
    /// So many tasks of the chunk are written already, and so many bytes.
    before: u32,
    pub(super) offset: usize,
}

impl RowLimits {
    /// The clock is asked when so many rows are written, behind these: at 1, 2, 4, … tasks of the chunk.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn look_behind(&self, count: u32) -> u32 {
        (self.before + count + 1).next_power_of_two() - self.before
    }

    /// Returns the action behind a row that ends here, if it is not to write another; the clock is asked only where that is wanted.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn reached(&self, end: usize, is_clock_check: bool) -> Option<NextAction> {
        if (is_clock_check && self.started.elapsed() > READ_TIME) || end >= self.chunk_end {
            return Some(NextAction::Stop);
        }
        (end >= self.end).then_some(NextAction::GoOn)
    }

    /// The same behind a row by itself, the one at `count`, which may have had a descriptor.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn behind_row(&self, count: u32, end: usize, look_at: &mut u32) -> Option<NextAction> {
        if shared::has_descriptor() {
            return Some(NextAction::Stop);
        }
        // The clock is asked at 1, 2, 4, … tasks: a late look is late by no more than what was read before.
        let is_clock_check = count == *look_at;
        *look_at += if is_clock_check { self.before + count } else { 0 };
        self.reached(end, is_clock_check)
    }
}

impl Engine {
    /// Reads up to so many rows, and sends them.
    pub(super) fn read_chunk(&mut self, input: &mut dyn Input, tasks: usize) {
        let started = Instant::now();
        let mut most = tasks.min(self.window - self.outstanding);
        while most > 0 && !self.has_failed {
            let (before, taken_before) = (self.rows.pulled(), self.taken());
            let goes_on = self.write_chunk(input, most, started);
            // Tasks whose outputs the journal has are none for the workers.
            let taken = usize::try_from(self.taken() - taken_before).unwrap_or(0);
            most = (most + taken - (self.rows.pulled() - before)).min(self.window - self.outstanding);
            if !goes_on {
                break;
            }
        }
        self.slow_input = started.elapsed() > READ_TIME;
    }

    /// Reads up to so many rows into one block, and sends them; returns whether more may be read now.
    fn write_chunk(&mut self, input: &mut dyn Input, most: usize, started: Instant) -> bool {
        let drops_output = if self.function.sends_output { 0 } else { DROPS_OUTPUT };
        let by_value = if self.journal.is_some() { OUTPUT_BY_VALUE } else { 0 };
        let head = ChunkHead {
            function: self.function.registration.index() | drops_output | by_value | self.measured(),
            attempt: FIRST_ATTEMPT,
            first_index: self.rows.pulled() as u64,
        };
        let arena = self.shared.arena();
        let mut room = self.stage.room_bytes.map_or_else(|| arena.first_room(), |bytes| arena.room(bytes));
        let mut spill = Vec::new();
        let scope = shared::enter_encode_scope();
        let EncodedRows { count, end, then } =
            self.write_all(input, room.as_deref_mut().unwrap_or_default(), &mut spill, most, started);
        let sharing = Sharing::new(input.shared(), scope.finish(), self.shared.arena());
        if count > 0 {
            self.stage.note_chunk(end);
        }
        if let Some(room) = room.filter(|_| count > 0) {
            self.push(Chunk::new(head, count, room.into_block(end), end), sharing.clone());
        }
        match then {
            NextAction::GoOn => return true,
            NextAction::Stop => {}
            NextAction::GoOnBehind(error) => {
                self.arrived(not_encoded(self.rows.pulled() - 1, error));
                return true;
            }
            NextAction::SendAlone => {
                let first_index = head.first_index + u64::from(count);
                self.send_alone(ChunkHead { first_index, ..head }, spill, sharing);
            }
        }
        false
    }

    /// Reads up to so many rows, and writes them one behind the other. One that finds no room is in `spill` then.
    fn write_all(
        &mut self,
        input: &mut dyn Input,
        room: &mut [u8],
        spill: &mut Vec<u8>,
        most: usize,
        started: Instant,
    ) -> EncodedRows {
        let chunk_end = CHUNK_BYTES.min(WINDOW_BYTES.saturating_sub(self.outstanding_bytes));
        let mut all = EncodedRows { count: 0, end: 0, then: NextAction::GoOn };
        while matches!(all.then, NextAction::GoOn) && (all.count as usize) < most {
            let (most, chunk_end) = (most - all.count as usize, chunk_end.saturating_sub(all.end));
            let free = &mut room[all.end..];
            let mut stage = self.stage.lend(most, free.len());
            let is_staged = stage.is_some();
            let end = if is_staged { STAGE_BYTES - STAGED_BYTES_MAX } else { usize::MAX };
            let limits = RowLimits { most, chunk_end, end, is_staged, started, before: all.count, offset: all.end };
            let written = self.write_rows(input, Sink::new(stage.as_deref_mut().unwrap_or(free), spill), limits);
            if !self.shared.is_here() {
                // The input has forked, and this is the copy: the memory is the parent's, which also has the rows.
                all.then = NextAction::Stop;
                break;
            }
            all.count += written.count;
            all.then = written.then;
            if written.count > 0 {
                self.stage.row_bytes = written.end / written.count as usize;
            }
            if let Some(stage) = stage {
                room[all.end..][..written.end].copy_from_slice(&stage[..written.end]);
                self.stage.bytes = stage;
            }
            all.end += written.end;
            if matches!(all.then, NextAction::SendAlone) {
                spill.drain(..written.end);
                if is_staged && spill.len() <= room.len() - all.end {
                    // It was only too large for the stage.
                    room[all.end..][..spill.len()].copy_from_slice(spill);
                    self.stage.row_bytes = spill.len();
                    all = EncodedRows { count: all.count + 1, end: all.end + spill.len(), then: NextAction::GoOn };
                    spill.clear();
                }
            }
        }
        all
    }

    /// Reads rows, and encodes them one behind the other. A Serialize that panics is the error of its row; the panic of an iterator
    /// goes through. It is caught once for many rows: to catch it takes a nanosecond or two.
    fn write_rows(&mut self, input: &mut dyn Input, sink: Sink<'_>, limits: RowLimits) -> EncodedRows {
        let mut written = (0, 0);
        let caught = catch_unwind(AssertUnwindSafe(|| input.write_rows(self, sink, limits, &mut written)));
        let then = match caught {
            Ok(then) => then,
            // No row was given: the iterator was being asked for it.
            Err(payload) if self.rows.is_at_end() => resume_unwind(payload),
            Err(payload) => NextAction::GoOnBehind(serialize_panicked(&Panic::from_payload(payload))),
        };
        let (count, end) = written;
        self.outstanding +=
            count as usize + usize::from(matches!(then, NextAction::GoOnBehind(_) | NextAction::SendAlone));
        self.outstanding_bytes += end;
        EncodedRows { count, end, then }
    }

    /// Sends one task that found no room in the arena.
    fn send_alone(&mut self, head: ChunkHead, bytes: Vec<u8>, sharing: Sharing) {
        let length = bytes.len();
        // Rows before it may be in the same room.
        self.stage.note_chunk(CHUNK_BYTES + length);
        match self.shared.arena().block_of_row(bytes) {
            Ok(block) => self.push(Chunk::new(head, 1, block, length), sharing),
            Err(error) => {
                self.outstanding_bytes -= length;
                let error = CodecError::no_memory(length, &error);
                let index = self.rows.pulled() - 1;
                self.arrived(not_encoded(index, error));
            }
        }
    }
}
