//! Parameters that borrow: what a function borrows is read where the parent has written it, and not copied. Each such form has the
//! value that was sent, wherever it stands and however it came, for as long as its task runs.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use poolmap::{Pool, Process, pool_iter, pool_map, shared, worker};

/// Counts the allocations of this process.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the rules.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the rules.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(bytes, Ordering::Relaxed);
        // SAFETY: the caller keeps the rules.
        unsafe { System.realloc(at, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations this process has made.
fn allocations() -> usize {
    ALLOCATIONS.load(Ordering::Relaxed)
}

#[worker]
fn text(text: &str) -> (usize, usize) {
    (allocations(), text.len())
}

#[worker]
fn bytes(bytes: &[u8]) -> (usize, usize) {
    (allocations(), bytes.len())
}

#[worker]
fn numbers(before: u8, numbers: &[f64], between: &str, more: &[i32]) -> (usize, usize) {
    assert!(numbers.iter().all(|&number| number == f64::from(before)));
    assert!(more.iter().all(|&number| number == i32::from(before)));
    (allocations(), numbers.len() + between.len() + more.len())
}

#[worker]
fn path(path: &Path) -> (usize, usize) {
    (allocations(), path.as_os_str().len())
}

#[worker]
fn either(text: Cow<'_, str>, numbers: Cow<[u16]>) -> (usize, usize) {
    (allocations(), text.len() + numbers.len())
}

#[worker]
fn owned(text: String) -> (usize, usize) {
    (allocations(), text.len())
}

const TASKS: usize = 2000;

/// How many of the tasks, of those that followed another of their worker, came with an allocation.
fn allocating(counted: Vec<(usize, usize)>) -> usize {
    assert_eq!(counted.len(), TASKS);
    counted.windows(2).filter(|pair| pair[0].0 != pair[1].0).count()
}

/// Chunks come and go, which takes a few.
const FEW: usize = TASKS / 20;

#[poolmap::test]
fn what_is_borrowed_is_not_allocated() {
    let _guard = common::guard();
    if !common::shares_memory() {
        // Each result is a frame of its own then.
        return;
    }
    let pool = common::pool(1);
    let names: Vec<String> = (0..TASKS).map(|name| format!("a name that is on the heap {name}")).collect();
    let floats: Vec<Vec<f64>> = (0..TASKS).map(|row| vec![(row % 200) as f64; row % 7]).collect();
    let integers: Vec<Vec<i32>> = (0..TASKS).map(|row| vec![(row % 200) as i32; row % 5]).collect();
    let before = (0..TASKS).map(|row| (row % 200) as u8);
    assert!(allocating(pool_map!(in &pool, text, &names).unwrap()) < FEW);
    assert!(allocating(pool_map!(in &pool, bytes, names.iter().map(String::as_bytes)).unwrap()) < FEW);
    assert!(allocating(pool_map!(in &pool, path, names.iter().map(Path::new)).unwrap()) < FEW);
    assert!(allocating(pool_map!(in &pool, numbers, before, &floats, &names, &integers).unwrap()) < FEW);
    let shorts: Vec<Vec<u16>> = (0..TASKS).map(|row| vec![7; row % 9]).collect();
    assert!(allocating(pool_map!(in &pool, either, &names, &shorts).unwrap()) < FEW);
    // The count counts.
    assert!(allocating(pool_map!(in &pool, owned, &names).unwrap()) > TASKS / 2);
}

#[worker]
fn all(numbers: &[f64], wide: &[u128], text: &str, path: &Path, cow: Cow<'_, [i64]>, names: &[String]) -> String {
    format!("{numbers:?} {wide:?} {text} {} {cow:?} {names:?}", path.display())
}

#[worker]
fn first_two<'a>(one: &'a str, other: Cow<'a, str>) -> Cow<'a, str> {
    if one.is_empty() { other } else { Cow::Borrowed(one) }
}

/// Every way by which arguments come to a function.
fn all_ways(pool: &Pool) {
    let long = "x".repeat(100_000);
    for text in ["", "ä", "seven b", &long] {
        let (numbers, wide, cow) = (vec![0.5; text.len() % 11], vec![u128::MAX; 2], vec![-1i64; 3]);
        let names = vec![text.to_owned(); 2];
        let path = Path::new("a/ü");
        let expected = self::all(&numbers, &wide, text, path, Cow::Borrowed(&cow), &names);
        let count = 50;
        let rows = || std::iter::repeat_n((), count);
        let mapped = pool_map!(
            in pool,
            all,
            rows().map(|()| &numbers),
            rows().map(|()| wide.clone()),
            rows().map(|()| text),
            rows().map(|()| path),
            rows().map(|()| &cow[..]),
            rows().map(|()| &names[..])
        );
        assert_eq!(mapped.unwrap(), vec![expected.clone(); count]);
        let tuple = (&numbers, &wide, text, path, &cow[..], &names);
        assert_eq!(pool_map!(in pool, all, *vec![tuple; count]).unwrap(), vec![expected.clone(); count]);
        let broadcast = pool_map!(
            in pool,
            all,
            shared(&numbers),
            rows().map(|()| &wide),
            shared(text),
            shared(path),
            shared(&cow[..]),
            shared(&names)
        );
        assert_eq!(broadcast.unwrap(), vec![expected.clone(); count]);
        let call = || all {
            numbers: numbers.clone(),
            wide: wide.clone(),
            text: text.to_owned(),
            path: path.to_owned(),
            cow: cow.clone().into(),
            names: names.clone(),
        };
        assert_eq!(pool.apply(call()).unwrap(), expected);
        assert_eq!(pool.submit(call()).unwrap().join().unwrap(), expected);
        assert_eq!(Process::new(call()).start().unwrap().join().unwrap(), expected);
    }
    assert_eq!(pool.apply(first_two { one: String::new(), other: "b".into() }).unwrap(), "b");
    assert_eq!(pool.apply(first_two { one: "a".to_owned(), other: "b".into() }).unwrap(), "a");
}

#[poolmap::test]
fn whatever_is_borrowed_is_what_was_sent() {
    let _guard = common::guard();
    all_ways(&common::pool(2));
}

/// The sum, and the bytes that the process has allocated.
#[worker]
fn sum(numbers: &[f64], _odd: &str) -> (f64, usize) {
    (numbers.iter().sum(), BYTES.load(Ordering::Relaxed))
}

#[poolmap::test]
fn slices_of_any_size_are_what_was_sent_and_are_not_copied() {
    let _guard = common::guard();
    let pool = common::pool(1);
    // Small ones before large ones, that find no room, and small ones behind them; texts that end at any address.
    let sizes = [0, 1, 3, 100, 5000, 70_000, 1, 200_000, 2, 1_000_000, 9, 200_000];
    let slices: Vec<Vec<f64>> = (0..60).map(|row| vec![1.0; sizes[row % sizes.len()]]).collect();
    let texts: Vec<String> = (0..60).map(|row| "x".repeat(row % 8)).collect();
    for chunk_size in [1, 3, 40] {
        let sums: Vec<_> = pool_iter!(in &pool, sum, &slices, &texts; chunk_size = chunk_size)
            .unwrap()
            .map(|sum| sum.unwrap())
            .collect();
        assert!(slices.iter().zip(&sums).all(|(slice, (sum, _))| *sum == slice.len() as f64));
        let sent: usize = slices.iter().map(|slice| size_of_val(&slice[..])).sum();
        let allocated = sums[59].1 - sums[0].1;
        // The first large row finds no room, and may be copied.
        assert!(!common::shares_memory() || allocated < sent / 4, "{allocated} bytes for {sent}, {chunk_size} a chunk");
    }
}

/// A type of the program's own that is called as std's, and written otherwise.
mod own {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Cow<'a, B: ?Sized + ToOwned<Owned: Serialize>> {
        Owned(
            u8,
            #[serde(bound(deserialize = "B::Owned: Deserialize<'de>"))] B::Owned,
            std::marker::PhantomData<&'a ()>,
        ),
    }
}

#[worker]
fn take_own(text: own::Cow<'_, str>, numbers: own::Cow<[f64]>) -> String {
    let (own::Cow::Owned(before, text, _), own::Cow::Owned(between, numbers, _)) = (text, numbers);
    format!("{before} {text} {between} {numbers:?}")
}

/// A type that must have the lifetime that it is named with.
#[derive(serde::Serialize, serde::Deserialize)]
struct Invariant<'a>(u8, #[serde(skip)] std::marker::PhantomData<std::cell::Cell<&'a ()>>);

