//! Values in shared memory that are not numbers alone: texts and bytes that every task reads.

mod common;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use poolmap::{Pool, TaskErrorKind, pool_map, pool_try_map, shared, worker};

/// Whether what the worker reads is in memory that the parent has made, and not in a copy.
fn is_shared<T: ?Sized>(value: &T) -> bool {
    let address = std::ptr::from_ref(value).cast::<u8>() as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().any(|line| {
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let range = usize::from_str_radix(start, 16).unwrap()..usize::from_str_radix(end, 16).unwrap();
        range.contains(&address) && rest.starts_with("r--s") && rest.contains("memfd:")
    })
}

#[worker]
fn find(number: usize, text: &str) -> (usize, usize, bool, u32) {
    (text.len(), text.find(&format!("<{number}>")).unwrap_or(usize::MAX), is_shared(text), std::process::id())
}

#[worker]
fn add(number: u64, bytes: &[u8]) -> (u64, bool) {
    (number + bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>(), is_shared(bytes))
}

#[worker]
fn scale(number: f64, numbers: &[f64]) -> (f64, bool) {
    (number * numbers.iter().sum::<f64>(), is_shared(numbers) && numbers.as_ptr().is_aligned())
}

#[worker]
fn lent(_task: u64, text: Cow<'_, str>, path: &Path) -> (String, PathBuf, bool, bool) {
    (text[..4].to_owned(), path.to_owned(), is_shared(&*text), is_shared(path))
}

#[worker]
fn owned(_task: u64, text: String, bytes: Vec<u8>) -> (usize, usize, bool) {
    (text.len(), bytes.len(), is_shared(&*text) || is_shared(&*bytes))
}

#[worker]
fn die_once(task: u64, text: &str) -> usize {
    if task == 3 && poolmap::current_worker().unwrap().attempt() == 1 {
        std::process::abort();
    }
    text.len()
}

/// Borrows what is decoded, and named beside it.
#[worker]
fn join(task: usize, words: &[String], text: &str) -> String {
    format!("{}{text}", words[task])
}

#[poolmap::test]
fn every_task_reads_a_shared_text_and_shared_bytes_where_they_stand() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let in_place = common::has_shared_memory();
    let text: String = (0..100_000).map(|number| format!("<{number}>")).collect();
    let found = pool_map!(in &pool, find, 0..100, shared(&text); chunk_size = 1).unwrap();
    for (number, &(length, place, is_shared, _)) in found.iter().enumerate() {
        assert_eq!((length, Some(place), is_shared), (text.len(), text.find(&format!("<{number}>")), in_place));
    }
    let bytes: Vec<u8> = (0..1_000_000).map(|number| number as u8).collect();
    let sum: u64 = bytes.iter().map(|&byte| u64::from(byte)).sum();
    for (number, &result) in pool_map!(in &pool, add, 0..50, shared(&bytes)).unwrap().iter().enumerate() {
        assert_eq!(result, (number as u64 + sum, in_place));
    }
    let slice: &[u8] = &bytes[1..4];
    assert_eq!(pool_map!(in &pool, add, [0], shared(slice)).unwrap(), [(6, in_place)]);
    assert_eq!(pool_map!(in &pool, find, [0], shared("<0>")).unwrap()[0].1, 0);
    assert_eq!(
        pool_map!(in &pool, scale, [2.0, 3.0], shared(&vec![0.5; 9])).unwrap(),
        [(9.0, in_place), (13.5, in_place)]
    );
}

#[poolmap::test]
fn a_shared_text_is_lent_as_a_cow_and_a_path_and_owned_ones_are_copies() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let in_place = common::has_shared_memory();
    let (text, path) = ("text and more".to_owned(), PathBuf::from("a/b"));
    let all = pool_map!(in &pool, lent, 0..3, shared(&text), shared(&path)).unwrap();
    assert!(all.iter().all(|one| *one == ("text".to_owned(), path.clone(), in_place, in_place)), "{all:?}");
    let all = pool_map!(in &pool, owned, 0..3, shared(&text), shared(&[1_u8, 2])).unwrap();
    assert_eq!(all, [(text.len(), 2, false); 3]);
    let words = ["a", "b", "c"].map(str::to_owned);
    assert_eq!(pool_map!(in &pool, join, 0..3, shared(&words), shared("!")).unwrap(), ["a!", "b!", "c!"]);
}

#[poolmap::test]
fn empty_texts_and_bytes_are_shared_too() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    assert_eq!(pool_map!(in &pool, find, 0..2, shared("")).unwrap()[1].0, 0);
    assert_eq!(pool_map!(in &pool, add, 0..2, shared::<[u8]>(&[])).unwrap()[1].0, 1);
    assert_eq!(pool_map!(in &pool, scale, [1.0], shared::<[f64]>(&[])).unwrap()[0].0, 0.0);
}

#[poolmap::test]
fn a_worker_that_replaces_a_dead_one_reads_the_shared_text_too() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let text = "x".repeat(100_000);
    assert_eq!(
        pool_map!(in &pool, die_once, 0..8, shared(&text); attempts = 2, chunk_size = 1).unwrap(),
        [text.len(); 8]
    );
    let outcomes = pool_try_map!(in &pool, die_once, 0..8, shared(&text)).unwrap();
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert_eq!(failed, 1);
    assert!(matches!(outcomes[3].as_ref().unwrap_err().kind(), TaskErrorKind::Crashed { .. }));
}

#[poolmap::test]
fn all_workers_read_the_one_memory_and_let_go_of_it_with_the_next_call() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = Pool::builder().workers(2).build().unwrap();
    let texts = ["<0>".repeat(50_000), "<0>".repeat(60_000)];
    let mut workers = BTreeSet::new();
    for text in texts.iter().cycle().take(20) {
        for (length, place, is_shared, worker) in
            pool_map!(in &pool, find, [0; 20], shared(text); chunk_size = 1).unwrap()
        {
            assert_eq!((length, place, is_shared), (text.len(), 0, true));
            workers.insert(worker);
        }
    }
    assert!(workers.len() <= 2);
    let mapped = pool_map!(in &pool, mappings, 0..20; chunk_size = 1).unwrap();
    // The arena, the ring and what belongs to them, and no value of the calls before.
    assert!(mapped.iter().all(|&bytes| bytes < 150_000), "{mapped:?}");
}

/// The bytes of the largest mapping that is as large as a text of the calls before: the arena is larger.
#[worker]
fn mappings(_task: u64) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let bytes = maps.lines().filter(|line| line.contains("memfd:")).map(|line| {
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        usize::from_str_radix(end, 16).unwrap() - usize::from_str_radix(start, 16).unwrap()
    });
    bytes.filter(|&bytes| (150_000..200_000).contains(&bytes)).max().unwrap_or(0)
}
