//! Numbers that workers fill in place: all of them, by one task each, and never once the array is read.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use common::numbers::{Wrong, firsts, squares, zeros};
use poolmap::{Pool, SharedSlice, SharedSliceMut, TaskErrorKind, pool_iter, pool_iter_unordered, pool_map, worker};

#[worker]
fn fill(mut part: SharedSliceMut<u64>, first: u64) {
    for (place, number) in part.iter_mut().zip(first..) {
        *place = number * number;
    }
}

#[worker]
fn give_back(part: SharedSliceMut<u64>) -> SharedSliceMut<u64> {
    part
}

#[worker]
fn add(mut to: SharedSliceMut<f32>, from: SharedSliceMut<f32>, also: &SharedSliceMut<f32>) {
    for ((to, from), also) in to.iter_mut().zip(from.iter()).zip(also.iter()) {
        *to = from + also;
    }
}

#[worker]
fn sum(numbers: SharedSlice<u64>) -> u64 {
    numbers.iter().sum()
}

#[worker]
fn fill_by_threads(mut part: SharedSliceMut<u64>) {
    std::thread::scope(|scope| {
        for (number, mut of_thread) in part.chunks_mut(10).enumerate() {
            scope.spawn(move || of_thread.fill(number as u64));
        }
    });
}

/// Fills its part by a pool of its own; with `forget`, tasks of that go on when it returns.
#[worker]
fn fill_by_a_pool(mut part: SharedSliceMut<u64>, first: u64, forget: bool) {
    let pool = Pool::builder().workers(2).build().unwrap();
    if forget {
        let mut squares = pool_iter!(in &pool, fill_slowly, part.chunks_mut(10), firsts(first, 10)).unwrap();
        assert!(squares.next().is_some());
        std::mem::forget(squares);
        std::mem::forget(pool);
    } else {
        pool_map!(in &pool, fill, part.chunks_mut(10), firsts(first, 10)).unwrap();
    }
}

#[worker]
fn fill_slowly(part: SharedSliceMut<u64>, first: u64) {
    std::thread::sleep(Duration::from_millis(20));
    fill(part, first);
}

/// How many mappings of memory made by [`poolmap`] that can be written a worker has, and how many descriptors.
#[worker]
fn holds(_task: usize) -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let written = maps.lines().filter(|line| line.contains("memfd:poolmap") && line.contains(" rw-s ")).count();
    (written, common::descriptors().iter().filter(|name| name.contains("memfd:poolmap")).count())
}

/// How many bytes of such memory its worker can write, while it has its part or when that is dropped.
#[worker]
fn writable(part: SharedSliceMut<u64>, is_dropped: bool) -> usize {
    let part = (!is_dropped).then_some(part);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    drop(part);
    let written = maps.lines().filter(|line| line.contains("memfd:poolmap") && line.contains(" rw-s "));
    let range = |line: &str| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        Some(usize::from_str_radix(end, 16).ok()? - usize::from_str_radix(start, 16).ok()?)
    };
    written.map(|line| range(line).unwrap()).sum()
}

/// Reads the array at once, and again and again: nobody writes to it any more.
fn assert_still(array: &SharedSliceMut<u64>) {
    let read = array.to_vec();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(2));
        assert!(array[..] == read, "the numbers changed after the call had ended");
    }
}

#[poolmap::test]
fn filled_in_place_equals_filled_here() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        let error = SharedSliceMut::<u64>::zeroed(1).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
        return;
    }
    let pool = common::ready_pool(3);
    let mut array = zeros(20_000);
    for size in [7, 512, 1000, 19_999, 20_000, 100_000] {
        array.fill(0);
        pool_map!(in &pool, fill, array.chunks_mut(size), firsts(0, size)).unwrap();
        assert!(array[..] == squares(0..20_000));
    }
    array.fill(0);
    pool_map!(in &pool, fill, array.chunks_mut(100), firsts(0, 100); chunk_size = 64).unwrap();
    assert!(array[..] == squares(0..20_000));
    array.fill(0);
    for done in pool_iter_unordered!(in &pool, fill, array.chunks_mut(1000), firsts(5, 1000)).unwrap() {
        done.unwrap();
    }
    assert!(array[..] == squares(5..20_005));
}