#[worker]
fn one_lifetime<'a>(text: Cow<'a, str>, number: Invariant<'a>, parts: Cow<'a, [Cow<'a, str>]>) -> String {
    format!("{text} {} {parts:?}", number.0)
}

#[worker]
fn one_that_outlives_another<'a: 'b, 'b>(text: Cow<'a, str>, number: Invariant<'b>) -> String {
    format!("{text} {}", number.0)
}

#[worker]
fn keep(rows: Cow<'_, [String]>, path: Cow<'_, Path>) -> (bool, Vec<String>, bool) {
    let is_borrowed = matches!(path, Cow::Borrowed(_));
    (matches!(rows, Cow::Owned(_)), rows.into_owned(), is_borrowed)
}

#[poolmap::test]
fn each_form_of_cow_is_what_was_sent() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let own = |number| own::Cow::<str>::Owned(number, "text".to_owned(), std::marker::PhantomData);
    let owns = |number| own::Cow::<[f64]>::Owned(number, vec![1.5], std::marker::PhantomData);
    let expected = "1 text 2 [1.5]".to_owned();
    assert_eq!(pool_map!(in &pool, take_own, [own(1)], [owns(2)]).unwrap(), [&expected[..]]);
    assert_eq!(pool_map!(in &pool, take_own, shared(&own(1)), [owns(2)]).unwrap(), [&expected[..]]);
    assert_eq!(pool.apply(take_own { text: own(1), numbers: owns(2) }).unwrap(), expected);
    let call = one_lifetime {
        text: "a".into(),
        number: Invariant(3, std::marker::PhantomData),
        parts: vec!["b".into()].into(),
    };
    assert_eq!(pool.apply(call).unwrap(), "a 3 [\"b\"]");
    let call = one_that_outlives_another { text: "a".into(), number: Invariant(3, std::marker::PhantomData) };
    assert_eq!(pool.apply(call).unwrap(), "a 3");
    let rows = vec!["a".to_owned()];
    assert_eq!(pool_map!(in &pool, keep, [&rows[..]], [Path::new("p")]).unwrap(), [(true, rows, true)]);
}

