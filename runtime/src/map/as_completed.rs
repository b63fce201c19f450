//! Several submitted calls, as they finish.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::handle::TaskHandle;
use crate::error::Result;
use crate::sys::ForkMark;

/// Waits until one of the calls has ended, and returns its place among the handles.
///
/// If several have ended, it is the first place. It is `None` without handles. In a fork of the process that submitted the calls they
/// count as ended, each with an error ([`Error::is_forked`](crate::Error::is_forked)).
///
/// # Examples
///
/// ```
/// use poolmap::{Pool, worker};
///
/// #[worker]
/// fn sleep(millis: u64) -> u64 {
///     std::thread::sleep(std::time::Duration::from_millis(millis));
///     millis
/// }
///
/// poolmap::init();
/// let pool = Pool::builder().workers(2).build()?;
/// let mut handles = vec![pool.submit(sleep { millis: 60_000 })?, pool.submit(sleep { millis: 1 })?];
/// let first = poolmap::wait_any(&handles).expect("there are handles");
/// assert_eq!(handles.swap_remove(first).join()?, 1);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// Outputs that lead to further calls, as in a crawler: the set of handles grows between waits. (Results of
/// [`pool_iter_unordered!`](crate::pool_iter_unordered) cannot feed its own input.)
///
/// ```
/// use poolmap::{Pool, wait_any, worker};
///
/// #[worker]
/// fn links(page: u32) -> Vec<u32> {
///     if page < 8 { vec![page * 2, page * 2 + 1] } else { Vec::new() }
/// }
///
/// poolmap::init();
/// let pool = Pool::builder().workers(2).build()?;
/// let mut open = vec![pool.submit(links { page: 1 })?];
/// let mut seen = 0;
/// while let Some(first) = wait_any(&open) {
///     seen += 1;
///     for page in open.swap_remove(first).join()? {
///         open.push(pool.submit(links { page })?);
///     }
/// }
/// assert_eq!(seen, 15);
/// # Ok::<(), poolmap::Error>(())
/// ```
pub fn wait_any<T>(handles: &[TaskHandle<T>]) -> Option<usize> {
    wait_any_until(handles, None)
}

/// Waits up to `time` until one of the calls has ended, and returns its place among the handles.
///
/// It is [`wait_any`] with a limit: `None` if no call has ended by then. The calls go on, and the handles stay valid.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use poolmap::{Pool, wait_any_timeout, worker};
///
/// #[worker]
/// fn sleep(millis: u64) -> u64 {
///     std::thread::sleep(Duration::from_millis(millis));
///     millis
/// }
///
/// poolmap::init();
/// let pool = Pool::builder().workers(1).build()?;
/// let handles = [pool.submit(sleep { millis: 60_000 })?];
/// assert_eq!(wait_any_timeout(&handles, Duration::from_millis(10)), None);
/// # Ok::<(), poolmap::Error>(())
/// ```
pub fn wait_any_timeout<T>(handles: &[TaskHandle<T>], time: Duration) -> Option<usize> {
    wait_any_until(handles, Instant::now().checked_add(time))
}

/// Without a moment it waits for as long as it takes.
fn wait_any_until<T>(handles: &[TaskHandle<T>], until: Option<Instant>) -> Option<usize> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    // In a callback, what has ended is known once the pool's thread has looked.
    let mut has_looked = false;
    while !handles.is_empty() {
        let has_ended = |handle: &TaskHandle<T>| !handle.is_here() || !handle.submitted().wake_when_finished(&waker);
        let finished = handles.iter().position(has_ended);
        if finished.is_some() || has_looked && is_over(until) {
            // Else a handle that others finish before would have a waker for each call.
            let ours = handles.iter().filter(|handle| handle.is_here());
            ours.for_each(|handle| handle.submitted().forget_waker(&waker));
            return finished;
        }
        handles[0].park_or_pump(|time| {
            shorter(time, until).map_or_else(std::thread::park, std::thread::park_timeout);
        });
        has_looked = true;
    }
    None
}

fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| until <= Instant::now())
}

