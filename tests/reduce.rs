//! Maps that give no list: one value that all outputs are folded into, or nothing.

mod common;

use poolmap::{Pool, TaskErrorKind, pool_for_each, pool_map, pool_reduce, worker};

#[worker]
fn text(x: u32) -> String {
    format!("{x} ")
}

/// Associative, and not commutative.
#[worker]
fn join(a: String, b: String) -> String {
    a + &b
}

#[worker]
fn digits(x: u64) -> Vec<u8> {
    x.to_string().into_bytes()
}

#[worker]
fn behind(mut a: Vec<u8>, b: Vec<u8>) -> Vec<u8> {
    a.extend(b);
    a
}

#[worker]
fn exit_at(index: u32, at: u32) -> String {
    if index == at {
        std::process::exit(3);
    }
    format!("{index} ")
}

#[worker]
fn explode(_a: String, _b: String) -> String {
    panic!("no fold")
}

/// Every process that has folded.
#[worker]
fn folders(mut a: Vec<u32>, mut b: Vec<u32>) -> Vec<u32> {
    a.append(&mut b);
    a.push(std::process::id());
    a
}

#[worker]
fn nobody(_x: u32) -> Vec<u32> {
    Vec::new()
}

#[worker]
fn explode_there(a: String, b: String) -> String {
    assert!(poolmap::current_worker().is_none(), "no fold there");
    a + &b
}

/// Ends its worker the first time.
#[worker]
fn exit_once(index: u32, at: u32) -> String {
    if index == at && poolmap::current_worker().is_some_and(|worker| worker.attempt() == 1) {
        std::process::exit(3);
    }
    format!("{index} ")
}

#[worker]
fn seed(_x: u32) -> Vec<u64> {
    poolmap::task_seed().into_iter().collect()
}

#[worker]
fn both(mut a: Vec<u64>, mut b: Vec<u64>) -> Vec<u64> {
    a.append(&mut b);
    a
}

/// Makes a file of its own, which there must not be yet.
#[worker]
fn once(index: u32, at: u32, folder: std::path::PathBuf) -> Result<String, String> {
    if index == at {
        std::process::abort();
    }
    let path = folder.join(index.to_string());
    let pid = std::process::id();
    match std::fs::File::create_new(&path) {
        Ok(mut file) => {
            std::io::Write::write_all(&mut file, pid.to_string().as_bytes()).map_err(|error| error.to_string())?;
            Ok(String::new())
        }
        Err(_) => {
            Err(format!("worker {pid} runs what was run by {}", std::fs::read_to_string(path).unwrap_or_default()))
        }
    }
}

/// What its Serialize writes is not what its Deserialize reads.
#[derive(Debug, serde::Serialize)]
struct Unreadable(u8);

impl<'de> serde::Deserialize<'de> for Unreadable {
    fn deserialize<D: serde::Deserializer<'de>>(_deserializer: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("never"))
    }
}

#[worker]
fn unreadable(_x: u32) -> Unreadable {
    Unreadable(1)
}

#[worker]
fn first(a: Unreadable, _b: Unreadable) -> Unreadable {
    a
}

/// Can be sent, until it is the fold of two.
#[derive(Debug, serde::Deserialize)]
struct Alone(u32);

impl serde::Serialize for Alone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            1 => serializer.serialize_newtype_struct("Alone", &self.0),
            _ => Err(serde::ser::Error::custom("it is not alone")),
        }
    }
}

#[worker]
fn alone(_x: u32) -> Alone {
    Alone(1)
}

#[worker]
fn together(a: Alone, b: Alone) -> Alone {
    Alone(a.0 + b.0)
}

/// Breaks where it is dropped in a worker, once it is the fold of two.
#[derive(serde::Serialize, serde::Deserialize)]
struct Fragile(u32);

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(self.0 < 2 || poolmap::current_worker().is_none(), "it breaks");
    }
}

#[worker]
fn fragile(index: u32, at: u32) -> Result<Fragile, String> {
    if index == at { Err("it fails".to_owned()) } else { Ok(Fragile(1)) }
}

#[worker]
fn glue(a: Fragile, b: Fragile) -> Fragile {
    let glued = Fragile(a.0 + b.0);
    std::mem::forget((a, b));
    glued
}

