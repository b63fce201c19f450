//! What tasks of a pool in process share with the program, and with one another.

use std::cell::Cell;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_lite::StreamExt;
use poolmap::{
    Counter, Mutex, Pool, Receiver, Sender, SharedSlice, SharedSliceMut, channel, current_worker, pool_map, shared,
    task_seed, worker,
};

use crate::streams::block_on;
use crate::{common, in_process};

#[worker]
fn fill(mut part: SharedSliceMut<u64>, first: u64) -> u64 {
    for (place, number) in part.iter_mut().zip(first..) {
        *place = number * number;
    }
    part.len() as u64
}

#[worker]
fn sum(numbers: SharedSlice<u64>) -> u64 {
    numbers.iter().sum()
}

#[worker]
fn take(numbers: SharedSlice<u64>, from: usize) -> SharedSlice<u64> {
    numbers.slice(from..)
}

struct Counting {
    used: Cell<u32>,
    _made: Made,
}

static MADE: AtomicU32 = AtomicU32::new(0);

struct Made;

impl Drop for Made {
    fn drop(&mut self) {
        MADE.fetch_sub(1, Ordering::SeqCst);
    }
}

impl serde::Serialize for Counting {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.used.get())
    }
}

impl<'de> serde::Deserialize<'de> for Counting {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        MADE.fetch_add(1, Ordering::SeqCst);
        u32::deserialize(deserializer).map(|used| Self { used: Cell::new(used), _made: Made })
    }
}

#[worker]
fn use_it(counting: &Counting, _task: usize) -> u32 {
    counting.used.replace(counting.used.get() + 1)
}

#[poolmap::test]
fn shared_values_and_arrays_are_as_in_workers() {
    let _guard = common::guard();
    let pool = in_process();
    let numbers: SharedSlice<u64> = (0..10_000).collect();
    let sums = pool_map!(in &pool, sum, numbers.chunks(1000)).unwrap();
    assert_eq!(sums.iter().sum::<u64>(), numbers.iter().sum::<u64>());
    assert_eq!(pool_map!(in &pool, take, [&numbers], [9_998]).unwrap()[0][..], [9_998, 9_999]);
    if common::has_shared_memory() {
        let counting = Counting { used: Cell::new(10), _made: Made };
        MADE.store(1, Ordering::SeqCst);
        assert_eq!(pool_map!(in &pool, use_it, shared(&counting), 0..4).unwrap(), [10, 11, 12, 13]);
        assert_eq!(MADE.load(Ordering::SeqCst), 1);
        let mut squares = SharedSliceMut::zeroed(10_000).unwrap();
        let lengths = pool_map!(in &pool, fill, squares.chunks_mut(3000), (0..10_000).step_by(3000)).unwrap();
        assert_eq!(lengths, [3000, 3000, 3000, 1000]);
        assert!((0..10_000).all(|at| squares[at as usize] == at * at));
        let squares = squares.into_shared();
        assert_eq!(pool_map!(in &pool, sum, [&squares]).unwrap(), [squares.iter().sum::<u64>()]);
    }
}

#[worker]
fn send(to: Sender<u32>, counter: &Counter, mutex: Mutex<Vec<u32>>, number: u32) -> i64 {
    to.send(number).unwrap();
    mutex.lock().unwrap().push(number);
    counter.add(1)
}

#[worker]
fn receive(from: Receiver<u32>) -> Vec<u32> {
    from.iter().map(Result::unwrap).collect()
}

#[poolmap::test]
fn what_processes_use_together_is_used_by_tasks_here() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = in_process();
    let (sender, receiver) = channel().unwrap();
    let (counter, mutex) = (Counter::new(10).unwrap(), Mutex::new(Vec::new()).unwrap());
    let senders = std::iter::repeat(&sender);
    let counted = pool_map!(in &pool, send, senders, shared(&counter), std::iter::repeat(&mutex), 0..4).unwrap();
    assert_eq!((counted, counter.get()), (vec![10, 11, 12, 13], 14));
    assert_eq!(*mutex.lock().unwrap(), [0, 1, 2, 3]);
    drop(sender);
    assert_eq!(pool.apply(receive { from: receiver }).unwrap(), [0, 1, 2, 3]);
}

static KEPT: StdMutex<Option<SharedSliceMut<u64>>> = StdMutex::new(None);

#[worker]
fn keep(part: SharedSliceMut<u64>) {
    *KEPT.lock().unwrap() = Some(part);
}

#[poolmap::test]
fn an_array_waits_for_a_part_that_a_task_has_kept() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = in_process();
    let mut array = SharedSliceMut::from(vec![1u64; 100]);
    pool_map!(in &pool, keep, array.chunks_mut(100)).unwrap();
    assert!(!array.wait_timeout(Duration::from_millis(1)));
    let mut part = KEPT.lock().unwrap().take().unwrap();
    part.fill(2);
    drop(part);
    assert!(array.wait_timeout(common::SOON));
    assert_eq!(array[..], [2; 100]);
}

