//! Numbers in shared memory: what a worker gets of them is a name.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::{Bound, Deref, RangeBounds};
use std::sync::Arc;

use serde::de::{self, SeqAccess, Visitor};
use serde::ser::{self, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::element::Element;
use super::encode_scope::{WriteAs, form_for, grant, send_output};
use super::grant::{Name, Right};
use super::grant_table::granted;
use super::object_table::find_granted;
use super::output_memory::take_output;
use super::segment::Memory;
use crate::codec;
use crate::sys;

/// Holds numbers in memory that all workers read in place, without a copy.
///
/// With the feature `bytemuck` it also holds structs of numbers ([`Element`](crate::Element)).
///
/// It is a slice: it dereferences to `[T]`. As an argument of a worker function, by itself or inside of another value, it travels as a
/// name of 17 bytes. Each worker maps the memory once, for reading, when it first gets a part of it. So a task costs the same with a
/// slice of a gigabyte as with a slice of a hundred bytes. Clones, [`slice`](Self::slice) and [`chunks`](Self::chunks) share the memory
/// and are cheap.
///
/// Make one by `SharedSlice::from(vec)`, which copies once; by `collect()`, which writes the numbers straight into the memory if the
/// iterator's `size_hint` is exact; or by [`SharedSlice::from_file`].
///
/// # Limits
///
/// - The memory takes a descriptor here, until the last `SharedSlice` of it is dropped. It takes none in the workers, which release the
///   memory with their next call.
/// - A worker that passes a slice on to a pool of its own copies it: up to 64 KiB into the task's arguments; for a longer slice it
///   copies the whole memory, once.
/// - A worker maps memory of up to 1 GiB as a whole when it first gets a part of it (about 0.1 ms for each MiB), and larger memory page
///   by page as it is read.
/// - If the system has no memory to share, or no descriptor is left, the numbers stay in this process, and travel by value.
/// - In a task's result, a slice of more than 64 KiB comes without a copy too: the worker makes the memory, seals it against all writers,
///   and sends its descriptor. The parent checks the seals and maps the memory. It copies the numbers of shorter slices, of a slice that
///   the worker got from its parent, of those beyond 16 that a worker has sent and the parent has not decoded, and of all slices if
///   results travel over a socket. The parent keeps the descriptors of the first 256 such slices, so that they can be passed on
///   without a copy.
/// - Serialising a slice in anything but a call of a worker function is an error, because its name has no meaning elsewhere. Serialise
///   `&slice[..]` instead.
///
/// # Errors
///
/// If the parent has no descriptor left for a slice in a result, that is an error of the task
/// ([`Decode`](crate::TaskErrorKind::Decode)).
///
/// # Worker death
///
/// No number is lost: memory that the parent has made belongs to it, and no worker can write to it. A slice in a finished result outlives
/// its worker. A worker that replaces a dead one gets the
/// memory anew.
///
/// # Examples
///
/// The sum of a large array, in parts:
///
/// ```
/// use poolmap::{SharedSlice, pool_map, worker};
///
/// #[worker]
/// fn sum(numbers: &SharedSlice<f64>) -> f64 {
///     numbers.iter().sum()
/// }
///
/// poolmap::init();
/// let numbers: SharedSlice<f64> = (0..1_000_000).map(f64::from).collect();
/// let sums = pool_map!(sum, numbers.chunks(100_000))?;
/// assert_eq!(sums.iter().sum::<f64>(), 499_999_500_000.0);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// A large result, which is read where the worker has written it:
///
/// ```
/// use poolmap::{SharedSlice, pool_map, worker};
///
/// #[worker]
/// fn count_from(first: u64, length: usize) -> SharedSlice<u64> {
///     (first..).take(length).collect::<Vec<_>>().into()
/// }
///
/// poolmap::init();
/// let parts = pool_map!(count_from, [0, 100_000], [100_000, 50_000])?;
/// assert_eq!(parts[1][..3], [100_000, 100_001, 100_002]);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// Structs of numbers, with the feature `bytemuck`. `bytemuck::Pod` is what such a struct derives:
///
#[cfg_attr(feature = "bytemuck", doc = "```")]
#[cfg_attr(not(feature = "bytemuck"), doc = "```ignore")]
/// use bytemuck::{Pod, Zeroable};
/// use poolmap::{SharedSlice, pool_map, worker};
///
/// #[derive(Clone, Copy, Pod, Zeroable)]
/// #[repr(C)]
/// struct Point {
///     x: f32,
///     y: f32,
/// }
///
/// #[worker]
/// fn farthest(points: &SharedSlice<Point>) -> f32 {
///     points.iter().map(|point| point.x.hypot(point.y)).fold(0.0, f32::max)
/// }
///
/// poolmap::init();
/// let points: SharedSlice<Point> = (0..1000).map(|n| Point { x: n as f32, y: 0.0 }).collect();
/// assert_eq!(pool_map!(farthest, points.chunks(500))?, [499.0, 999.0]);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// Values without bytes, which do not compile:
///
#[cfg_attr(feature = "bytemuck", doc = "```compile_fail,E0080")]
#[cfg_attr(not(feature = "bytemuck"), doc = "```ignore")]
/// poolmap::SharedSlice::from(vec![()]);
/// ```
///
/// A range outside of the slice, which panics as with `&slice[range]`:
///
/// ```should_panic
/// # use poolmap::SharedSlice;
/// SharedSlice::from(vec![1, 2, 3]).slice(2..4);
/// ```
pub struct SharedSlice<T> {
    /// None for no numbers.
    memory: Option<Arc<Memory>>,
    /// In bytes, a multiple of the alignment.
    offset: usize,
    length: usize,
    numbers: PhantomData<T>,
}

const CHECKED: &str = "the place was checked when the slice was made";

impl<T: Element> SharedSlice<T> {
    /// Returns a part of the slice, which shares its memory.
    ///
    /// # Panics
    ///
    /// The range ends before it begins, or behind the end of the slice, as with `&slice[range]`.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(&start) => Some(start),
            Bound::Excluded(&before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.checked_add(1),
            Bound::Excluded(&end) => Some(end),
            Bound::Unbounded => Some(self.length),
        };
        match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= self.length => {
                let offset = self.offset + start * size_of::<T>();
                Self { memory: self.memory.clone(), offset, length: end - start, numbers: PhantomData }
            }
            _ => panic!(
                "the range {:?} to {:?} is not in a shared slice of {} numbers",
                range.start_bound(),
                range.end_bound(),
                self.length,
            ),
        }
    }

    /// Divides the slice into parts of `size` numbers, as an iterator for a map. The last part has the rest.
    ///
    /// # Panics
    ///
    /// `size` is 0.
    pub fn chunks(&self, size: usize) -> SharedChunks<T> {
        assert!(size > 0, "chunks of 0 numbers have no end");
        SharedChunks { rest: self.clone(), size }
    }

    pub(super) fn empty() -> Self {
        Self { memory: None, offset: 0, length: 0, numbers: PhantomData }
    }

    pub(super) fn of(memory: Memory, length: usize) -> Self {
        Self { memory: Some(Arc::new(memory)), offset: 0, length, numbers: PhantomData }
    }

    /// The numbers that these bytes are, copied.
    fn of_bytes<E: de::Error>(bytes: &[u8]) -> Result<Self, E> {
        let length = bytes.len() / size_of::<T>();
        if !bytes.len().is_multiple_of(size_of::<T>()) {
            return Err(E::custom("a shared slice of other numbers"));
        }
        if length == 0 {
            return Ok(Self::empty());
        }
        let filled = Memory::fill(bytes.len(), |pages| {
            pages.numbers_mut(0, bytes.len()).expect(MADE_FOR_THEM).copy_from_slice(bytes);
        });
        let (memory, ()) = filled.map_err(|error| E::custom(no_memory(length, &error)))?;
        Ok(Self::of(memory, length))
    }

    /// Sends the memory to the parent, if it can be sent; returns its identity, and where the numbers are.
    fn send(&self) -> Option<[u64; 4]> {
        let bytes = self.length * size_of::<T>();
        let descriptor = self.memory.as_ref()?.output_descriptor(bytes)?;
        let [device, node] = sys::identity(descriptor).ok()?.words();
        send_output(descriptor).then_some([device, node, self.offset as u64, bytes as u64])
    }

    /// The numbers at a place of memory that the worker of an output has sent.
    fn of_output<E: de::Error>([device, node, offset, bytes]: [u64; 4]) -> Result<Self, E> {
        let memory = take_output([device, node]).map_err(E::custom)?;
        let place = usize::try_from(offset).ok().zip(usize::try_from(bytes).ok());
        let place = place.filter(|(_, bytes)| bytes.is_multiple_of(size_of::<T>()));
        let (offset, length) = place.map(|(offset, bytes)| (offset, bytes / size_of::<T>())).unwrap_or((0, usize::MAX));
        if memory.pages().numbers::<T>(offset, length).is_none() {
            return Err(E::custom("a shared slice of other numbers"));
        }
        Ok(Self { memory: Some(memory), offset, length, numbers: PhantomData })
    }

    /// The part of received memory that a name stands for.
    fn named<E: de::Error>(name: Name) -> Result<Self, E> {
        let grant = granted(name, Right::Read, 0).ok_or_else(|| E::custom(NOT_GRANTED))?;
        let (memory, offset, bytes) = find_granted(&grant).ok_or_else(|| E::custom(NOT_GRANTED))?;
        let length = bytes / size_of::<T>();
        if !bytes.is_multiple_of(size_of::<T>()) || memory.pages().numbers::<T>(offset, length).is_none() {
            return Err(E::custom("a shared slice of other numbers"));
        }
        Ok(Self { memory: Some(memory), offset, length, numbers: PhantomData })
    }
}