#[worker]
fn fail_at(index: u32, at: u32) -> Result<Vec<u8>, String> {
    if index == at { Err(format!("{index} fails")) } else { Ok(vec![7; 100_000]) }
}

/// Its serialisation fails always.
#[derive(Debug, serde::Deserialize)]
struct Unsendable;

impl serde::Serialize for Unsendable {
    fn serialize<S: serde::Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("never"))
    }
}

#[worker]
fn unsendable(_x: u32) -> Unsendable {
    Unsendable
}

#[worker]
fn zeros(length: usize) -> Vec<u8> {
    vec![0; length]
}

#[worker]
fn large(_x: u32) -> Vec<u8> {
    vec![1; 5 << 20]
}

#[poolmap::test]
fn the_order_is_kept_whatever_the_workers_and_chunks() {
    let _guard = common::guard();
    let serial: String = (0..500).map(text).collect();
    for workers in [1, 2, 5] {
        let pool = common::pool(workers);
        assert_eq!(pool_reduce!(in &pool, text, 0..500; with = join, identity = String::new()).unwrap(), serial);
        for size in [1, 7] {
            let folded = pool_reduce!(in &pool, text, 0..500; with = join, identity = String::new(), chunk_size = size, window = 20);
            assert_eq!(folded.unwrap(), serial);
        }
    }
}

#[poolmap::test]
fn a_reduction_is_the_serial_fold() {
    let _guard = common::guard();
    let pool = common::pool(3);
    for length in 0..60 {
        let (size, window) = (1 + length as usize % 9, 1 + length as usize % 31);
        let numbers: Vec<u64> = (0..length).map(|x: u64| x.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let serial = numbers.iter().map(|&x| digits(x)).fold(b"<".to_vec(), behind);
        let folded = pool_reduce!(in &pool, digits, &numbers; with = behind, identity = b"<".to_vec(), chunk_size = size,
            window = window);
        assert_eq!(folded.unwrap(), serial);
    }
}

#[poolmap::test]
fn nothing_folds_to_the_identity() {
    let _guard = common::guard();
    let none = std::iter::empty::<u32>();
    assert_eq!(pool_reduce!(in &common::pool(2), text, none; with = join, identity = "e".to_owned()).unwrap(), "e");
}

#[poolmap::test]
fn a_crash_in_a_reduction_is_its_own_tasks() {
    let _guard = common::guard();
    for size in [1, 7] {
        let error = pool_reduce!(in &common::pool(2), exit_at, 0..50, std::iter::repeat(33); with = join, identity = String::new(), chunk_size = size);
        let error = error.unwrap_err();
        let task = error.task().unwrap();
        assert_eq!(task.index(), 33);
        assert!(matches!(task.kind(), TaskErrorKind::Crashed { exit_code: Some(3), .. }));
    }
}

#[poolmap::test]
fn workers_fold_what_they_run_together() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let own = std::process::id();
    let folds_here = |folders: &[u32]| folders.iter().filter(|&&pid| pid == own).count();
    let folders =
        pool_reduce!(in &pool, nobody, 0..1000; with = folders, identity = Vec::new(), chunk_size = 100).unwrap();
    assert_eq!(folders.len(), 1000);
    if common::shares_memory() {
        // A chunk's first task may come by itself, and so may what was taken back from a worker.
        assert!((10..500).contains(&folds_here(&folders)), "{}", folds_here(&folders));
    }
    let folders = pool_reduce!(in &pool, nobody, 0..100_000; with = folders, identity = Vec::new()).unwrap();
    assert_eq!(folders.len(), 100_000);
    assert!(folds_here(&folders) < 50_000 || !common::shares_memory());
    // Where a task may run again, or has a limit, each has its own output.
    let folders = pool_reduce!(in &pool, nobody, 0..100; with = folders, identity = Vec::new(), attempts = 2).unwrap();
    assert_eq!(folds_here(&folders), 100);
    let limit = std::time::Duration::from_secs(60);
    let folders =
        pool_reduce!(in &pool, nobody, 0..100; with = folders, identity = Vec::new(), timeout = limit).unwrap();
    assert_eq!(folds_here(&folders), 100);
}