/// Reads its argument again and again, for as long as the file is there.
#[worker]
fn watch(argument: &[u64], file: &Path, begun: &Path) -> bool {
    std::fs::write(begun, []).unwrap();
    let first = argument[0];
    while file.exists() {
        if argument.iter().any(|&number| number != first) {
            std::fs::write(file.with_extension("changed"), []).unwrap();
            return false;
        }
    }
    std::fs::write(file.with_extension("done"), []).unwrap();
    true
}

#[worker]
fn length(numbers: &[u64]) -> usize {
    numbers.len()
}

/// The call ends, and its task goes on.
#[poolmap::test]
fn a_task_keeps_its_arguments_when_its_call_has_ended() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let (file, begun) = (folder.path().join("watch"), folder.path().join("begun"));
    std::fs::write(&file, []).unwrap();
    let pool = common::pool(3);
    let watched = vec![7u64; 4000];
    for attempt in 0..10 {
        let deadline = Duration::from_millis(50 << attempt);
        let mut results = pool_iter!(
            in &pool, watch, [&watched], [&file], [&begun]; deadline = deadline, finish_running
        )
        .unwrap();
        assert!(results.next().unwrap().is_err());
        if begun.exists() {
            break;
        }
    }
    for round in 0..200 {
        let others = vec![vec![round; 4000]; 20];
        assert_eq!(pool_map!(in &pool, length, &others).unwrap(), [4000; 20]);
    }
    std::fs::remove_file(&file).unwrap();
    common::wait_until("the task ends", || file.with_extension("done").exists());
    assert!(!file.with_extension("changed").exists());
}
