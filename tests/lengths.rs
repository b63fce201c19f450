//! Iterators of different lengths: compared before anything runs where that can be, and named in the error.

mod common;

use std::cell::Cell;
use std::iter::repeat;

use poolmap::{pool_iter, pool_map, pool_try_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

#[worker]
fn first_of(x: i64, _y: i64, _z: i64) -> i64 {
    x
}

/// An iterator that does not tell its length.
fn unsized_range(end: i64) -> impl Iterator<Item = i64> {
    (0..end).filter(|_| true)
}

#[poolmap::test]
fn known_lengths_are_compared_before_anything_is_read() {
    let _guard = common::guard();
    let read = Cell::new(0);
    let counted = (0..3).inspect(|_| read.set(read.get() + 1));
    let error = pool_map!(add, counted, 0..4).unwrap_err();
    assert!(error.is_length_mismatch());
    assert_eq!(read.get(), 0);
    assert_eq!(
        error.to_string(),
        "the iterators of the call of `lengths::add` do not end together: iterator 1 (`x`) ends after 3 items, while \
         iterator 2 (`y`) has 4; give them one length, or add `; shortest` to stop with the first that ends",
    );
}

#[poolmap::test]
fn unknown_lengths_are_compared_by_one_further_item() {
    let _guard = common::guard();
    for (x, y, named) in [(3, 4, "iterator 1 (`x`) ends"), (4, 3, "iterator 2 (`y`) ends")] {
        let error = pool_map!(add, unsized_range(x), unsized_range(y)).unwrap_err();
        assert!(error.is_length_mismatch() && error.to_string().contains(named), "{error}");
    }
    assert_eq!(pool_map!(add, unsized_range(3), 0..3).unwrap(), [0, 2, 4]);
    let error = pool_try_map!(first_of, unsized_range(5), 0..5, unsized_range(4)).unwrap_err();
    assert!(
        error.to_string().contains("iterator 3 (`_z`) ends after 4 items, while iterator 1 (`x`) goes on"),
        "{error}"
    );
}

#[poolmap::test]
fn an_iterator_gives_what_was_read_and_then_the_mismatch() {
    let _guard = common::guard();
    let mut results = pool_iter!(add, unsized_range(3), unsized_range(9)).unwrap();
    let sums: Vec<i64> = results.by_ref().take(3).map(Result::unwrap).collect();
    assert_eq!(sums, [0, 2, 4]);
    assert!(results.next().unwrap().unwrap_err().is_length_mismatch());
    assert!(results.next().is_none());
}

#[poolmap::test]
fn endless_iterators_may_go_on() {
    let _guard = common::guard();
    assert_eq!(pool_map!(add, 0..3, repeat(10)).unwrap(), [10, 11, 12]);
    assert_eq!(pool_map!(add, 0.., unsized_range(3)).unwrap(), [0, 2, 4]);
    assert_eq!(pool_map!(first_of, repeat(1), 0.., [5, 6]).unwrap(), [1, 1]);
    let lazy = pool_iter!(add, 0.., repeat(1)).unwrap();
    assert_eq!(lazy.take(4).map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[poolmap::test]
fn a_map_over_endless_iterators_alone_is_refused() {
    let _guard = common::guard();
    let error = pool_map!(add, 0.., repeat(1)).unwrap_err();
    assert!(error.is_endless() && error.to_string().contains("pool_iter!"), "{error}");
    assert!(pool_try_map!(add, 0.., repeat(1)).unwrap_err().is_endless());
}

#[poolmap::test]
fn shortest_stops_with_the_first_that_ends_as_zip_does() {
    let _guard = common::guard();
    assert_eq!(pool_map!(add, 0..3, 0..100; shortest).unwrap(), [0, 2, 4]);
    assert_eq!(pool_map!(add, unsized_range(100), unsized_range(2); shortest).unwrap(), [0, 2]);
    let mut second = 0..10;
    assert_eq!(pool_map!(add, unsized_range(2), second.by_ref(); shortest).unwrap(), [0, 2]);
    assert_eq!(second.next(), Some(2), "nothing is pulled behind the one that ended");
}
