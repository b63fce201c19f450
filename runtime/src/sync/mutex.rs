//! A value that one process has at a time.
//!
//! The value is in the memory twice, and a word tells which of the two is valid. A commit writes the other one and then
//! turns the word: whatever moment it dies at, the next owner finds a whole value.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handle_serde::travels;
use super::robust_word::{OwnedWord, take};
use super::segment::{BODY, HEAD, SyncKind, SyncSegment, WaitLimit};
use crate::codec;
use crate::error::{Error, Result, SyncErrorKind};
use crate::shared;

/// Shares a value between the parent and all workers, for one owner at a time.
///
/// It is Python's `Lock`, and its `Value` with a lock. `Mutex<()>` is a lock without a value.
/// Pass it as an argument of worker functions, by itself or inside of another value. Its clones, here and in the workers, are the same
/// mutex.
///
/// [`lock`](Self::lock) decodes the value out of the shared memory. The guard writes the value back when it is dropped, if it was
/// borrowed mutably. Threads exclude each other as processes do. Locking it twice from one thread deadlocks. The lock is not fair.
///
/// # Limits
///
/// The encoded value may take 64 KiB, or the number of bytes passed to [`with_capacity`](Self::with_capacity). The mutex takes one
/// descriptor here and in each worker that has received it, and at most 4,096 processes can share it. It does not travel in a task's
/// result, through a channel or another mutex.
///
/// # Worker death
///
/// If a process ends while it holds the lock, the lock is released within 50 ms. The next owner gets the value of the last commit,
/// never a part of a value, and [`MutexGuard::is_owner_died`] reports the death.
///
/// # Examples
///
/// A table that all workers fill:
///
/// ```
/// use std::collections::BTreeMap;
///
/// use poolmap::{Mutex, pool_map, worker};
///
/// #[worker]
/// fn count(word: &str, table: &Mutex<BTreeMap<String, u32>>) -> poolmap::Result<()> {
///     *table.lock()?.entry(word.to_owned()).or_default() += 1;
///     Ok(())
/// }
///
/// poolmap::init();
/// let table = Mutex::new(BTreeMap::new())?;
/// pool_map!(count, ["tea", "cake", "tea"], std::iter::repeat(&table))?;
/// assert_eq!(table.lock()?["tea"], 2);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// A value that exceeds the capacity:
///
/// ```
/// # use poolmap::Mutex;
/// let text = Mutex::with_capacity(String::new(), 100)?;
/// let mut guard = text.lock()?;
/// *guard = "a".repeat(200);
/// assert!(guard.commit().unwrap_err().to_string().contains("with_capacity"));
/// guard.clear();
/// # Ok::<(), poolmap::Error>(())
/// ```
pub struct Mutex<T> {
    pub(super) segment: Arc<SyncSegment>,
    /// It is decoded anew by each owner, so no thread needs to give it to another.
    value: PhantomData<fn(T) -> T>,
}

/// The room for a value if nobody says how much: enough for a table of some hundred entries, and no memory before it is used.
const CAPACITY: usize = 64 << 10;

const OWNER: usize = HEAD;
/// 0 or 1: which of the two values is valid.
const VALID: usize = HEAD + 8;
/// The lengths of the two values; the values are behind them.
const LENGTHS: usize = BODY;
const VALUES: usize = BODY + 16;

travels!(Mutex<T>, SyncKind::Mutex, |segment| Mutex { segment, value: PhantomData });

impl<T: Serialize + DeserializeOwned> Mutex<T> {
    /// Creates a mutex with a value, and a capacity of 64 KiB.
    ///
    /// # Errors
    ///
    /// The value takes more, or does not encode; the system has no memory to share, or no descriptor is left.
    pub fn new(value: T) -> Result<Self> {
        Self::with_capacity(value, CAPACITY)
    }

    /// Creates a mutex with a value, and a capacity of `bytes` for its encoded values.
    ///
    /// An `i64` takes 8 bytes, a `String` 8 and its length. The mutex takes twice the memory that its values use, and no more.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](Self::new).
    pub fn with_capacity(value: T, bytes: usize) -> Result<Self> {
        let body = bytes.checked_mul(2).and_then(|both| both.checked_add(VALUES - BODY)).unwrap_or(usize::MAX);
        let segment = SyncSegment::new(SyncKind::Mutex, body, |_| ())?;
        write(&segment, &value)?;
        Ok(Self { segment, value: PhantomData })
    }

