//! Rows of a map, pulled and encoded one behind the other. It is compiled for each map, so nothing stands here that needs no types.

use super::Engine;
use super::batch::NextAction;
use super::input::{Input, RowLimits};
use crate::codec::{Encoder, Sink};
use crate::error::Result;
use crate::map::columns::{Columns, Length};
use crate::map::zip::Rows;
use crate::wire::{LENGTH_BYTES, OVERHEAD_BYTES};

impl<A: Columns> Input for A {
    fn lengths(&self) -> Vec<Length> {
        let mut lengths = Vec::new();
        Columns::lengths(self, &mut |length| lengths.push(length));
        lengths
    }

    fn shared(&self) -> u16 {
        A::SHARED
    }

    fn is_polled(&self) -> bool {
        A::POLLED
    }

    fn skip_row(&mut self, rows: &mut Rows) -> Result<bool> {
        rows.pull(self).map(|row| row.is_some())
    }

    fn write_rows(
        &mut self,
        engine: &mut Engine,
        mut sink: Sink<'_>,
        limits: RowLimits,
        written: &mut (u32, usize),
    ) -> NextAction {
        let bytes_max = engine.shared.frame_bytes_max() - OVERHEAD_BYTES;
        if A::MAY_BE_NUMBERS
            && let Some(row_bytes) = A::row_bytes().filter(|&bytes| bytes <= bytes_max)
            && let Some(then) = write_number_rows(engine, self, &mut sink, row_bytes, limits, written)
        {
            return then;
        }
        let mut encoder = Encoder::new(sink, bytes_max).at_offset(limits.offset);
        let is_journaled = engine.journal.is_some();
        let (mut count, mut end) = *written;
        let mut look_at = limits.look_behind(count);
        loop {
            if count as usize == limits.most {
                break NextAction::GoOn;
            }
            let Some(row) = next_row(engine, self, limits) else {
                break NextAction::Stop;
            };
            begin_row(&mut encoder, is_journaled);
            if let Err(error) = self.encode(row, &mut encoder) {
                encoder.sink().truncate(end);
                break NextAction::GoOnBehind(error);
            }
            let row_end = end_row(&mut encoder, end);
            if encoder.sink().has_spilled() {
                engine.outstanding_bytes += row_end - end;
                break NextAction::SendAlone;
            }
            count += 1;
            end = row_end;
            *written = (count, end);
            if let Some(then) = limits.behind_row(count, end, &mut look_at) {
                break then;
            }
        }
    }
}

/// Pulls the next row that may be written; none at the end, where the lengths differ, and where the input has forked and this is
/// the copy, for whose rows there is no memory but the stage.
#[cfg_attr(not(debug_assertions), inline(always))]
fn next_row<A: Columns>(engine: &mut Engine, columns: &mut A, limits: RowLimits) -> Option<A::Row> {
    match engine.rows.pull(columns) {
        Ok(row) => row.filter(|_| limits.is_staged || engine.shared.is_here()),
        Err(mismatch) => {
            engine.failure = Some(mismatch);
            None
        }
    }
}

/// Leaves room for the length of a row.
#[inline]
fn begin_row(encoder: &mut Encoder<'_>, is_journaled: bool) {
    encoder.sink().write(&[0; LENGTH_BYTES]);
    encoder.begin();
    if is_journaled {
        encoder.pad_from_here();
    }
}

/// Writes the length of a row that begins at `start`; returns where it ends.
#[inline]
fn end_row(encoder: &mut Encoder<'_>, start: usize) -> usize {
    let sink = encoder.sink();
    let end = sink.len();
    let length = u32::try_from(end - start - LENGTH_BYTES).expect("arguments are encoded with a limit under 4 GiB");
    sink.write_at(start, &length.to_le_bytes());
    end
}

/// Writes rows of numbers, which have one size: as many at once as find room before anything else is looked at. None once a
/// row finds no room.
#[cfg_attr(not(debug_assertions), inline(always))]
fn write_number_rows<A: Columns>(
    engine: &mut Engine,
    columns: &mut A,
    sink: &mut Sink<'_>,
    row_bytes: usize,
    limits: RowLimits,
    written: &mut (u32, usize),
) -> Option<NextAction> {
    let stride = LENGTH_BYTES + row_bytes;
    let length_field = u32::try_from(row_bytes).ok()?.to_le_bytes();
    let end_wanted = limits.chunk_end.min(limits.end);
    let mut spill = Vec::new();
    loop {
        let (before, start) = *written;
        if before as usize == limits.most {
            return Some(NextAction::GoOn);
        }
        let look_at = limits.look_behind(before);
        let free = sink.free();
        let most = (limits.most - before as usize)
            .min((look_at - before) as usize)
            .min(end_wanted.saturating_sub(start).div_ceil(stride).max(1))
            .min(free.len() / stride);
        if most == 0 {
            return None;
        }
        let mut ended = None;
        let slots = &mut free[..most * stride];
        let mut rows = if engine.rows.write_numbers(columns, slots, stride) { most } else { 0 };
        for slot in slots.chunks_exact_mut(stride).skip(rows) {
            let Some(row) = next_row(engine, columns, limits) else {
                ended = Some(NextAction::Stop);
                break;
            };
            let (length, arguments) = slot.split_at_mut(LENGTH_BYTES);
            length.copy_from_slice(&length_field);
            if let Err(error) = columns.encode(row, &mut Encoder::new(Sink::new(arguments, &mut spill), row_bytes)) {
                ended = Some(NextAction::GoOnBehind(error));
                break;
            }
            rows += 1;
        }
        // It is not noted after each row: only an iterator can panic here, and behind that it is not read.
        let (count, end) = (before + rows as u32, start + rows * stride);
        *written = (count, end);
        sink.filled(count as usize * stride - sink.len());
        let ended = ended.or_else(|| limits.reached(end, count == look_at));
        if ended.is_some() {
            return ended;
        }
    }
}
