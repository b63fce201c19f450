//! Numbers in shared memory, and one value for every task: sent once, read by all, and given back.

mod common;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use common::numbers::Wrong;
use poolmap::{Pool, SharedSlice, TaskErrorKind, pool_iter, pool_map, pool_try_map, shared, worker};
use serde::{Deserialize, Serialize};

#[worker]
fn sum(numbers: &SharedSlice<f64>) -> f64 {
    numbers.iter().sum()
}

#[worker]
fn total(numbers: SharedSlice<u64>) -> u64 {
    numbers.iter().sum()
}

#[worker]
fn crash_at(task: u64, numbers: SharedSlice<u64>) -> (u64, u32) {
    if task == 7 {
        std::process::abort();
    }
    (numbers[task as usize], std::process::id())
}

/// The sum, and how much memory of its own the worker has: its pid, and KiB.
#[worker]
fn sum_and_own_memory(numbers: SharedSlice<f64>) -> (f64, u32, u64) {
    (numbers.iter().sum(), std::process::id(), own_memory())
}

#[worker]
fn measure(_task: usize) -> (u32, u64) {
    std::thread::sleep(std::time::Duration::from_millis(1));
    (std::process::id(), own_memory())
}

fn own_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// How many mappings of memory made by [`poolmap`] a worker has.
#[worker]
fn mappings(_task: usize) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("memfd:poolmap")).count()
}

#[derive(Clone, Serialize, Deserialize)]
struct Job {
    name: String,
    parts: Vec<SharedSlice<i32>>,
    scale: Option<SharedSlice<f32>>,
}

#[worker]
fn work(job: Job) -> (String, f32) {
    let sum: i32 = job.parts.iter().flat_map(|part| part.iter()).sum();
    (job.name, sum as f32 * job.scale.map_or(1.0, |scale| scale[0]))
}

#[worker]
fn work_on(factor: f32, job: &Job) -> f32 {
    factor * work(job.clone()).1
}

#[worker]
fn halves(numbers: SharedSlice<u16>) -> Vec<SharedSlice<u16>> {
    let middle = numbers.len() / 2;
    vec![numbers.slice(..middle), numbers.slice(middle..)]
}

#[worker]
fn total_in_a_pool_of_its_own(numbers: SharedSlice<u64>) -> poolmap::Result<u64> {
    let pool = Pool::builder().workers(1).build()?;
    Ok(pool_map!(in &pool, total, numbers.chunks(100))?.into_iter().sum())
}

#[poolmap::test]
fn every_worker_reads_the_numbers_that_were_written() {
    let _guard = common::guard();
    let pool = common::ready_pool(3);
    let numbers: SharedSlice<u64> = (0..100_000).collect();
    let expected: Vec<u64> = (0..100_000u64).collect::<Vec<_>>().chunks(37).map(|part| part.iter().sum()).collect();
    for _ in 0..3 {
        assert_eq!(pool_map!(in &pool, total, numbers.chunks(37)).unwrap(), expected);
    }
    assert_eq!(pool_map!(in &pool, total, numbers.chunks(37); chunk_size = 1).unwrap(), expected);
    assert_eq!(pool.apply(total { numbers: numbers.slice(5..8) }).unwrap(), 5 + 6 + 7);
}

#[poolmap::test]
fn many_slices_come_and_go() {
    let _guard = common::guard();
    let pool = common::ready_pool(2);
    let slices = (0..3000u64).map(|first| SharedSlice::from(vec![first, 1]));
    let sums = pool_iter!(in &pool, total, slices; window = 50).unwrap();
    for (first, sum) in sums.enumerate() {
        assert_eq!(sum.unwrap(), first as u64 + 1);
    }
    // What the last of them stood in is let go of with the next call.
    let counts = pool_map!(in &pool, mappings, 0..20; chunk_size = 1).unwrap();
    assert!(counts.iter().all(|&count| count < 10), "{counts:?}");
}