    /// Waits for the lock, takes it, and decodes the value.
    ///
    /// # Errors
    ///
    /// The value does not decode, because another process has corrupted the memory; the lock is released then. This process is a fork
    /// of the process that had the mutex ([`is_forked`](Error::is_forked)).
    pub fn lock(&self) -> Result<MutexGuard<'_, T>> {
        match self.lock_for(WaitLimit::Endless)? {
            Some(guard) => Ok(guard),
            None => Err(Error::sync(SyncErrorKind::TimedOut, "a Mutex was not free at the end of time")),
        }
    }

    /// Takes the lock without waiting, if it is free or its owner has died.
    ///
    /// # Errors
    ///
    /// The errors of [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Option<MutexGuard<'_, T>>> {
        self.lock_for(WaitLimit::None)
    }

    /// Waits up to `timeout` for the lock. Returns `None` if the time is over first.
    ///
    /// # Errors
    ///
    /// The errors of [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<MutexGuard<'_, T>>> {
        self.lock_for(WaitLimit::of(timeout))
    }

    fn lock_for(&self, patience: WaitLimit) -> Result<Option<MutexGuard<'_, T>>> {
        self.segment.check_process(SyncKind::Mutex)?;
        let Some(held) = self.segment.wait(patience, |look| take(&self.segment, OWNER, look)) else {
            return Ok(None);
        };
        let value = read(&self.segment)?;
        Ok(Some(MutexGuard { value, segment: &self.segment, is_changed: false, held: Some(held) }))
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// How many bytes a value may take.
fn capacity(segment: &SyncSegment) -> usize {
    segment.body_bytes().saturating_sub(VALUES - BODY) / 2
}

fn read<T: DeserializeOwned>(segment: &SyncSegment) -> Result<T> {
    let spoilt = |what: String| {
        Error::sync(
            SyncErrorKind::Unfit,
            format!("the value of a Mutex is corrupted (a task wrote to its memory): {what}"),
        )
    };
    let valid = segment.word(VALID).load(Ordering::SeqCst);
    let place = usize::try_from(valid).ok().filter(|&valid| valid < 2);
    let place = place.ok_or_else(|| spoilt(format!("it has no value {valid}")))?;
    let claimed = segment.word(LENGTHS + 8 * place).load(Ordering::SeqCst);
    let length = usize::try_from(claimed).ok().filter(|&length| length <= capacity(segment));
    let length = length.ok_or_else(|| spoilt(format!("it cannot have {claimed} bytes")))?;
    let mut bytes = Vec::new();
    segment.memory().copy_out(VALUES + place * capacity(segment), length, &mut bytes);
    let _closed = shared::closed_table();
    codec::decode_caught(&bytes).map_err(|error| spoilt(error.to_string()))
}

fn write<T: Serialize>(segment: &SyncSegment, value: &T) -> Result<()> {
    let capacity = capacity(segment);
    let mut bytes = Vec::new();
    let by_value = shared::by_value();
    let encoded = codec::encode_caught(value, &mut bytes, usize::MAX);
    drop(by_value);
    encoded
        .map_err(|error| Error::sync(SyncErrorKind::Unfit, format!("the value of a Mutex does not encode: {error}")))?;
    if bytes.len() > capacity {
        let what = format!(
            "`{}` takes {} bytes, and the capacity of its Mutex is {capacity}: create it with \
             Mutex::with_capacity(value, bytes)",
            std::any::type_name::<T>(),
            bytes.len(),
        );
        return Err(Error::sync(SyncErrorKind::Unfit, what));
    }
    let place = usize::from(segment.word(VALID).load(Ordering::SeqCst) == 0);
    segment.memory().copy_in(VALUES + place * capacity, &bytes);
    segment.word(LENGTHS + 8 * place).store(bytes.len() as u64, Ordering::SeqCst);
    segment.word(VALID).store(place as u64, Ordering::SeqCst);
    Ok(())
}