/// The shorter of a time and of what is left to a moment, where there are such.
fn shorter(time: Option<Duration>, until: Option<Instant>) -> Option<Duration> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    time.into_iter().chain(left).min()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Returns an iterator of the outputs of submitted calls as they finish, each with the place of its handle.
///
/// Places count from 0. Dropping the iterator drops the remaining handles, which cancels the calls that no worker has begun.
///
/// # Examples
///
/// ```
/// use poolmap::{Pool, as_completed, worker};
///
/// #[worker]
/// fn square(x: usize) -> usize {
///     x * x
/// }
///
/// poolmap::init();
/// let pool = Pool::builder().workers(2).build()?;
/// let handles = (0..10).map(|x| pool.submit(square { x })).collect::<poolmap::Result<Vec<_>>>()?;
/// for (place, output) in as_completed(handles) {
///     assert_eq!(output?, place * place);
/// }
/// # Ok::<(), poolmap::Error>(())
/// ```
pub fn as_completed<T>(handles: impl IntoIterator<Item = TaskHandle<T>>) -> AsCompleted<T> {
    let (finished, places) = channel();
    let watch = |(place, handle): (usize, TaskHandle<T>)| {
        let waker = Waker::from(Arc::new(Tell { place, finished: finished.clone() }));
        if !handle.is_here() || !handle.submitted().wake_when_finished(&waker) {
            // The receiver is there as long as this runs.
            let _ = finished.send(place);
        }
        Some(handle)
    };
    let handles: Vec<_> = handles.into_iter().enumerate().map(watch).collect();
    AsCompleted { left: handles.len(), handles, places: Some(places), owner: ForkMark::here() }
}

struct Tell {
    place: usize,
    finished: Sender<usize>,
}

impl Wake for Tell {
    fn wake(self: Arc<Self>) {
        // Nobody waits for it any more.
        let _ = self.finished.send(self.place);
    }
}

/// Iterates over the outputs of submitted calls as they finish. [`as_completed`] returns it.
pub struct AsCompleted<T> {
    /// None where the output was given.
    handles: Vec<Option<TaskHandle<T>>>,
    /// None once this is dropped.
    places: Option<Receiver<usize>>,
    left: usize,
    /// The process that made it.
    owner: ForkMark,
}

impl<T> AsCompleted<T> {
    /// Waits up to `time` for the next output. `None`: no call has ended by then, or none [remains](Self::remaining).
    ///
    /// The calls go on, and the iterator stays valid.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use poolmap::{Pool, as_completed, worker};
    ///
    /// #[worker]
    /// fn sleep(millis: u64) -> u64 {
    ///     std::thread::sleep(Duration::from_millis(millis));
    ///     millis
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(2).build()?;
    /// let handles = [pool.submit(sleep { millis: 60_000 })?, pool.submit(sleep { millis: 1 })?];
    /// let mut completed = as_completed(handles);
    /// let (place, output) = completed.next_timeout(Duration::from_secs(50)).expect("one ends soon");
    /// assert_eq!((place, output?), (1, 1));
    /// assert!(completed.next_timeout(Duration::from_millis(10)).is_none());
    /// assert_eq!(completed.remaining(), 1);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn next_timeout(&mut self, time: Duration) -> Option<(usize, Result<T>)> {
        self.next_until(Instant::now().checked_add(time))
    }

    /// Returns how many outputs are left.
    pub fn remaining(&self) -> usize {
        self.left
    }

    fn next_until(&mut self, until: Option<Instant>) -> Option<(usize, Result<T>)> {
        while self.left > 0 {
            let place = self.next_place(until)?;
            if let Some(handle) = self.handles[place].take() {
                self.left -= 1;
                return Some((place, handle.join()));
            }
        }
        None
    }

    /// The place of the next handle; none if no call will end any more, or none has until a moment.
    fn next_place(&self, until: Option<Instant>) -> Option<usize> {
        let (first_place, first) =
            self.handles.iter().enumerate().find_map(|(place, handle)| Some((place, handle.as_ref()?)))?;
        if !self.owner.is_here() {
            // In a fork nobody tells of an end, and each handle has its error.
            return Some(first_place);
        }
        let places = self.places.as_ref()?;
        loop {
            let received = first.park_or_pump(|time| match shorter(time, until) {
                None => places.recv().map_err(RecvTimeoutError::from),
                Some(time) => places.recv_timeout(time),
            });
            match received {
                Ok(place) => return Some(place),
                Err(RecvTimeoutError::Timeout) if is_over(until) => return None,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

impl<T> Drop for AsCompleted<T> {
    fn drop(&mut self) {
        if !self.owner.is_here() {
            // A thread that is not there may have been sending.
            std::mem::forget(self.places.take());
        }
    }
}

impl<T> Iterator for AsCompleted<T> {
    type Item = (usize, Result<T>);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_until(None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for AsCompleted<T> {}
impl<T> FusedIterator for AsCompleted<T> {}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.left).finish_non_exhaustive()
    }
}