#[poolmap::test]
fn a_worker_that_takes_a_dead_ones_place_gets_the_memory_too() {
    let _guard = common::guard();
    let pool = common::ready_pool(1);
    let numbers: SharedSlice<u64> = (100..200).collect();
    let outcomes = pool_try_map!(in &pool, crash_at, 0..20, std::iter::repeat(&numbers)).unwrap();
    let again = pool_try_map!(in &pool, crash_at, 0..20, shared(&numbers)).unwrap();
    for outcomes in [outcomes, again] {
        let mut pids = std::collections::BTreeSet::new();
        for (task, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok((number, pid)) => {
                    assert_eq!(number, 100 + task as u64);
                    pids.insert(pid);
                }
                Err(error) => {
                    assert_eq!(task, 7);
                    assert!(matches!(error.kind(), TaskErrorKind::Crashed { .. }), "{error}");
                }
            }
        }
        assert_eq!(pids.len(), 2);
    }
}

#[poolmap::test]
fn a_large_slice_takes_no_memory_of_a_workers_own() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(2);
    let numbers: SharedSlice<f64> = (0..32 << 20).map(f64::from).collect();
    // Both workers have run something before they are looked at.
    let before: BTreeMap<u32, u64> =
        pool_map!(in &pool, measure, 0..200; chunk_size = 1).unwrap().into_iter().collect();
    let sums = pool_map!(in &pool, sum_and_own_memory, numbers.chunks((32 << 20) / 64)).unwrap();
    assert_eq!(sums.len(), 64);
    for (sum, pid, memory) in &sums {
        let before = before[pid];
        assert!(*sum > 0.0 && memory.saturating_sub(before) <= 8 << 10, "{before} KiB became {memory} KiB");
    }
    let all: f64 = sums.iter().map(|(sum, ..)| sum).sum();
    assert_eq!(all, numbers.iter().sum::<f64>());
}

#[poolmap::test]
fn slices_stand_in_values_of_any_kind() {
    let _guard = common::guard();
    let pool = common::ready_pool(2);
    let numbers = SharedSlice::from((0..1000).collect::<Vec<i32>>());
    let scale: SharedSlice<f32> = [0.5].into_iter().collect();
    let jobs = numbers.chunks(100).map(|part| Job {
        name: part[0].to_string(),
        parts: vec![part.slice(..0), part.slice(..10), part.slice(10..)],
        scale: (part[0] != 0).then(|| scale.clone()),
    });
    let done = pool_map!(in &pool, work, jobs).unwrap();
    for (name, result) in &done {
        let first: i32 = name.parse().unwrap();
        let sum: i32 = (first..first + 100).sum();
        assert_eq!(*result, sum as f32 * if first == 0 { 1.0 } else { 0.5 });
    }
    let job = Job { name: "all".into(), parts: vec![numbers], scale: Some(scale) };
    let results = pool_map!(in &pool, work_on, [1.0, 2.0, 4.0], shared(&job); chunk_size = 1).unwrap();
    assert_eq!(results, [249_750.0, 499_500.0, 999_000.0]);
}

#[poolmap::test]
fn results_are_copies() {
    let _guard = common::guard();
    let numbers: SharedSlice<u16> = (0..10).collect();
    let halves = pool_map!(halves, [&numbers, &SharedSlice::from(vec![])]).unwrap();
    assert_eq!(halves[0].iter().map(|half| half.to_vec()).collect::<Vec<_>>().concat(), &*numbers);
    assert!(halves[1].iter().all(|half| half.is_empty()));
}

#[poolmap::test]
fn a_worker_sends_them_on_to_workers_of_its_own() {
    let _guard = common::guard();
    let numbers: SharedSlice<u64> = (0..1000).collect();
    let totals = pool_map!(total_in_a_pool_of_its_own, [numbers.slice(..), numbers.slice(1..)]).unwrap();
    assert_eq!(totals, [499_500, 499_500]);
}

