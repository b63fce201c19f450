//! The iterators of a call, a column for each parameter: pulled together, row by row, and encoded as one task's
//! arguments. It knows nothing of workers.

use std::marker::PhantomData;
use std::task::Context;

use super::broadcast::Repeated;
use crate::codec::{Encoder, Sink, number_bytes};
use crate::error::CodecError;
use crate::functions::{EncodeAs, EncodeOwned, encode_item};
use crate::shared::Shared;
use crate::sys;
use crate::wire::LENGTH_BYTES;

/// A value that can are in the place of an iterator.
///
/// `Kind` says by which implementation. With several that could apply, the compiler looks at their bounds before it
/// takes one: for what is no iterator it takes none, and says so in the words below and not in those of a bound.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an iterator",
    label = "not an iterator",
    note = "each parameter takes an iterator, or what turns into one, with one item for each task; for one value in all \
            tasks, `std::iter::repeat(value)`; for a `Stream`, `poolmap::stream(s)` in `pool_stream!`"
)]
pub trait Source<Kind> {
    /// The item for a task.
    type Item;
    /// The column that it is pulled through, for a parameter whose owned type is `T`, which `E` encodes.
    type Column<T, E>;

    /// Turns it into that.
    fn into_column<T, E>(self) -> Self::Column<T, E>;
}

/// An iterator, or what turns into one.
pub struct Iterates;

#[diagnostic::do_not_recommend]
impl<I: IntoIterator> Source<Iterates> for I {
    type Item = I::Item;
    type Column<T, E> = Items<I::IntoIter, T, E>;

    fn into_column<T, E>(self) -> Items<I::IntoIter, T, E> {
        Items { iterator: self.into_iter(), parameter: PhantomData }
    }
}

/// One value for every task.
pub struct Repeats;

/// [`Shared`], as a bound: an implementation for that type alone would not be looked at for any other, and the compiler would
/// take the one that is left.
pub trait IsShared {
    /// A reference to the value.
    type Item;

    /// The value.
    fn item(self) -> Self::Item;
}

impl<'a, V: ?Sized> IsShared for Shared<'a, V> {
    type Item = &'a V;

    fn item(self) -> &'a V {
        self.value()
    }
}

#[diagnostic::do_not_recommend]
impl<S: IsShared> Source<Repeats> for S {
    type Item = S::Item;
    type Column<T, E> = Repeated<S::Item, T, E>;

    fn into_column<T, E>(self) -> Repeated<S::Item, T, E> {
        Repeated::new(self.item())
    }
}

/// The arguments for one parameter.
pub trait Column {
    /// Whether its arguments may have to be waited for.
    const IS_POLLED: bool = false;
    /// Whether its arguments are names of a value that all tasks share.
    const IS_SHARED: bool = false;
    /// Whether its arguments may be numbers, by their size: only then code for numbers is compiled.
    const MAY_BE_NUMBERS: bool = false;
    /// An argument that was pulled.
    type Item;

    /// The bytes of each argument, where they are numbers.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn argument_bytes() -> Option<usize> {
        None
    }

    /// How many of the next arguments are numbers that run no code of the program's as they are pulled: so nothing shows in which
    /// order the columns are.
    #[inline]
    fn plain_left(&self) -> usize {
        0
    }

    /// Writes the next of these numbers, one into each `stride` bytes, `at` bytes behind their first.
    #[inline]
    fn write_numbers(&mut self, _slots: &mut [u8], _stride: usize, _at: usize) {}

    /// How many there are.
    fn length(&self) -> Length;
    /// Asks for the next argument, where it may have to be waited for. [`pull`](Self::pull) returns what has come.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn poll_next(&mut self, _context: &mut Context<'_>) -> NextItem {
        NextItem::Unasked
    }
    /// Pulls the next argument.
    fn pull(&mut self) -> Option<Self::Item>;
    /// Encodes an argument that was pulled.
    fn encode(&mut self, item: Self::Item, encoder: &mut Encoder<'_>) -> Result<(), CodecError>;
}