const NOT_GRANTED: &str =
    "a shared slice that this task was not given: it travels as an argument of a worker function only";

/// The type as users know it.
pub(super) fn short_name<T>() -> &'static str {
    std::any::type_name::<T>()
}

impl<T: Element> Deref for SharedSlice<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.memory {
            Some(memory) => memory.pages().numbers(self.offset, self.length).expect(CHECKED),
            None => &[],
        }
    }
}

impl<T: Element> AsRef<[T]> for SharedSlice<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> Clone for SharedSlice<T> {
    fn clone(&self) -> Self {
        Self { memory: self.memory.clone(), numbers: PhantomData, ..*self }
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for SharedSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: Element + PartialEq> PartialEq for SharedSlice<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Element> From<&[T]> for SharedSlice<T> {
    /// Copies the numbers into shared memory.
    ///
    /// # Panics
    ///
    /// There is no memory for them.
    fn from(numbers: &[T]) -> Self {
        if numbers.is_empty() {
            return Self::empty();
        }
        let filled = Memory::fill(size_of_val(numbers), |pages| {
            pages.numbers_mut(0, numbers.len()).expect(MADE_FOR_THEM).copy_from_slice(numbers);
        });
        match filled {
            Ok((memory, ())) => Self::of(memory, numbers.len()),
            Err(error) => panic!("{}", no_memory(numbers.len(), &error)),
        }
    }
}

#[cold]
fn no_memory(length: usize, error: &io::Error) -> String {
    format!("there is no memory for {length} numbers: {error}")
}

const MADE_FOR_THEM: &str = "the memory was made for so many numbers";

impl<T: Element> From<Vec<T>> for SharedSlice<T> {
    /// Copies the numbers into shared memory.
    ///
    /// # Panics
    ///
    /// There is no memory for them.
    fn from(numbers: Vec<T>) -> Self {
        Self::from(&numbers[..])
    }
}

impl<T: Element> FromIterator<T> for SharedSlice<T> {
    /// Writes the numbers straight into shared memory if the iterator's `size_hint` is exact; else it collects them first.
    ///
    /// # Panics
    ///
    /// There is no memory for them.
    fn from_iter<I: IntoIterator<Item = T>>(numbers: I) -> Self {
        let mut numbers = numbers.into_iter();
        let (length, exact) = match numbers.size_hint() {
            (lower, Some(upper)) if lower == upper && lower > 0 => (lower, lower.checked_mul(size_of::<T>())),
            _ => (0, None),
        };
        // Where there is no memory for so many, there may be some for those that come.
        let filled =
            exact.and_then(|bytes| Memory::fill(bytes, |pages| write(pages.numbers_mut(0, length), &mut numbers)).ok());
        let Some((memory, written)) = filled else {
            return Self::from(numbers.collect::<Vec<T>>());
        };
        let slice = Self { length: written, ..Self::of(memory, length) };
        match numbers.next() {
            None => slice,
            // The hint was wrong.
            Some(further) => {
                let all = slice.iter().copied().chain([further]).chain(numbers);
                Self::from(all.collect::<Vec<T>>())
            }
        }
    }
}

/// Writes numbers as long as there are some, and room for them; returns how many.
pub(super) fn write<T>(room: Option<&mut [T]>, numbers: &mut impl Iterator<Item = T>) -> usize {
    let room = room.expect(MADE_FOR_THEM);
    for (written, place) in room.iter_mut().enumerate() {
        match numbers.next() {
            Some(number) => *place = number,
            None => return written,
        }
    }
    room.len()
}

/// Iterates over the parts of a [`SharedSlice`]. [`SharedSlice::chunks`] returns it.
#[derive(Clone)]
pub struct SharedChunks<T: Element> {
    rest: SharedSlice<T>,
    size: usize,
}

impl<T: Element + fmt::Debug> fmt::Debug for SharedChunks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedChunks").field("rest", &self.rest).field("size", &self.size).finish()
    }
}