#[poolmap::test]
fn parts_are_those_of_a_slice() {
    let _guard = common::guard();
    let numbers = SharedSlice::from(vec![0u8, 1, 2, 3, 4]);
    assert_eq!(*numbers.slice(1..=3), [1, 2, 3]);
    assert_eq!(*numbers.slice(2..).slice(1..), [3, 4]);
    assert!(numbers.slice(5..).is_empty());
    assert_eq!(numbers.chunks(2).map(|part| part.len()).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(numbers.chunks(2).len(), 3);
    assert_eq!(format!("{:?}", numbers.slice(..2)), "[0, 1]");
    let ranges = [(0, 6), (6, 6), (3, 2), (0, usize::MAX)];
    for (start, end) in ranges {
        let sliced = std::panic::catch_unwind(|| numbers.slice(start..end));
        assert!(sliced.is_err(), "{start}..{end}");
    }
    assert!(std::panic::catch_unwind(|| numbers.slice(..=usize::MAX)).is_err());
    assert!(std::panic::catch_unwind(|| numbers.chunks(0)).is_err());
}

#[poolmap::test]
fn a_wrong_length_loses_no_number() {
    let _guard = common::guard();
    for claim in [1, 99, 100, 101, 5000] {
        let numbers: SharedSlice<i128> = Wrong(100, claim).collect();
        assert_eq!(*numbers, *(0..100).rev().collect::<Vec<i128>>());
    }
    assert!(std::iter::empty().collect::<SharedSlice<u8>>().is_empty());
}

#[poolmap::test]
fn a_file_is_read_where_it_is() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers");
    let numbers: Vec<u64> = (0..100_000).collect();
    std::fs::write(&path, numbers.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>()).unwrap();
    let file = SharedSlice::<u64>::from_file(&path).unwrap();
    // The slice keeps the file that it was made of.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(*file, *numbers);
    assert_eq!(pool_map!(total, file.chunks(1000)).unwrap().into_iter().sum::<u64>(), numbers.iter().sum::<u64>());
    drop(file);
    std::fs::write(&path, [1, 2, 3, 4, 5]).unwrap();
    let cut = SharedSlice::<u32>::from_file(&path).unwrap_err();
    assert_eq!(cut.kind(), std::io::ErrorKind::InvalidData);
    assert!(cut.to_string().contains("5 bytes are not a multiple of 4"), "{cut}");
    assert_eq!(*SharedSlice::<u8>::from_file(&path).unwrap(), [1, 2, 3, 4, 5]);
    std::fs::write(&path, []).unwrap();
    assert!(SharedSlice::<u32>::from_file(&path).unwrap().is_empty());
    let missing = SharedSlice::<u8>::from_file(folder.path().join("missing")).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    for no_file in [folder.path(), Path::new("/dev/null")] {
        assert!(SharedSlice::<u8>::from_file(no_file).is_err());
    }
}

#[poolmap::test]
fn outside_of_a_call_it_is_not_serialised() {
    let _guard = common::guard();
    let numbers = SharedSlice::from(vec![1, 2]);
    let error = serde_json::to_string(&numbers).unwrap_err();
    assert!(format!("{error:#}").contains("serialise the numbers"), "{error}");
    assert_eq!(serde_json::to_string(&*numbers).unwrap(), "[1,2]");
    assert!(serde_json::from_str::<SharedSlice<u8>>("[1, 5, 0, 3]").is_err());
}

#[worker]
fn lookup(key: u32, table: &BTreeMap<u32, String>) -> Option<String> {
    table.get(&key).cloned()
}

#[worker]
fn byte_at(place: usize, bytes: &[u8]) -> u8 {
    bytes[place]
}

#[worker]
fn length_of(_task: usize, text: String) -> usize {
    text.len()
}

#[worker]
fn between(before: &str, task: i32, behind: &str, times: usize) -> String {
    format!("{before}{task}{behind}").repeat(times)
}

