//! The lazy maps as streams: the iterators of `iter`, polled in place of pulled.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::{FusedStream, Stream};

use super::builder::Map;
use super::columns::Columns;
use super::engine::Polls;
use super::iter::{PollItem, PoolIter, PoolIterUnordered};
use crate::error::{Error, Result};
use crate::functions::WorkerFn;
use crate::pool::{Consumer, StreamWaker};

impl<F: WorkerFn, A: Columns> Map<'_, F, A> {
    /// Runs the map as a stream, with results in order. This is [`pool_stream!`](crate::pool_stream).
    ///
    /// The global pool starts when the first task is sent, not before.
    ///
    /// # Errors
    ///
    /// The errors of the call as a whole that are known before any task runs.
    pub fn stream<'a>(self) -> Result<PoolStream<'a, F::Output>>
    where
        F: 'a,
        F::Output: Send + 'a,
        A: Send + 'a,
    {
        let items = PoolIter::new(self.engine(Consumer::Polled)?);
        Ok(PoolStream { items: Box::new(Polled { items, waker: Arc::default() }) })
    }

    /// Runs the map as a stream, with indices and results as tasks finish. This is
    /// [`pool_stream_unordered!`](crate::pool_stream_unordered).
    ///
    /// # Errors
    ///
    /// The errors of the call as a whole that are known before any task runs.
    pub fn stream_unordered<'a>(self) -> Result<PoolStreamUnordered<'a, F::Output>>
    where
        F: 'a,
        F::Output: Send + 'a,
        A: Send + 'a,
    {
        let items = PoolIterUnordered::new(self.engine(Consumer::Polled)?);
        Ok(PoolStreamUnordered { items: Box::new(Polled { items, waker: Arc::default() }) })
    }
}

/// A map whose items are polled, whatever its function and its inputs are.
trait PolledItems<T> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> PollItem<T>;
    /// Whether the last item was given.
    fn is_over(&self) -> bool;
}

/// The iterator of a map, and the waker of whoever polls it.
struct Polled<I> {
    items: I,
    /// Dropped behind the call.
    waker: Arc<StreamWaker>,
}

macro_rules! items {
    ($iterator:ident => $item:ty) => {
        impl<F: WorkerFn, A: Columns> PolledItems<$item> for Polled<$iterator<F, A>> {
            fn poll_next(&mut self, context: &mut Context<'_>) -> PollItem<$item> {
                if let Some(running) = self.items.running() {
                    running.engine.begin_poll(running.input, context.waker());
                }
                self.items.poll_item(&mut Polls::new(context, &self.waker))
            }

            fn is_over(&self) -> bool {
                self.items.is_over()
            }
        }
    };
}

items!(PoolIter => F::Output);
items!(PoolIterUnordered => (usize, F::Output));

/// Polls the results of a map, in order. [`pool_stream!`](crate::pool_stream) returns it.
///
/// A failed task is an `Err` whose [`task()`](Error::task) names it, and further items follow. A failure of the call as a
/// whole is one last `Err`. After the last item the stream returns `None` whenever it is polled. Dropping the stream stops the work.
///
/// It needs no runtime: a thread of the pool wakes it. It may be moved to another thread between two polls, and wakes the waker of the
/// last poll alone. In a fork of the process it yields one error ([`Error::is_forked`]).
#[must_use = "a stream does nothing before it is polled"]
pub struct PoolStream<'a, T> {
    items: Box<dyn PolledItems<T> + Send + 'a>,
}

/// Polls the results of a map with their indices, as tasks finish.
///
/// [`pool_stream_unordered!`](crate::pool_stream_unordered) returns it. It is [`PoolStream`] without the order.
#[must_use = "a stream does nothing before it is polled"]
pub struct PoolStreamUnordered<'a, T> {
    items: Box<dyn PolledItems<(usize, T)> + Send + 'a>,
}

macro_rules! stream {
    ($stream:ident => $item:ty) => {
        impl<T> Stream for $stream<'_, T> {
            type Item = Result<$item, Error>;

            fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
                self.items.poll_next(context)
            }
        }

        impl<T> FusedStream for $stream<'_, T> {
            fn is_terminated(&self) -> bool {
                self.items.is_over()
            }
        }

        impl<T> fmt::Debug for $stream<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($stream))
                    .field("is_terminated", &self.is_terminated())
                    .finish_non_exhaustive()
            }
        }
    };
}

stream!(PoolStream => T);
stream!(PoolStreamUnordered => (usize, T));