#[poolmap::test]
fn what_is_folded_may_be_large() {
    let _guard = common::guard();
    let pool = common::pool(2);
    for size in [1, 3, 20] {
        let folded =
            pool_reduce!(in &pool, large, 0..20; with = behind, identity = Vec::new(), chunk_size = size).unwrap();
        assert!(folded.len() == 100 << 20 && folded.iter().all(|&byte| byte == 1));
    }
    // More tasks at a time than are folded into one.
    let digits: usize = (0..100_000).map(|x: u64| digits(x).len()).sum();
    let folded =
        pool_reduce!(in &pool, digits, 0..100_000; with = behind, identity = Vec::new(), chunk_size = 30_000).unwrap();
    assert_eq!(folded.len(), digits);
}

#[poolmap::test]
fn a_task_has_its_seed_wherever_its_output_is_folded() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let seeds = pool_map!(in &pool, seed, 0..300; seed = 5).unwrap().concat();
    for size in [1, 7, 300] {
        let folded =
            pool_reduce!(in &pool, seed, 0..300; with = both, identity = Vec::new(), seed = 5, chunk_size = size);
        assert_eq!(folded.unwrap(), seeds);
    }
}

#[poolmap::test]
fn a_task_that_runs_again_is_folded_in_its_place() {
    let _guard = common::guard();
    let serial: String = (0..50).map(text).collect();
    let folded = pool_reduce!(in &common::pool(2), exit_once, 0..50, std::iter::repeat(33); with = join,
        identity = String::new(), chunk_size = 7, attempts = 2);
    assert_eq!(folded.unwrap(), serial);
}

#[poolmap::test]
fn what_was_folded_beside_a_crash_does_not_run_again() {
    let _guard = common::guard();
    let pool = common::pool(3);
    for at in [0, 1, 33, 49] {
        let folder = tempfile::tempdir().unwrap();
        let paths = std::iter::repeat(folder.path());
        let error = pool_reduce!(in &pool, once, 0..50, std::iter::repeat(at), paths; with = join,
            identity = String::new(), chunk_size = 10);
        let error = error.unwrap_err();
        let task = error.task().unwrap();
        assert_eq!(task.index(), at as usize, "{error}");
        assert!(matches!(task.kind(), TaskErrorKind::Crashed { signal: Some(6), .. }), "{error}");
    }
}

#[poolmap::test]
fn a_fold_that_panics_in_a_worker_is_an_error_of_a_task() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let folded = pool_reduce!(in &pool, text, 0..50; with = explode_there, identity = String::new(), chunk_size = 10);
    if common::shares_memory() {
        let error = folded.unwrap_err();
        assert!(
            matches!(error.task().unwrap().kind(), TaskErrorKind::Panicked { message, .. } if message == "no fold there")
        );
    } else {
        assert_eq!(folded.unwrap(), (0..50).map(text).collect::<String>());
    }
    assert_eq!(pool_map!(in &pool, text, [1]).unwrap(), ["1 "]);
}

#[poolmap::test]
fn a_failure_is_the_same_one_wherever_outputs_are_folded() {
    let _guard = common::guard();
    let pool = common::pool(2);
    for attempts in [1, 2] {
        for size in [1, 10] {
            let failed = pool_reduce!(in &pool, fail_at, 0..50, std::iter::repeat(33); with = behind,
                identity = Vec::new(), chunk_size = size, attempts = attempts);
            let error = failed.unwrap_err();
            assert_eq!(error.task().map(poolmap::TaskError::index), Some(33));
            assert!(
                matches!(error.task().unwrap().kind(), TaskErrorKind::Failed(failure) if failure.to_string() == "33 fails")
            );
            let unread = pool_reduce!(in &pool, unreadable, 0..50; with = first, identity = Unreadable(0),
                chunk_size = size, attempts = attempts);
            let error = unread.unwrap_err();
            assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Decode(_)), "{error}");
            assert!(format!("{error:#}").contains("the result: `reduce::Unreadable`: never"), "{error}");
        }
    }
}