thread_local! {
    static DECODED: Cell<usize> = const { Cell::new(0) };
}

/// It counts how often it is decoded in a process.
#[derive(Serialize)]
struct Counted(u8);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DECODED.set(DECODED.get() + 1);
        u8::deserialize(deserializer).map(Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_ne!(self.0, 13, "it panics when it is dropped");
    }
}

#[worker]
fn decoded(_task: usize, _value: &Counted) -> (u32, usize) {
    (std::process::id(), DECODED.get())
}

#[poolmap::test]
fn one_value_serves_every_task() {
    let _guard = common::guard();
    let table: BTreeMap<u32, String> = (0..1000).map(|key| (key, format!("value {key}"))).collect();
    let values = pool_map!(lookup, 0..1001, shared(&table)).unwrap();
    assert!((0..1000).all(|key| values[key] == Some(format!("value {key}"))) && values[1000].is_none());
    assert_eq!(pool_map!(length_of, 0..3, shared("text")).unwrap(), [4; 3]);
    assert_eq!(pool_map!(length_of, 0..3, shared(&String::new())).unwrap(), [0; 3]);
    let texts = pool_map!(between, shared("<"), 1..=2, shared(">"), [1, 2]).unwrap();
    assert_eq!(texts, ["<1>", "<2><2>"]);
    let mut lazy = pool_iter!(byte_at, std::iter::repeat(1), shared(&[5, 6])).unwrap();
    assert_eq!(lazy.next().unwrap().unwrap(), 6);
}

#[poolmap::test]
fn a_shared_value_never_ends() {
    let _guard = common::guard();
    let error = pool_map!(between, shared("<"), 1..=2, shared(">"), [1]).unwrap_err();
    assert!(error.is_length_mismatch(), "{error}");
    let error = pool_map!(length_of, 0.., shared("text")).unwrap_err();
    assert!(error.is_endless(), "{error}");
}

#[poolmap::test]
fn a_borrowed_value_is_decoded_once_in_each_worker() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(2);
    // The last panics when a worker lets go of it, which is no task's panic.
    for value in [1, 13] {
        // Not dropped here, where it would panic too.
        let counted = std::mem::ManuallyDrop::new(Counted(value));
        let mut most = BTreeMap::new();
        for (pid, times) in pool_map!(in &pool, decoded, 0..1000, shared(&*counted)).unwrap() {
            let first = most.entry(pid).or_insert(times);
            assert_eq!(*first, times);
        }
        assert!(most.len() <= 2);
    }
    assert_eq!(pool_map!(in &pool, length_of, 0..100, shared("text")).unwrap(), [4; 100]);
}

#[poolmap::test]
fn a_large_value_is_shared() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(2);
    let mut bytes = vec![0u8; (100 << 20) + 1];
    *bytes.last_mut().unwrap() = 9;
    bytes[7] = 5;
    let places = [7, 8, 100 << 20];
    let found = pool_map!(in &pool, byte_at, places.into_iter().cycle().take(300), shared(&bytes)).unwrap();
    assert_eq!(found, [5, 0, 9].repeat(100));
}

/// It cannot be encoded.
struct Stubborn;

impl Serialize for Stubborn {
    fn serialize<S: serde::Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it does not want to"))
    }
}

impl<'de> Deserialize<'de> for Stubborn {
    fn deserialize<D: serde::Deserializer<'de>>(_deserializer: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

#[worker]
fn meet(_task: usize, _stubborn: &Stubborn) {}

#[poolmap::test]
fn a_value_that_does_not_encode_is_an_error_of_each_task() {
    let _guard = common::guard();
    let outcomes = pool_try_map!(meet, 0..3, shared(&Stubborn)).unwrap();
    assert_eq!(outcomes.len(), 3);
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert!(matches!(error.kind(), TaskErrorKind::Encode(_)), "{error}");
        assert!(format!("{error:#}").contains("it does not want to"), "{error}");
    }
}