/// A task in a worker, whose pool in process runs tasks in the worker: they are no tasks of the worker's pool.
#[worker]
fn in_a_worker(numbers: SharedSlice<u64>, mut part: SharedSliceMut<u64>) -> poolmap::Result<(u64, bool)> {
    let (before, seed) = (current_worker(), task_seed());
    let pool = Pool::builder().in_process().build()?;
    let sums = pool_map!(in &pool, sum, numbers.chunks(10))?;
    pool_map!(in &pool, fill, part.chunks_mut(7), (0..).step_by(7); shortest)?;
    let panics = pool_map!(in &pool, take, [&numbers], [usize::MAX]);
    let is_same = (current_worker(), task_seed()) == (before, seed) && panics.unwrap_err().task().is_some();
    Ok((sums.iter().sum(), is_same))
}

#[poolmap::test]
fn a_worker_may_have_a_pool_in_process() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = Pool::builder().workers(2).build().unwrap();
    let numbers: SharedSlice<u64> = (0..100).collect();
    let mut array = SharedSliceMut::zeroed(40).unwrap();
    let outcomes = pool_map!(in &pool, in_a_worker, std::iter::repeat(&numbers), array.chunks_mut(20); shortest);
    assert_eq!(outcomes.unwrap(), [(4950, true); 2]);
    assert!((0..40).all(|at| array[at as usize] == (at % 20) * (at % 20)));
}

static DROPPED: AtomicU32 = AtomicU32::new(0);

#[derive(Default)]
struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
        panic!("a state's drop");
    }
}

#[worker]
fn with_state(#[state] _dropped: &mut Dropped, _task: u32) {}

#[poolmap::test]
fn a_state_ends_with_its_pool_or_its_thread_whatever_its_drop_does() {
    let _guard = common::guard();
    DROPPED.store(0, Ordering::SeqCst);
    let pool = in_process();
    pool_map!(in &pool, with_state, 0..3).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| pool_map!(in &pool, with_state, 0..3).unwrap());
    });
    common::wait_until("the thread has dropped its state", || DROPPED.load(Ordering::SeqCst) == 1);
    drop(pool);
    assert_eq!(DROPPED.load(Ordering::SeqCst), 2);
}

#[worker]
fn read_to_end(file: poolmap::Fd) -> String {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(file), &mut text).map(|_| text).unwrap_or_default()
}

#[worker]
fn halves(count: u32) -> SharedSlice<f64> {
    (0..count).map(|x| f64::from(x) / 2.0).collect()
}

#[poolmap::test]
fn a_descriptor_and_an_output_in_shared_memory_are_the_tasks_and_the_callers() {
    let _guard = common::guard();
    let pool = Pool::builder().in_process().build().unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"by descriptor").unwrap();
    drop(writer);
    assert_eq!(pool.apply(read_to_end { file: reader.into() }).unwrap(), "by descriptor");
    let halves = pool_map!(in &pool, halves, [3, 100_000]).unwrap();
    assert_eq!(&halves[0][..], [0.0, 0.5, 1.0]);
    assert!((0..100_000u32).all(|x| halves[1][x as usize] == f64::from(x) / 2.0));
}

static LEFT: AtomicU32 = AtomicU32::new(0);

/// A value that counts those of it that are left, and whose drop panics.
struct Left;

impl Drop for Left {
    fn drop(&mut self) {
        LEFT.fetch_sub(1, Ordering::SeqCst);
        panic!("a shared value's drop");
    }
}

impl serde::Serialize for Left {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> serde::Deserialize<'de> for Left {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LEFT.fetch_add(1, Ordering::SeqCst);
        <()>::deserialize(deserializer).map(|()| Self)
    }
}

#[worker]
fn look(_left: &Left, task: u32) -> u32 {
    task
}

#[worker]
fn left() -> u32 {
    LEFT.load(Ordering::SeqCst)
}

#[poolmap::test]
fn a_value_is_kept_on_no_thread_behind_its_call() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = in_process();
    let value = std::mem::ManuallyDrop::new(Left);
    LEFT.store(0, Ordering::SeqCst);
    let mut stream = poolmap::pool_stream!(in &pool, look, shared(&*value), 0..3).unwrap();
    assert_eq!(block_on(stream.try_next()).unwrap(), Some(0));
    assert_eq!(LEFT.load(Ordering::SeqCst), 1);
    std::thread::scope(|scope| {
        // Another thread of an executor polls the stream to its end.
        let other = scope.spawn(|| {
            assert_eq!(block_on(stream.try_collect::<_, _, Vec<_>>()).unwrap(), [1, 2]);
            LEFT.load(Ordering::SeqCst)
        });
        assert_eq!(other.join().unwrap(), 1, "the other thread keeps its value");
    });
    assert_eq!(pool.apply(left {}).unwrap(), 0, "this thread keeps its value in further tasks");
    // A thread that runs no further task ends.
    let mut stream = poolmap::pool_stream!(in &pool, look, shared(&*value), 0..3).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(block_on(stream.try_next()).unwrap(), Some(0)));
    });
    common::wait_until("the thread has dropped its value", || LEFT.load(Ordering::SeqCst) == 0);
    assert_eq!(block_on(stream.try_collect::<_, _, Vec<_>>()).unwrap(), [1, 2]);
    assert_eq!(LEFT.load(Ordering::SeqCst), 0);
}
