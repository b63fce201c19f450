//! An input of a map that is itself a stream: its items are asked for when a row is to be read, one at a time, and a row waits until it
//! has all of its items.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::builder::{Map, Position};
use super::columns::{Column, Columns, Length, NextItem, Source};
use crate::codec::{Encoder, number_bytes};
use crate::error::CodecError;
use crate::functions::{EncodeAs, EncodeOwned, Given, Item, WorkerFn, encode_item};
use crate::sys;

/// Makes a [`Stream`] the input of [`pool_stream!`](crate::pool_stream), in the place of an iterator.
///
/// The items may be what those of an iterator may be. The stream is polled by the task that polls the results, while workers have room
/// and the window is not full. An item that is there becomes a task at once, whatever the `chunk_size`, and does not wait for further
/// items. After its end the stream is not polled again. A stream whose `size_hint` has a lower bound of `usize::MAX` is endless.
///
/// The other macros block their thread, and refuse a stream: that is a compile error.
///
/// # Examples
///
/// ```
/// use futures_lite::{StreamExt, future, stream};
/// use poolmap::{pool_stream, worker};
///
/// #[worker]
/// fn resize(width: u32, factor: u32) -> u32 {
///     width * factor
/// }
///
/// poolmap::init();
/// // Requests of clients, lines of a socket, a tokio_stream::wrappers::ReceiverStream, …
/// let widths = stream::iter([1, 2, 3]);
/// let resized = future::block_on(async {
///     pool_stream!(resize, poolmap::stream(widths), std::iter::repeat(10))?.try_collect::<_, _, Vec<_>>().await
/// })?;
/// assert_eq!(resized, [10, 20, 30]);
/// # Ok::<(), poolmap::Error>(())
/// ```
pub fn stream<S: Stream>(stream: S) -> StreamInput<S> {
    StreamInput(Box::pin(stream))
}

/// A stream in the place of an iterator. [`stream()`] returns it.
pub struct StreamInput<S>(Pin<Box<S>>);

/// [`StreamInput`], as a bound: see `IsShared`.
pub trait IsStream {
    /// The stream.
    type Stream: Stream;

    /// The stream, pinned.
    fn pinned(self) -> Pin<Box<Self::Stream>>;
}

impl<S: Stream> IsStream for StreamInput<S> {
    type Stream = S;

    fn pinned(self) -> Pin<Box<S>> {
        self.0
    }
}

/// A stream, whose items may have to be waited for.
pub struct Streams;

#[diagnostic::do_not_recommend]
impl<S: IsStream> Source<Streams> for S {
    type Item = <S::Stream as Stream>::Item;
    type Column<T, E> = StreamItems<S::Stream, T, E>;

    fn into_column<T, E>(self) -> StreamItems<S::Stream, T, E> {
        StreamItems { stream: self.pinned(), next: None, has_ended: false, parameter: PhantomData }
    }
}

/// A column of a stream's items.
pub struct StreamItems<S: Stream, T, E> {
    stream: Pin<Box<S>>,
    /// The item of the next row, if it is there.
    next: Option<S::Item>,
    has_ended: bool,
    parameter: PhantomData<fn() -> (T, E)>,
}

/// The item is moved out of the column, which is never pinned itself.
impl<S: Stream, T, E> Unpin for StreamItems<S, T, E> {}

impl<S, T, E> Column for StreamItems<S, T, E>
where
    S: Stream,
    S::Item: EncodeAs<T>,
    E: EncodeOwned<T>,
{
    const IS_POLLED: bool = true;
    const MAY_BE_NUMBERS: bool = sys::may_be_number::<T>();
    type Item = S::Item;

    fn argument_bytes() -> Option<usize> {
        if Self::MAY_BE_NUMBERS { number_bytes::<T>() } else { None }
    }

    fn length(&self) -> Length {
        Length::of_hint(self.stream.size_hint())
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> NextItem {
        if self.next.is_some() {
            return NextItem::Here;
        }
        if self.has_ended {
            return NextItem::Ended;
        }
        match self.stream.as_mut().poll_next(context) {
            Poll::Pending => NextItem::Pending,
            Poll::Ready(None) => {
                self.has_ended = true;
                NextItem::Ended
            }
            Poll::Ready(item) => {
                self.next = item;
                NextItem::Here
            }
        }
    }

    fn pull(&mut self) -> Option<S::Item> {
        self.next.take()
    }

    fn encode(&mut self, item: S::Item, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        encode_item::<T, E>(&item, encoder)
    }
}

impl<'p, F: WorkerFn, A: Columns> Map<'p, F, A> {
    /// Adds the iterator or the stream of a parameter: see [`argument`](Self::argument).
    #[doc(hidden)]
    pub fn polled_argument<'w, const N: usize, S, K, T, E, C, O, G>(
        self,
        _parameter: Position<N>,
        source: S,
    ) -> Map<'p, G, (A, C)>
    where
        S: Given<F, N, Owned = O, Function = G>,
        S: Source<K>,
        S::Item: Item<O, <S as Given<F, N>>::Written<'w>, <S as Given<F, N>>::EncodedBy, Parameter = T, EncodedBy = E>,
        S: Source<K, Column<T, E> = C>,
        C: Column,
    {
        let Self { pool, columns, options, on_error, .. } = self;
        Map { pool, columns: (columns, source.into_column::<T, E>()), options, on_error, function: PhantomData }
    }
}