/// The next argument of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextItem {
    /// It is pulled without a wait, if there is one.
    Unasked,
    /// It is there.
    Here,
    /// There is none any more.
    Ended,
    /// It is not there yet.
    Pending,
}

/// A column that is pulled without a wait.
///
/// It says what a map cannot do that blocks its thread.
#[diagnostic::on_unimplemented(
    message = "a `Stream` cannot be the input of a map that blocks its thread",
    label = "a `Stream`",
    note = "`pool_stream!` and `pool_stream_unordered!` take streams, and wait for their items without blocking"
)]
pub trait Immediate {}

impl<I: Iterator, T, E> Immediate for Items<I, T, E> {}

/// How long a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many items are left.
    Known(usize),
    /// It may end, no one knows when.
    Unknown,
    /// It is endless: its `size_hint` has a lower bound of `usize::MAX`.
    Endless,
}

impl Length {
    /// How long an iterator is.
    pub(super) fn of(iterator: &impl Iterator) -> Self {
        Self::of_hint(iterator.size_hint())
    }

    /// How long that is of which this is the `size_hint`.
    pub(super) fn of_hint(hint: (usize, Option<usize>)) -> Self {
        match hint {
            (usize::MAX, _) => Self::Endless,
            (lower, Some(upper)) if lower == upper => Self::Known(lower),
            _ => Self::Unknown,
        }
    }
}

/// A column of an iterator's items.
pub struct Items<I: Iterator, T, E> {
    iterator: I,
    parameter: PhantomData<fn() -> (T, E)>,
}

