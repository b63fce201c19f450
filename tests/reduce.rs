//! Maps that give no list: one value that all outputs are folded into, or nothing.

mod common;

use poolmap::{TaskErrorKind, pool_for_each, pool_map, pool_reduce, worker};

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
fn a_fold_that_panics_reaches_the_caller_and_the_pool_stays_usable() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(
        || pool_reduce!(in &pool, text, 0..10; with = explode, identity = String::new()),
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
