//! Numbers in shared memory that workers fill in place: each gets a part that no other has.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::time::Duration;

use serde::de;
use serde::ser;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::element::Element;
use super::grant::{Name, Right};
use super::grant_table::granted;
use super::loan::{ArrayPlace, WAIT_MAX};
use super::object_table::take_part;
use super::partition::{SharedChunksMut, SharedPart, divide};
use super::segment::Memory;
use super::slice::{SharedSlice, short_name, write};
use crate::codec;
use crate::sys::Part;

/// Holds numbers that workers write in place: one large result, filled in parts by many tasks.
///
/// With the feature `bytemuck` it also holds structs of numbers ([`Element`](crate::Element)).
///
/// No number is copied. The array is a slice: it dereferences to `[T]`, also mutably. [`chunks_mut`](Self::chunks_mut),
/// [`split_at_mut`](Self::split_at_mut) and [`parts`](Self::parts) divide it into parts, which never overlap and borrow the array, as
/// the parts of a slice do. Pass one part to each task. The parameter of the worker function is a `SharedSliceMut<T>` too, which holds
/// the part, and the function fills it. A part travels as 16 bytes. After the map the numbers are in the array.
///
/// Make one by [`zeroed`](Self::zeroed), by `SharedSliceMut::from(vec)`, which copies once, or by `collect()`, which writes the
/// numbers straight into the memory if the iterator's `size_hint` is exact. [`into_shared`](Self::into_shared) turns it into a
/// [`SharedSlice`] without a copy, for the tasks of another map to read.
///
/// In a loop, borrow the numbers once, `let numbers = &mut array[..];`: each borrow checks whether a worker still has a part.
///
/// # Parts and tasks
///
/// A part ends with its task. If a task leaves its part in a static, in a thread that runs on, or by `mem::forget`, its worker ends,
/// and the task fails with [`Crashed`](crate::TaskErrorKind::Crashed) and a note that says so. A task may divide its part further, and
/// fill it by threads, or by a pool of its own. In a worker, [`chunks_mut`](Self::chunks_mut) and the like divide a copy, which is
/// written back when the part is dropped.
///
/// Only parts travel, and only as an argument of their own. The whole array, a reference to a part, or an array inside of another
/// value is an error of the task ([`Encode`](crate::TaskErrorKind::Encode)), or does not compile. A worker function cannot return a
/// part: it fills the part in place.
///
/// # Limits
///
/// - The memory has no name, and is released with its last owner, also if that is killed.
/// - It takes a descriptor here, and none in a worker while a task runs.
/// - The system provides pages as they are touched, and for a task the pages of its whole part.
/// - A worker maps a part for its task only, which takes some 10 µs: make parts of 64 KiB and more.
/// - It works over every transport, on Linux only: [`zeroed`](Self::zeroed) returns `Unsupported` elsewhere.
///
/// # Worker death
///
/// The numbers belong to the parent and are never lost. The part of a task that failed, was killed or crashed holds the numbers
/// written up to then. With `attempts`, a further execution finds the numbers of the execution before. A call that ends early (a failed
/// task, a deadline, a dropped iterator) returns before its workers are gone. The next borrow of the array blocks until they are: about
/// a millisecond. So the numbers never change while you read them.
///
/// A borrow also waits for tasks that run on after a call with `finish_running`, or after a leaked iterator. It waits up to 5 seconds,
/// and then panics. [`wait_timeout`](Self::wait_timeout) waits for a time of your choice.
///
/// A worker maps only the pages of its part (4 KiB each, as a rule), so a faulty C library can overwrite only the numbers in these
/// pages. Malicious code could map the whole array, and write to it at any time; it reaches no other memory of the parent.
///
/// # Examples
///
/// The squares of a million numbers, in place:
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use poolmap::{SharedSliceMut, pool_map, worker};
///
/// #[worker]
/// fn fill(mut part: SharedSliceMut<f64>, first: usize) {
///     for (place, number) in part.iter_mut().zip(first..) {
///         *place = (number * number) as f64;
///     }
/// }
///
/// poolmap::init();
/// let mut squares = SharedSliceMut::zeroed(1_000_000)?;
/// pool_map!(fill, squares.chunks_mut(100_000), (0..1_000_000).step_by(100_000))?;
/// assert_eq!(squares[999], 998_001.0);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Reading a number while tasks may write it does not compile:
///
/// ```compile_fail,E0502
/// # use poolmap::{SharedSliceMut, pool_iter, worker};
/// # #[worker]
/// # fn fill(mut part: SharedSliceMut<f64>, with: f64) {
/// #     part.fill(with);
/// # }
/// let mut array = SharedSliceMut::from(vec![0.0; 10]);
/// let filled = pool_iter!(fill, array.chunks_mut(5), [1.0, 2.0])?;
/// println!("{}", array[0]);
/// drop(filled);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// One part for two tasks does not compile either:
///
/// ```compile_fail,E0277
/// # use poolmap::{SharedSliceMut, pool_map, shared, worker};
/// # #[worker]
/// # fn fill(mut part: SharedSliceMut<f64>, with: f64) {
/// #     part.fill(with);
/// # }
/// let mut array = SharedSliceMut::from(vec![0.0; 10]);
/// let part = array.split_at_mut(5).0;
/// pool_map!(fill, shared(&part), [1.0, 2.0])?;
/// # Ok::<(), poolmap::Error>(())
/// ```
pub struct SharedSliceMut<T> {
    /// None for no numbers.
    room: Option<ArrayPlace>,
    length: usize,
    numbers: PhantomData<T>,
}

