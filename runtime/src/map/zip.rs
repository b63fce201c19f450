//! The iterators of a call, read row by row: they must end together, unless they are endless or the call stops with the
//! shortest.

use std::task::{Context, Waker};

use super::columns::{Columns, ColumnsRead, Length, NextItem};
use crate::error::{Error, Kind, LengthMismatch, Place, Result};
use crate::foreign;
use crate::functions::Registration;
use crate::wire::LENGTH_BYTES;

/// The rows of a call, without the columns that they are pulled of: these have a type for each map, and are handed in.
pub(super) struct Rows {
    registration: &'static Registration,
    lengths: Vec<Length>,
    /// The call stops with the first iterator that ends.
    shortest: bool,
    pulled: usize,
    at_end: bool,
    /// Some items of the next row are not there yet. The waker is woken when they are.
    is_pending: bool,
    waker: Option<Waker>,
}

impl Rows {
    /// Compares the lengths that are known.
    pub(super) fn new(lengths: Vec<Length>, registration: &'static Registration, shortest: bool) -> Result<Self> {
        let rows = Self { registration, lengths, shortest, pulled: 0, at_end: false, is_pending: false, waker: None };
        if !shortest {
            rows.compare_known_lengths()?;
        }
        Ok(rows)
    }

    /// How many rows there are, all in all.
    pub(super) fn length(&self) -> Length {
        let known = self.lengths.iter().filter_map(|length| match length {
            Length::Known(length) => Some(*length),
            _ => None,
        });
        if let Some(least) = known.min() {
            Length::Known(least)
        } else if self.lengths.contains(&Length::Unknown) {
            Length::Unknown
        } else {
            Length::Endless
        }
    }

    /// How many rows are left to be pulled, if that is known.
    pub(super) fn left(&self) -> Option<usize> {
        match self.length() {
            Length::Known(length) => Some(length.saturating_sub(self.pulled)),
            _ => None,
        }
    }

    /// How many whole rows were pulled.
    #[inline]
    pub(super) fn pulled(&self) -> usize {
        self.pulled
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Whether the next row is not there yet. The columns were asked for it, and wake the waker.
    pub(super) fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// From now on columns whose items are waited for wake this waker; they are asked again. `is_polled` says whether there are such.
    #[cfg_attr(not(feature = "stream"), allow(dead_code, reason = "streams alone are waited for"))]
    pub(super) fn wake(&mut self, waker: &Waker, is_polled: bool) {
        self.is_pending = false;
        if is_polled && !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            foreign::dispose(self.waker.replace(waker.clone()));
        }
    }

    /// Asks the columns for their next items; returns whether a row can be pulled, or the end be seen. A column that has ended is
    /// the end if the call stops with the shortest; else the others are waited for, to compare them, but endless ones are not.
    #[cold]
    fn is_there(&mut self, columns: &mut impl Columns) -> bool {
        // An iterator whose length is known has ended when it is pulled.
        let mut ended = self.left() == Some(0);
        let (mut pending, mut endless_pending) = (false, false);
        let (lengths, shortest) = (&self.lengths, self.shortest);
        columns.poll_next(
            &mut Context::from_waker(self.waker.as_ref().unwrap_or(Waker::noop())),
            &mut |column, next| match next {
                NextItem::Unasked | NextItem::Here => {}
                NextItem::Ended => ended = true,
                NextItem::Pending if lengths[column as usize] == Length::Endless => endless_pending = true,
                NextItem::Pending => pending = true,
            },
        );
        if ended { shortest || !pending } else { !pending && !endless_pending }
    }

    /// Pulls nothing more.
    pub(super) fn end(&mut self) {
        self.at_end = true;
    }

    /// Pulls one item of each column; none at the end, and where some are not there yet. A panic of an iterator goes through, and nothing is pulled after it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn pull<A: Columns>(&mut self, columns: &mut A) -> Result<Option<A::Row>> {
        // Set before, and taken back after: an iterator that panics is not asked again.
        self.at_end = true;
        if A::POLLED && !self.is_there(columns) {
            (self.at_end, self.is_pending) = (false, true);
            return Ok(None);
        }
        match columns.pull(self.shortest) {
            Ok(row) => {
                self.pulled += 1;
                self.at_end = false;
                Ok(Some(row))
            }
            Err(pulled) => self.end_of(pulled).map(|()| None),
        }
    }

    /// Returns the consequence of some columns having ended.
    #[cold]
    fn end_of(&self, ColumnsRead { asked, given }: ColumnsRead) -> Result<()> {
        let column = |bits: u32| (bits != 0).then(|| bits.trailing_zeros() as usize);
        let endless =
            (self.lengths.iter().rev()).fold(0, |bits, length| bits << 1 | u32::from(*length == Length::Endless));
        // An endless one that was not there yet has not ended.
        let ended = column(asked & !given & !endless).or(column(asked & !given));
        match (ended, column(given & !endless)) {
            (Some(ended), Some(longer)) if !self.shortest => {
                let longer_length = match self.lengths[longer] {
                    Length::Known(length) => Some(length),
                    _ => None,
                };
                Err(self.mismatch(ended, self.pulled, longer, longer_length))
            }
            _ => Ok(()),
        }
    }

    /// Writes the next rows of numbers, one into each `stride` bytes of `slots`, a column at a time. It does nothing and returns `false`
    /// where a column is not of plain numbers, or has fewer left.
    #[inline]
    pub(super) fn write_numbers(&mut self, columns: &mut impl Columns, slots: &mut [u8], stride: usize) -> bool {
        let count = slots.len() / stride;
        if columns.plain_left() < count {
            return false;
        }
        let length_field = ((stride - LENGTH_BYTES) as u32).to_le_bytes();
        for slot in slots.chunks_exact_mut(stride) {
            slot[..LENGTH_BYTES].copy_from_slice(&length_field);
        }
        columns.write_numbers(slots, stride);
        self.pulled += count;
        true
    }

    fn compare_known_lengths(&self) -> Result<()> {
        let known = self.lengths.iter().enumerate().filter_map(|(column, length)| match length {
            Length::Known(length) => Some((column, *length)),
            _ => None,
        });
        let shortest = known.clone().min_by_key(|(_, length)| *length);
        let longest = known.max_by_key(|(_, length)| *length);
        match (shortest, longest) {
            (Some((ended, after)), Some((longer, length))) if after < length => {
                Err(self.mismatch(ended, after, longer, Some(length)))
            }
            _ => Ok(()),
        }
    }

    fn mismatch(&self, ended: usize, ended_after: usize, longer: usize, longer_length: Option<usize>) -> Error {
        let place = |position| Place { position, name: self.registration.parameter(position) };
        Error::new(Kind::LengthMismatch(LengthMismatch {
            function: self.registration.path(),
            ended: place(ended),
            ended_after,
            longer: place(longer),
            longer_length,
        }))
    }
}