/// Holds the lock of a [`Mutex`], and dereferences to its value.
///
/// A drop writes a mutably borrowed value back for the next owner. During a panic it does not: the next owner gets the value of the
/// last commit.
///
/// # Panics
///
/// A drop panics if the value exceeds the capacity, or does not encode, so that no change is lost silently. The lock is released then,
/// with the value of the last commit. [`commit`](Self::commit) returns an error instead, after which you can change the value.
#[must_use = "the mutex is free again as soon as this is dropped"]
pub struct MutexGuard<'a, T: Serialize> {
    value: T,
    segment: &'a SyncSegment,
    is_changed: bool,
    /// None while it is dropped.
    held: Option<OwnedWord<'a>>,
}

impl<T: Serialize> MutexGuard<'_, T> {
    /// Returns whether the previous owner's process died with the lock. The value is the last one that the owner committed or, if it
    /// committed none, the one it found.
    #[must_use]
    pub fn is_owner_died(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.owner_died)
    }

    /// Writes the value back now. The next owner gets it even if this process dies.
    ///
    /// # Errors
    ///
    /// The value exceeds the capacity, or does not encode; the mutex keeps the value of the last commit.
    pub fn commit(&mut self) -> Result<()> {
        self.segment.check_process(SyncKind::Mutex)?;
        write(self.segment, &self.value)?;
        self.is_changed = false;
        Ok(())
    }
}

impl<T: Serialize> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Serialize> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = true;
        &mut self.value
    }
}

impl<T: Serialize> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        let held = self.held.take();
        if self.is_changed && self.segment.is_here() && !std::thread::panicking() {
            let committed = self.commit();
            drop(held);
            if let Err(error) = committed {
                panic!("a change was not written back: {error}");
            }
        }
    }
}

impl<T: Serialize + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.value, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spoilt_words_are_errors_and_leave_it_free() {
        let mutex = Mutex::new("text".to_owned()).unwrap();
        let valid = mutex.segment.word(VALID).load(Ordering::SeqCst);
        let length = LENGTHS + 8 * valid as usize;
        for (word, nonsense) in [(VALID, 2), (VALID, u64::MAX), (length, u64::MAX), (length, 1 << 20), (length, 3)] {
            let before = mutex.segment.word(word).swap(nonsense, Ordering::SeqCst);
            assert!(mutex.lock().unwrap_err().to_string().contains("corrupted"));
            mutex.segment.word(word).store(before, Ordering::SeqCst);
            assert_eq!(*mutex.try_lock().unwrap().unwrap(), "text");
        }
    }

    #[test]
    fn a_change_without_room_panics_and_leaves_the_value_of_before() {
        let mutex = Mutex::with_capacity(vec![1u8], 16).unwrap();
        assert!(Mutex::with_capacity(vec![1u8; 9], 16).is_err());
        let mut guard = mutex.lock().unwrap();
        guard.resize(8, 2);
        guard.commit().unwrap();
        guard.push(3);
        assert!(guard.commit().is_err());
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(guard)));
        let message = *dropped.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("17 bytes") && message.contains("Mutex::with_capacity"), "{message}");
        assert_eq!(*mutex.try_lock().unwrap().unwrap(), [1, 2, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn a_panic_changes_nothing() {
        let mutex = Mutex::new(1).unwrap();
        let changed = std::panic::catch_unwind(|| {
            *mutex.lock().unwrap() += 1;
            let mut guard = mutex.lock().unwrap();
            *guard += 1;
            panic!("in the middle");
        });
        assert!(changed.is_err());
        let guard = mutex.try_lock().unwrap().unwrap();
        assert!(*guard == 2 && !guard.is_owner_died());
    }

    #[test]
    fn threads_exclude_each_other_and_time_ends_a_wait() {
        let mutex = Mutex::new(0).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| *mutex.lock().unwrap() += 1));
            }
        });
        let guard = mutex.lock().unwrap();
        assert_eq!(*guard, 4000);
        assert!(mutex.lock_timeout(Duration::from_millis(5)).unwrap().is_none());
        assert!(mutex.try_lock().unwrap().is_none());
    }
}