impl<T: Element> Iterator for SharedChunks<T> {
    type Item = SharedSlice<T>;

    fn next(&mut self) -> Option<SharedSlice<T>> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.size.min(self.rest.length);
        let next = self.rest.slice(..end);
        self.rest = self.rest.slice(end..);
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest.length.div_ceil(self.size);
        (left, Some(left))
    }
}

impl<T: Element> ExactSizeIterator for SharedChunks<T> {}

/// The name follows (see `grant`).
const NAME: u8 = 1;
/// The numbers follow.
const VALUE: u8 = 2;
/// The identity of memory that was sent follows, and the place of the numbers there (see `output_memory`).
const OUTPUT: u8 = 3;

impl<T: Element> Serialize for SharedSlice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let segment = match form_for::<S>() {
            WriteAs::Name | WriteAs::KeptName => {
                self.memory.as_ref().and_then(|memory| memory.segment_for(size_of_val::<[T]>(self)))
            }
            WriteAs::Output => {
                if let Some(place) = self.send() {
                    let mut tuple = serializer.serialize_tuple(2)?;
                    tuple.serialize_element(&OUTPUT)?;
                    tuple.serialize_element(&place)?;
                    return tuple.end();
                }
                None
            }
            WriteAs::Value => None,
            WriteAs::Refused => {
                return Err(ser::Error::custom(
                    "a SharedSlice travels as an argument of a worker function only, as its name means nothing elsewhere: \
                     serialise the numbers, `&slice[..]`",
                ));
            }
        };
        let Some(segment) = segment else {
            let mut tuple = serializer.serialize_tuple(2)?;
            tuple.serialize_element(&VALUE)?;
            // As their bytes, which a struct of numbers has too: both sides are one machine.
            tuple.serialize_element(sys::bytes_of::<T>(self))?;
            return tuple.end();
        };
        let bytes = self.length * size_of::<T>();
        let name = grant(segment, Right::Read, 0, (self.offset, bytes)).map_err(ser::Error::custom)?;
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&NAME)?;
        tuple.serialize_element(&name)?;
        tuple.end()
    }
}

impl<'de, T: Element> Deserialize<'de> for SharedSlice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !codec::is_own_deserializer::<D>() {
            return Err(de::Error::custom(
                "a SharedSlice is made by a call of a worker function only: deserialise a `Vec`",
            ));
        }
        deserializer.deserialize_tuple(2, NameVisitor(PhantomData))
    }
}

struct NameVisitor<T>(PhantomData<T>);

impl<'de, T: Element> Visitor<'de> for NameVisitor<T> {
    type Value = SharedSlice<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a shared slice")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<SharedSlice<T>, A::Error> {
        match next(&mut fields)? {
            NAME => SharedSlice::named(next(&mut fields)?),
            OUTPUT => SharedSlice::of_output(next(&mut fields)?),
            VALUE => SharedSlice::of_bytes(next(&mut fields)?),
            other => Err(de::Error::custom(format!("a shared slice cannot begin with {other}"))),
        }
    }
}

fn next<'de, V: Deserialize<'de>, A: SeqAccess<'de>>(fields: &mut A) -> Result<V, A::Error> {
    fields.next_element()?.ok_or_else(|| de::Error::custom("the name of a shared slice ends too soon"))
}
