//! Functions of numbers, whose rows and results are written and run many at once: whatever happens to one of them is its own.

mod common;

use poolmap::{TaskErrorKind, pool_iter, pool_map, pool_reduce, pool_try_map, worker};

type Count = u16;

#[worker]
fn every_width(a: u8, b: i16, c: Count, d: i32, e: u64, f: i128) -> f64 {
    (i128::from(a) + i128::from(b) + i128::from(c) + i128::from(d) + i128::from(e) + f) as f64
}

#[worker]
fn every_other_width(g: f32, h: f64, i: usize, j: isize, k: u128, l: i8) -> f64 {
    f64::from(g) + h + (i as i128 + j as i128 + k as i128 + i128::from(l)) as f64
}

#[worker]
fn wide(low: u64, high: i64) -> i128 {
    i128::from(high) << 64 | i128::from(low)
}

#[poolmap::test]
fn numbers_of_every_width_are_what_was_sent() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let rows = 0..3000i64;
    let integers =
        rows.clone().map(|x| (x as u8, -(x as i16), x as u16, (x << 20) as i32, x as u64, i128::from(x) << 70));
    let expected: Vec<f64> = integers.clone().map(|(a, b, c, d, e, f)| every_width(a, b, c, d, e, f)).collect();
    assert_eq!(pool_map!(in &pool, every_width, *integers).unwrap(), expected);
    let others = || {
        let small = rows.clone().map(|x| x as i8);
        (
            rows.clone().map(|x| x as f32 / 3.0),
            std::iter::repeat_n(-0.5, 3000),
            0..3000usize,
            (-2999..=0isize).rev(),
            std::iter::repeat_n(7u128, 3000),
            small,
        )
    };
    let (g, h, i, j, k, l) = others();
    let expected: Vec<f64> = g
        .zip(h)
        .zip(i.zip(j))
        .zip(k.zip(l))
        .map(|(((g, h), (i, j)), (k, l))| every_other_width(g, h, i, j, k, l))
        .collect();
    let (g, h, i, j, k, l) = others();
    assert_eq!(pool_map!(in &pool, every_other_width, g, h, i, j, k, l).unwrap(), expected);
    let wides = pool_map!(in &pool, wide, 0..3000u64, (-1500..1500).rev()).unwrap();
    assert_eq!(wides, (0..3000).zip((-1500..1500).rev()).map(|(low, high)| wide(low, high)).collect::<Vec<_>>());
    let nan = f64::from_bits(0x7ff8_0000_0000_1234);
    assert_eq!(pool_map!(in &pool, same, [nan; 100]).unwrap().map_bits(), [nan.to_bits(); 100]);
}

trait Bits {
    fn map_bits(self) -> Vec<u64>;
}

impl Bits for Vec<f64> {
    fn map_bits(self) -> Vec<u64> {
        self.into_iter().map(f64::to_bits).collect()
    }
}

#[worker]
fn same(number: f64) -> f64 {
    number
}

/// What a task does is in its first argument.
#[worker]
fn risky(what: u8, x: i64) -> i64 {
    match what {
        1 => panic!("{x} panics"),
        2 => std::process::abort(),
        3 => std::thread::sleep(std::time::Duration::from_millis(3)),
        _ => {}
    }
    x * x
}

#[poolmap::test]
fn a_panic_and_a_crash_among_numbers_cost_their_own_tasks() {
    let _guard = common::guard();
    for (workers, chunk_size) in [(1, None), (2, None), (2, Some(1)), (2, Some(64))] {
        let pool = common::pool(workers);
        let what = |x: i64| match x % 1000 {
            7 | 8 | 500 => 1,
            501 if x < 3000 => 2,
            600 => 3,
            _ => 0,
        };
        let all = 0..5000i64;
        let outcomes = match chunk_size {
            None => pool_try_map!(in &pool, risky, all.clone().map(what), all.clone()),
            Some(size) => pool_try_map!(in &pool, risky, all.clone().map(what), all.clone(); chunk_size = size),
        };
        for (x, outcome) in all.zip(outcomes.unwrap()) {
            match (what(x), outcome) {
                (1, Err(error)) => {
                    assert_eq!(error.index(), x as usize);
                    let is_its_panic = matches!(error.kind(), TaskErrorKind::Panicked { message, .. }
                        if *message == format!("{x} panics"));
                    assert!(is_its_panic, "{error:#}");
                }
                (2, Err(error)) => assert!(matches!(error.kind(), TaskErrorKind::Crashed { .. }), "{error:#}"),
                (0 | 3, Ok(square)) => assert_eq!(square, x * x),
                (what, outcome) => panic!("task {x}, which does {what}: {outcome:?}"),
            }
        }
    }
}

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x.wrapping_add(y)
}