const CHECKED: &str = "the place was checked when the array was made";

impl<T: Element> SharedSliceMut<T> {
    /// Creates an array of `length` zeros. The system provides pages as they are touched, also by workers.
    ///
    /// # Errors
    ///
    /// The system is not Linux (`Unsupported`), or has no descriptor, address space or memory left for the array.
    ///
    /// # Examples
    ///
    /// A length that no system has memory for:
    ///
    /// ```
    /// # use poolmap::SharedSliceMut;
    /// assert!(SharedSliceMut::<f64>::zeroed(usize::MAX).is_err());
    /// ```
    pub fn zeroed(length: usize) -> io::Result<Self> {
        if length == 0 {
            return Ok(Self { room: None, length, numbers: PhantomData });
        }
        let bytes = length.checked_mul(size_of::<T>()).filter(|&bytes| isize::try_from(bytes).is_ok());
        let made = bytes.ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory)).and_then(ArrayPlace::new);
        match made {
            Ok(room) => Ok(Self { room: Some(room), length, numbers: PhantomData }),
            Err(error) => Err(io::Error::new(error.kind(), without_room::<T>(length, &error))),
        }
    }

    /// Divides the array into parts of `size` numbers, as an iterator for a map. The last part has the rest.
    ///
    /// # Panics
    ///
    /// `size` is 0; or workers still have a part (see [`wait_timeout`](Self::wait_timeout)).
    pub fn chunks_mut(&mut self, size: usize) -> SharedChunksMut<'_, T> {
        assert!(size > 0, "chunks of 0 numbers have no end");
        SharedChunksMut::new(self.whole(), size)
    }

    /// Divides the array into two parts: the first `middle` numbers, and the others.
    ///
    /// # Panics
    ///
    /// `middle` is greater than the length; or workers still have a part (see [`wait_timeout`](Self::wait_timeout)).
    pub fn split_at_mut(&mut self, middle: usize) -> (SharedPart<'_, T>, SharedPart<'_, T>) {
        assert!(middle <= self.length, "a split at {middle} of {} numbers", self.length);
        self.whole().split_at(middle)
    }

    /// Returns one part for each range, in the order of `ranges`, which may be any. Numbers in no range are in no part.
    ///
    /// # Errors
    ///
    /// Two ranges overlap; one is not in the array, or ends before it begins. The error (`InvalidInput`) names them.
    ///
    /// # Panics
    ///
    /// Workers still have a part (see [`wait_timeout`](Self::wait_timeout)).
    ///
    /// # Examples
    ///
    /// Ranges that overlap:
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// # use poolmap::SharedSliceMut;
    /// let mut array = SharedSliceMut::<f64>::zeroed(100)?;
    /// assert_eq!(array.parts([50..100, 0..10])?[1].len(), 10);
    /// let error = array.parts([0..10, 50..100, 5..20]).unwrap_err();
    /// assert_eq!(error.to_string(), "the ranges 0..10 and 5..20 overlap: a number is in one part only");
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn parts(&mut self, ranges: impl IntoIterator<Item = Range<usize>>) -> io::Result<Vec<SharedPart<'_, T>>> {
        divide(self.whole(), ranges.into_iter().collect())
    }

    /// Waits up to `limit` until no worker has a part. Returns whether that is so, and a borrow returns at once.
    ///
    /// After a call that ended as a whole it returns at once. After a call that ended early it waits until the call's workers are
    /// killed, about a millisecond. With `finish_running` it waits for the tasks that run on, which may take any time.
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        self.room.as_ref().is_none_or(|room| room.wait(limit))
    }

    /// Turns the array into a [`SharedSlice`] that workers read and no process can write.
    ///
    /// The kernel enforces that, and nothing is copied. If a process still has the memory mapped for writing, and in a worker, where a
    /// part ends with its task, the slice is a copy.
    ///
    /// # Panics
    ///
    /// Workers still have a part (see [`wait_timeout`](Self::wait_timeout)); there is no memory for a copy.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// # use poolmap::{SharedSlice, SharedSliceMut, pool_map, worker};
    /// #[worker]
    /// fn fill(mut part: SharedSliceMut<u64>, with: u64) {
    ///     part.fill(with);
    /// }
    ///
    /// #[worker]
    /// fn sum(part: &SharedSlice<u64>) -> u64 {
    ///     part.iter().sum()
    /// }
    ///
    /// poolmap::init();
    /// let mut array = SharedSliceMut::zeroed(100)?;
    /// pool_map!(fill, array.chunks_mut(50), 1..)?;
    /// assert_eq!(pool_map!(sum, array.into_shared().chunks(50))?, [50, 100]);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn into_shared(self) -> SharedSlice<T> {
        self.settle();
        match self.room {
            Some(ArrayPlace::Own(own)) => match Memory::written(own.pages, &own.segment) {
                Ok(memory) => SharedSlice::of(memory, self.length),
                Err(error) => panic!("there is no memory for a copy of {} numbers: {error}", self.length),
            },
            Some(room) => SharedSlice::from(room.numbers(self.length).expect(CHECKED)),
            None => SharedSlice::empty(),
        }
    }

    /// All of it, to be divided.
    fn whole(&mut self) -> SharedPart<'_, T> {
        self.settle();
        match &mut self.room {
            Some(room) => {
                let (pages, start, segment) = room.divisible();
                SharedPart::new(pages.parts(start, self.length).expect(CHECKED), segment, start)
            }
            None => SharedPart::new(Part::empty(), None, 0),
        }
    }

    /// Waits until nobody else can write here.
    #[inline]
    fn settle(&self) {
        if self.room.as_ref().is_some_and(|room| !room.is_free()) {
            self.settle_slowly();
        }
    }

    #[cold]
    fn settle_slowly(&self) {
        assert!(
            self.wait_timeout(WAIT_MAX),
            "workers still have parts of a SharedSliceMut after {WAIT_MAX:?}: their call has ended, and its tasks go on; wait \
             for them with wait_timeout(…)",
        );
    }

    /// The part that a name stands for.
    fn named<E: de::Error>(name: Name) -> Result<Self, E> {
        if name == 0 {
            return Ok(Self { room: None, length: 0, numbers: PhantomData });
        }
        let grant = granted(name, Right::Write, 0)
            .ok_or_else(|| E::custom("a part of a SharedSliceMut that this task was not given"))?;
        let (pages, start, own) = take_part(&grant)
            .map_err(|error| E::custom(format!("a part of shared memory could not be mapped: {error}")))?;
        // It is mapped, so it has no more bytes than there can be.
        let bytes = grant.bytes as usize;
        let length = bytes / size_of::<T>();
        let room = ArrayPlace::part((pages, start), bytes, own);
        match room.numbers::<T>(length).filter(|_| bytes.is_multiple_of(size_of::<T>())) {
            Some(_) => Ok(Self { room: Some(room), length, numbers: PhantomData }),
            None => Err(E::custom("a part of other numbers")),
        }
    }
}