#[poolmap::test]
fn ranges_of_ones_own_are_filled_and_no_others() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let mut array = SharedSliceMut::from(vec![9; 1000]);
    let parts = array.parts([900..1000, 0..10, 500..500, 20..21]).unwrap();
    pool_map!(fill, parts, [900, 0, 1, 20]).unwrap();
    assert_eq!(array[..10], squares(0..10)[..]);
    assert_eq!(array[900..], squares(900..1000)[..]);
    assert_eq!(array[20], 400);
    assert!(array[10..20].iter().chain(&array[21..900]).all(|&number| number == 9));
    let (left, right) = array.split_at_mut(300);
    pool_map!(fill, [left, right], [0, 300]).unwrap();
    assert!(array[..] == squares(0..1000));
    // A part is a slice, too, before it is sent.
    let (mut left, right) = array.split_at_mut(1);
    left[0] = 5;
    pool_map!(fill, [right], [0]).unwrap();
    assert_eq!((array[0], array[999]), (5, 998 * 998));
}

#[poolmap::test]
fn ranges_that_overlap_are_an_error_that_names_both() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let mut array = zeros(100);
    let mut said = |ranges: &[std::ops::Range<usize>]| array.parts(ranges.to_vec()).unwrap_err().to_string();
    assert!(said(&[50..60, 0..20, 10..30]).starts_with("the ranges 0..20 and 10..30 overlap"));
    assert!(said(&[10..30, 0..20]).starts_with("the ranges 10..30 and 0..20 overlap"));
    assert!(said(&[5..6, 0..100]).starts_with("the ranges 5..6 and 0..100 overlap"));
    assert!(said(&[0..1, 0..1]).starts_with("the ranges 0..1 and 0..1 overlap"));
    assert_eq!(said(&[0..1, 90..101]), "the range 90..101 is not in an array of 100 numbers");
    let backwards = std::ops::Range { start: 7, end: 3 };
    assert_eq!(said(&[backwards]), "the range 7..3 ends before it begins");
    assert_eq!(array.parts([]).unwrap().len(), 0);
    assert!(catch_unwind(AssertUnwindSafe(|| array.split_at_mut(101).0.len())).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| array.chunks_mut(0).len())).is_err());
}

#[poolmap::test]
fn a_task_has_parts_of_the_same_array_and_of_others() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let mut both: SharedSliceMut<f32> = (0..2000).map(|number| number as f32).collect();
    let mut also = SharedSliceMut::from(vec![0.5f32; 1000]);
    let parts = both.parts((0..20).map(|part| part * 100..(part + 1) * 100)).unwrap();
    let (mut to, mut from) = (Vec::new(), Vec::new());
    for (position, part) in parts.into_iter().enumerate() {
        if position % 2 == 0 { to.push(part) } else { from.push(part) }
    }
    pool_map!(add, to, from, also.chunks_mut(100)).unwrap();
    for (position, number) in both.iter().enumerate() {
        let added = if position / 100 % 2 == 0 { 100.5 } else { 0.0 };
        assert_eq!(*number, position as f32 + added);
    }
}

#[poolmap::test]
fn only_parts_travel_and_only_to_a_worker() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(1);
    let mut array = zeros(10);
    let error = pool_map!(in &pool, give_back, array.chunks_mut(10)).unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Encode(_)), "{error}");
    for error in [
        pool_map!(in &pool, fill, [&array], [0]).unwrap_err(),
        pool_map!(in &pool, fill, poolmap::shared(&array), [0]).unwrap_err(),
        pool.apply(fill { part: zeros(10), first: 0 }).unwrap_err(),
    ] {
        assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Encode(_)), "{error}");
        assert!(format!("{error:#}").contains("in parts only"), "{error}");
    }
    // Called directly, it is a function like any other.
    fill(array, 0);
}