/// Items that are not the owned type, an input that ends at once or in the middle, and one whose length nobody knows.
#[poolmap::test]
fn numbers_come_from_any_iterator() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let numbers: Vec<i64> = (0..20_000).collect();
    let expected: Vec<i64> = numbers.iter().map(|x| 2 * x).collect();
    assert_eq!(pool_map!(in &pool, add, &numbers, numbers.iter().copied().map(Box::new)).unwrap(), expected);
    assert_eq!(pool_map!(in &pool, add, numbers.iter().filter(|_| true), numbers.iter().copied()).unwrap(), expected);
    assert_eq!(pool_map!(in &pool, add, poolmap::shared(&5i64), 0..3).unwrap(), [5, 6, 7]);
    assert!(pool_map!(in &pool, add, 0..0, 0..0).unwrap().is_empty());
    let lengths = pool_map!(in &pool, add, 0..20_000, numbers.iter().copied().filter(|x| *x < 7777));
    assert!(lengths.unwrap_err().to_string().contains("7777"));
    let shortest = pool_map!(in &pool, add, 0.., numbers.iter().copied().filter(|x| *x < 7777); shortest);
    assert_eq!(shortest.unwrap().len(), 7777);
    let sum = pool_reduce!(in &pool, add, &numbers, &numbers; with = add, identity = 0).unwrap();
    assert_eq!(sum, expected.iter().sum::<i64>());
    let windowed = pool_iter!(in &pool, add, &numbers, &numbers; window = 3).unwrap();
    assert!(windowed.map(Result::unwrap).eq(expected.iter().copied()));
    // The ring of results is full before the caller takes more.
    let count = if common::shares_memory() { 500_000 } else { 5_000 };
    let mut many = pool_iter!(in &pool, add, 0..count, 0..; window = 500_000).unwrap();
    assert_eq!(many.next().unwrap().unwrap(), 0);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(many.map(Result::unwrap).eq((1..count).map(|x| 2 * x)));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(
        || pool_map!(in &pool, add, (0..9000i64).inspect(|x| assert_ne!(*x, 5000)), 0..9000),
    ));
    assert!(panicked.is_err());
    assert_eq!(pool_map!(in &pool, add, [1], [2]).unwrap(), [3]);
}

/// Columns that run no code of the program's are written one behind the other, and others row by row, as `zip` pulls them.
#[poolmap::test]
fn columns_are_what_zip_would_give_however_they_are_written() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let numbers: Vec<i64> = (0..5000).map(|x| x * x).collect();
    let expected: Vec<i64> = (0..5000).map(|x| x * x + x).collect();
    assert_eq!(pool_map!(in &pool, add, numbers.clone(), 0..=4999).unwrap(), expected);
    assert_eq!(pool_map!(in &pool, add, numbers.iter().cloned(), &(0..5000).collect::<Vec<i64>>()).unwrap(), expected);
    let ones = pool_map!(in &pool, add, std::iter::repeat(1), std::iter::repeat_n(-1, 5000)).unwrap();
    assert_eq!(ones, [0; 5000]);
    for length in [1, 2, 63, 64, 65, 999] {
        let shorter = pool_map!(in &pool, add, &numbers[..length], 0..5000i64; shortest).unwrap();
        assert_eq!(shorter, expected[..length]);
        let sized = pool_map!(in &pool, add, &numbers[..length], 0..length as i64; chunk_size = 7).unwrap();
        assert_eq!(sized, expected[..length]);
    }
    let pulls = std::cell::RefCell::new(Vec::new());
    let noted = |column: char| {
        (0..300i64).inspect(move |_| ()).inspect({
            let pulls = &pulls;
            move |x| pulls.borrow_mut().push((*x, column))
        })
    };
    pool_map!(in &pool, add, noted('a'), noted('b')).unwrap();
    assert_eq!(pulls.into_inner(), (0..300).flat_map(|x| [(x, 'a'), (x, 'b')]).collect::<Vec<_>>());
}