fn without_room<T>(length: usize, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Unsupported => {
            "this system has no anonymous memory that processes share, as a SharedSliceMut needs: let the tasks return their \
             parts instead"
                .to_owned()
        }
        _ => format!("there is no memory to share for {length} numbers of `{}`: {error}", short_name::<T>()),
    }
}

impl<T: Element> Deref for SharedSliceMut<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.settle();
        match &self.room {
            Some(room) => room.numbers(self.length).expect(CHECKED),
            None => &[],
        }
    }
}

impl<T: Element> DerefMut for SharedSliceMut<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.settle();
        match &mut self.room {
            Some(room) => room.numbers_mut(self.length).expect(CHECKED),
            None => &mut [],
        }
    }
}

impl<T: Element> AsRef<[T]> for SharedSliceMut<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T: Element> AsMut<[T]> for SharedSliceMut<T> {
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for SharedSliceMut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: Element + PartialEq> PartialEq for SharedSliceMut<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Element> From<&[T]> for SharedSliceMut<T> {
    /// Copies the numbers into shared memory.
    ///
    /// # Panics
    ///
    /// There is no memory for them: where [`zeroed`](Self::zeroed) is an error.
    fn from(numbers: &[T]) -> Self {
        let mut array = Self::zeroed(numbers.len()).unwrap_or_else(|error| panic!("{error}"));
        array.copy_from_slice(numbers);
        array
    }
}

impl<T: Element> From<Vec<T>> for SharedSliceMut<T> {
    /// Copies the numbers into shared memory.
    ///
    /// # Panics
    ///
    /// There is no memory for them: where [`zeroed`](Self::zeroed) is an error.
    fn from(numbers: Vec<T>) -> Self {
        Self::from(&numbers[..])
    }
}

impl<T: Element> FromIterator<T> for SharedSliceMut<T> {
    /// Writes the numbers straight into shared memory if the iterator's `size_hint` is exact; else it collects them first.
    ///
    /// # Panics
    ///
    /// There is no memory for them: where [`zeroed`](Self::zeroed) is an error.
    fn from_iter<I: IntoIterator<Item = T>>(numbers: I) -> Self {
        let mut numbers = numbers.into_iter();
        let hint = numbers.size_hint();
        // Where there is no memory for so many, there may be some for those that come.
        let array = (Some(hint.0) == hint.1 && hint.0 > 0).then(|| Self::zeroed(hint.0).ok()).flatten();
        let Some(mut array) = array else {
            return Self::from(numbers.collect::<Vec<T>>());
        };
        array.length = write(Some(&mut array[..]), &mut numbers);
        match numbers.next() {
            None => array,
            // The hint was wrong.
            Some(further) => {
                let all = array.iter().copied().chain([further]).chain(numbers);
                Self::from(all.collect::<Vec<T>>())
            }
        }
    }
}

impl<T: Element> Serialize for SharedSliceMut<T> {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom(
            "a SharedSliceMut travels to a worker in parts only, and never back: pass `array.chunks_mut(…)` or \
             `array.parts(…)?` to a map, and fill the part in place",
        ))
    }
}

impl<'de, T: Element> Deserialize<'de> for SharedSliceMut<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !codec::is_own_deserializer::<D>() {
            return Err(de::Error::custom("a part of a SharedSliceMut is made by a call of a worker function only"));
        }
        Self::named(Name::deserialize(deserializer)?)
    }
}