#[poolmap::test]
fn a_fold_that_cannot_be_sent_is_an_error_of_its_last_task() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let folded = pool_reduce!(in &pool, alone, 0..40; with = together, identity = Alone(0), chunk_size = 10);
    if common::shares_memory() {
        let error = folded.unwrap_err();
        assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Encode(_)), "{error}");
        assert!(format!("{error:#}").contains("it is not alone"), "{error}");
    } else {
        assert_eq!(folded.unwrap().0, 40);
    }
    assert_eq!(pool_map!(in &pool, text, [1]).unwrap(), ["1 "]);
}

#[poolmap::test]
fn a_fold_that_panics_reaches_the_caller_and_the_pool_stays_usable() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(
        // A worker has no two outputs to fold.
        || pool_reduce!(in &pool, text, 0..10; with = explode, identity = String::new(), chunk_size = 1),
    ));
    assert!(panicked.is_err());
    assert_eq!(pool_map!(in &pool, text, [1]).unwrap(), ["1 "]);
}

#[poolmap::test]
fn no_output_comes_back_of_for_each() {
    let _guard = common::guard();
    for workers in [1, 2, 5] {
        let pool = common::pool(workers);
        // What could not be sent back does not matter, where nothing is.
        pool_for_each!(in &pool, unsendable, 0..20).unwrap();
        assert!(pool_map!(in &pool, unsendable, 0..20).is_err());
        pool_for_each!(in &pool, large, 0..5).unwrap();
        for size in [1, 7] {
            pool_for_each!(in &pool, fail_at, 0..50, std::iter::repeat(99); chunk_size = size).unwrap();
            let error = pool_for_each!(in &pool, fail_at, 0..50, std::iter::repeat(40); chunk_size = size).unwrap_err();
            let task = error.task().unwrap();
            assert_eq!(task.index(), 40);
            assert!(matches!(task.kind(), TaskErrorKind::Failed(failure) if failure.to_string() == "40 fails"));
        }
        // The same functions give their outputs in the next map.
        assert_eq!(pool_map!(in &pool, large, 0..2).unwrap(), [vec![1; 5 << 20], vec![1; 5 << 20]]);
    }
}

#[poolmap::test]
fn a_crash_in_for_each_is_its_own_tasks() {
    let _guard = common::guard();
    let error = pool_for_each!(in &common::pool(2), exit_at, 0..50, std::iter::repeat(33); chunk_size = 7).unwrap_err();
    assert_eq!(error.task().map(|task| task.index()), Some(33));
    pool_for_each!(in &common::pool(2), exit_at, std::iter::empty::<u32>(), std::iter::repeat(0)).unwrap();
}

#[poolmap::test]
fn an_output_of_the_largest_size_is_folded_behind_others() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).frame_bytes_max(5 << 20).build().unwrap();
    let nearly = (5 << 20) - 1000;
    let sizes = [1000, 900_000, nearly, 1000, nearly];
    for size in [1, 5] {
        let folded = pool_reduce!(in &pool, zeros, sizes; with = behind, identity = Vec::new(), chunk_size = size);
        assert_eq!(folded.unwrap().len(), sizes.iter().sum::<usize>());
    }
    assert!(pool_reduce!(in &pool, zeros, [6 << 20]; with = behind, identity = Vec::new()).is_err());
}

#[poolmap::test]
fn a_fold_that_breaks_when_it_is_dropped_hides_no_error() {
    let _guard = common::guard();
    let pool = common::pool(1);
    for at in [5, 19] {
        let folded = pool_reduce!(in &pool, fragile, 0..40, std::iter::repeat(at); with = glue, identity = Fragile(0),
            chunk_size = 20);
        let Err(error) = folded else { panic!("task {at} has not failed") };
        let task = error.task().unwrap();
        assert_eq!(task.index(), at as usize, "{error}");
        assert!(matches!(task.kind(), TaskErrorKind::Failed(failure) if failure.to_string() == "it fails"), "{error}");
    }
    let folded = pool_reduce!(in &pool, fragile, 0..40, std::iter::repeat(99); with = glue, identity = Fragile(0),
        chunk_size = 20);
    match folded {
        Ok(folded) => assert!(folded.0 == 40 && !common::shares_memory()),
        Err(error) => assert!(
            matches!(error.task().unwrap().kind(), TaskErrorKind::Panicked { message, .. } if message == "it breaks"),
            "{error}"
        ),
    }
    assert_eq!(pool_map!(in &pool, text, [1]).unwrap(), ["1 "]);
}