#[poolmap::test]
fn what_was_filled_is_read_by_the_next_map_and_written_by_none() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(2);
    let mut array = zeros(1 << 18);
    pool_map!(in &pool, fill, array.chunks_mut(1 << 12), firsts(0, 1 << 12)).unwrap();
    let shared = array.into_shared();
    let sums = pool_map!(in &pool, sum, shared.chunks(1000)).unwrap();
    assert_eq!(sums, shared.chunks(1000).map(sum).collect::<Vec<_>>());
    assert_eq!(shared[..], squares(0..1 << 18)[..]);
    let empty = SharedSliceMut::<u64>::zeroed(0).unwrap().into_shared();
    assert!(empty.is_empty());
}

#[poolmap::test]
fn a_part_is_divided_further() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let mut array = zeros(1000);
    pool_map!(fill_by_threads, array.chunks_mut(500)).unwrap();
    assert!(array.iter().enumerate().all(|(position, &number)| number == position as u64 % 500 / 10));
    let pool = common::ready_pool(2);
    array.fill(0);
    let first = firsts(0, 100);
    pool_map!(in &pool, fill_by_a_pool, array.chunks_mut(100), first, std::iter::repeat(false)).unwrap();
    assert!(array[..] == squares(0..1000));
    // A task whose own pool goes on after it has returned is not finished before that is done.
    array.fill(0);
    let first = firsts(0, 100);
    pool_map!(in &pool, fill_by_a_pool, array.chunks_mut(100), first, std::iter::repeat(true)).unwrap();
    assert_still(&array);
    for (part, expected) in array.chunks_mut(10).zip(squares(0..1000).chunks(10)) {
        assert!(*part == *expected || part.iter().all(|&number| number == 0), "{part:?}");
    }
}

#[poolmap::test]
fn a_worker_keeps_nothing_of_it() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(1);
    let (written, descriptors) = pool_map!(in &pool, holds, [0]).unwrap()[0];
    for _ in 0..3 {
        let mut array = zeros(1 << 18);
        pool_map!(in &pool, fill, array.chunks_mut(1000), firsts(0, 1000)).unwrap();
        assert_eq!(pool_map!(in &pool, holds, [0]).unwrap(), [(written, descriptors)]);
    }
    pool_map!(in &pool, holds, [0]).unwrap();
    assert_eq!(pool_map!(in &pool, holds, [0]).unwrap(), [(written, descriptors)]);
}

#[poolmap::test]
fn a_worker_can_write_the_pages_of_its_part_alone() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(1);
    let mut array = zeros(1 << 20);
    let without = pool_map!(in &pool, writable, array.chunks_mut(1000), std::iter::repeat(true)).unwrap();
    let with = pool_map!(in &pool, writable, array.chunks_mut(1000), std::iter::repeat(false)).unwrap();
    for (without, with) in without.iter().zip(with) {
        // The page at each end may hold numbers of other parts.
        assert!((1..=8000 + 2 * (64 << 10)).contains(&(with - without)), "{without} became {with} bytes");
    }
}

#[poolmap::test]
fn it_is_a_slice() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    for claim in [0, 1, 99, 100, 101, 5000] {
        let numbers: SharedSliceMut<i128> = Wrong(100, claim).collect();
        assert_eq!(*numbers, *(0..100).rev().collect::<Vec<i128>>());
    }
    let mut array = SharedSliceMut::from(&[3u8, 1, 2][..]);
    array.sort_unstable();
    assert_eq!(format!("{array:?}"), "[1, 2, 3]");
    assert_eq!(array, SharedSliceMut::from(vec![1, 2, 3]));
    assert_eq!(array.chunks_mut(2).len(), 2);
    assert_eq!(format!("{:?}", array.chunks_mut(2).last().unwrap()), "[3]");
    let mut empty: SharedSliceMut<u8> = std::iter::empty().collect();
    assert_eq!(empty.chunks_mut(1).count(), 0);
    assert_eq!(empty.split_at_mut(0).1.len(), 0);
    assert!(SharedSliceMut::<u8>::zeroed(0).unwrap().is_empty());
    assert!(SharedSliceMut::<u64>::zeroed(usize::MAX / 8).unwrap_err().to_string().contains("numbers of `u64`"));
}