impl<I, T, E> Column for Items<I, T, E>
where
    I: Iterator,
    I::Item: EncodeAs<T>,
    E: EncodeOwned<T>,
{
    const MAY_BE_NUMBERS: bool = sys::may_be_number::<T>();
    type Item = I::Item;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn argument_bytes() -> Option<usize> {
        if Self::MAY_BE_NUMBERS { number_bytes::<T>() } else { None }
    }

    #[inline]
    fn plain_left(&self) -> usize {
        if Self::MAY_BE_NUMBERS && number_bytes::<T>().is_some() { sys::plain_left(&self.iterator) } else { 0 }
    }

    #[inline]
    fn write_numbers(&mut self, slots: &mut [u8], stride: usize, at: usize) {
        if !Self::MAY_BE_NUMBERS {
            return;
        }
        let bytes = number_bytes::<T>().expect("the column is of numbers");
        let mut spill = Vec::new();
        for (slot, number) in slots.chunks_exact_mut(stride).zip(self.iterator.by_ref()) {
            let mut encoder = Encoder::new(Sink::new(&mut slot[at..at + bytes], &mut spill), bytes);
            encode_item::<T, E>(&number, &mut encoder).expect("a number takes its bytes");
        }
    }

    fn length(&self) -> Length {
        Length::of(&self.iterator)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn pull(&mut self) -> Option<I::Item> {
        self.iterator.next()
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn encode(&mut self, item: I::Item, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        encode_item::<T, E>(&item, encoder)
    }
}

/// The columns of a call: `()`, then `((), first)`, then `(((), first), second)`, …
pub trait Columns {
    /// How many there are.
    const COUNT: u32;
    /// Those that are shared: a bit for each, the first the lowest.
    const SHARED: u16;
    /// Whether the items of some may have to be waited for.
    const POLLED: bool = false;
    /// Whether all columns may be of numbers.
    const MAY_BE_NUMBERS: bool = false;
    /// One item of each.
    type Row;

    /// The bytes of each row, where all columns are of numbers.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn row_bytes() -> Option<usize> {
        None
    }

    /// How many of the next rows are numbers that run no code of the program's as they are pulled.
    #[inline]
    fn plain_left(&self) -> usize {
        0
    }

    /// Writes the next of these rows, one into each `stride` bytes, behind the field of its length.
    #[inline]
    fn write_numbers(&mut self, _slots: &mut [u8], _stride: usize) {}

    /// Visits each column's length, in order.
    fn lengths(&self, visit: &mut dyn FnMut(Length));
    /// Asks each column for its next item, in order, and visits its place and what it says.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn poll_next(&mut self, _context: &mut Context<'_>, _visit: &mut dyn FnMut(u32, NextItem)) {}
    /// Pulls one item of each column, in order. With `shortest`, the columns behind the first that has ended are left alone.
    ///
    /// # Errors
    ///
    /// Some columns have ended.
    fn pull(&mut self, shortest: bool) -> Result<Self::Row, ColumnsRead>;
    /// Encodes a row that was pulled.
    fn encode(&mut self, row: Self::Row, encoder: &mut Encoder<'_>) -> Result<(), CodecError>;
}

/// The columns that have ended at a pull of all: from the first column on, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColumnsRead {
    /// The columns that were asked.
    pub asked: u32,
    /// Those that gave an item.
    pub given: u32,
}

impl ColumnsRead {
    /// So many columns were asked, and gave an item.
    pub(crate) fn whole(columns: u32) -> Self {
        let bits = (1 << columns) - 1;
        Self { asked: bits, given: bits }
    }

    /// Records that the next column was asked.
    pub(crate) fn and(self, is_given: bool) -> Self {
        let bit = self.asked + 1;
        Self { asked: self.asked | bit, given: self.given | if is_given { bit } else { 0 } }
    }
}

impl Columns for () {
    const COUNT: u32 = 0;
    const SHARED: u16 = 0;
    const MAY_BE_NUMBERS: bool = true;
    type Row = ();

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn row_bytes() -> Option<usize> {
        Some(0)
    }

    #[inline]
    fn plain_left(&self) -> usize {
        usize::MAX
    }

    fn lengths(&self, _visit: &mut dyn FnMut(Length)) {}

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn pull(&mut self, _shortest: bool) -> Result<(), ColumnsRead> {
        Ok(())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn encode(&mut self, (): (), _encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        Ok(())
    }
}

impl<A: Columns, C: Column> Columns for (A, C) {
    const COUNT: u32 = A::COUNT + 1;
    const SHARED: u16 = A::SHARED | (C::IS_SHARED as u16) << A::COUNT;
    const POLLED: bool = A::POLLED || C::IS_POLLED;
    const MAY_BE_NUMBERS: bool = A::MAY_BE_NUMBERS && C::MAY_BE_NUMBERS;
    type Row = (A::Row, C::Item);

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn row_bytes() -> Option<usize> {
        Some(A::row_bytes()? + C::argument_bytes()?)
    }

    #[inline]
    fn plain_left(&self) -> usize {
        self.0.plain_left().min(self.1.plain_left())
    }

    #[inline]
    fn write_numbers(&mut self, slots: &mut [u8], stride: usize) {
        let before = A::row_bytes().expect("the columns are of numbers");
        self.0.write_numbers(slots, stride);
        self.1.write_numbers(slots, stride, LENGTH_BYTES + before);
    }

    fn lengths(&self, visit: &mut dyn FnMut(Length)) {
        self.0.lengths(visit);
        visit(self.1.length());
    }

    fn poll_next(&mut self, context: &mut Context<'_>, visit: &mut dyn FnMut(u32, NextItem)) {
        self.0.poll_next(context, visit);
        visit(A::COUNT, self.1.poll_next(context));
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn pull(&mut self, shortest: bool) -> Result<Self::Row, ColumnsRead> {
        match self.0.pull(shortest) {
            Ok(row) => match self.1.pull() {
                Some(item) => Ok((row, item)),
                None => Err(ColumnsRead::whole(A::COUNT).and(false)),
            },
            Err(pulled) if shortest => Err(pulled),
            Err(pulled) => Err(pulled.and(self.1.pull().is_some())),
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn encode(&mut self, (row, item): Self::Row, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        self.0.encode(row, encoder)?;
        self.1.encode(item, encoder)
    }
}
