//! Worker functions, and the macros that call them, in every place.

use poolmap::{Pool, pool_iter, pool_iter_unordered, pool_map, pool_try_map, worker};
use poolmap_suite_dependency as dependency;

#[worker]
fn increment(x: u64) -> u64 {
    x + 1
}

mod private {
    use poolmap::{pool_map, worker};

    #[worker]
    fn hidden(x: u64) -> u64 {
        x + 10
    }

    #[worker]
    pub(crate) fn of_crate(x: u64) -> u64 {
        x + 20
    }

    pub(super) mod inner {
        use poolmap::worker;

        #[worker]
        pub(in crate::places) fn restricted(x: u64) -> u64 {
            x + 30
        }
    }

    pub(super) fn call_from_within() -> Vec<u64> {
        let mut all = pool_map!(hidden, [1]).unwrap();
        all.extend(pool_map!(self::hidden, [1]).unwrap());
        all.extend(pool_map!(super::increment, [1]).unwrap());
        all.extend(pool_map!(crate::places::increment, [1]).unwrap());
        all.extend(pool_map!(inner::restricted, [1]).unwrap());
        all
    }
}

use private::of_crate as renamed;

macro_rules! through_a_macro {
    ($function:path, $argument:expr) => {
        pool_map!($function, $argument).unwrap()
    };
    ($argument:expr) => {
        pool_map!($crate::places::increment, $argument).unwrap()
    };
}

#[poolmap::test]
fn paths_of_every_kind_name_a_worker_function() {
    assert_eq!(private::call_from_within(), [11, 11, 2, 2, 31]);
    assert_eq!(pool_map!(renamed, [1]).unwrap(), [21]);
    assert_eq!(through_a_macro!(private::of_crate, [1]), [21]);
    assert_eq!(through_a_macro!([1]), [2]);
}

#[poolmap::test]
fn a_dependency_can_have_worker_functions() {
    assert_eq!(pool_map!(dependency::double, [1, 2]).unwrap(), [2, 4]);
    assert_eq!(pool_map!(dependency::inner::double, ["a"]).unwrap(), ["aa"]);
    assert_eq!(dependency::doubles(&[1, 2]).unwrap(), [2, 4]);
    assert_eq!(dependency::sum_of_doubles(&[1, 2]).unwrap(), 6);
    let named = ("abc".to_owned(), 4);
    assert_eq!(pool_map!(dependency::parse, ["1"], [&named], [(2, 3)], [0]).unwrap(), [13]);
    assert_eq!(pool_map!(dependency::nothing, ["a"]).unwrap(), [()]);
}

#[poolmap::test]
fn local_functions_are_found_from_blocks_and_closures() {
    #[worker]
    fn local(x: u64) -> u64 {
        x + 40
    }
    let in_a_closure = || pool_map!(local, [1]).unwrap();
    assert_eq!(in_a_closure(), [41]);
    {
        assert_eq!(pool_map!(local, [1]).unwrap(), [41]);
    }
    fn in_a_function() -> Vec<u64> {
        pool_map!(local, [1]).unwrap()
    }
    assert_eq!(in_a_function(), [41]);
}

#[poolmap::test]
fn calls_stand_inside_of_one_another() {
    let nested = pool_map!(increment, pool_map!(private::of_crate, pool_map!(increment, [1]).unwrap()).unwrap());
    assert_eq!(nested.unwrap(), [23]);
}

#[poolmap::test]
fn every_form_of_the_call_is_read() -> poolmap::Result<()> {
    let pool = Pool::new()?;
    pool_map!(increment, [1])?;
    pool_map! { in &pool, increment, [1], }?;
    let _ = pool_map!(in &pool, increment, [1]; chunk_size = 1 + 1, window = 3, shortest, finish_running,)?;
    assert_eq!(pool_try_map!(in &pool, increment, [1]; shortest)?[0].as_ref().unwrap(), &2);
    let unordered = pool_iter_unordered!(in &pool, increment, 0..3)?;
    let mut outputs = unordered.collect::<poolmap::Result<Vec<_>>>()?;
    outputs.sort_unstable();
    assert_eq!(outputs, [(0, 1), (1, 2), (2, 3)]);
    Ok(())
}

#[poolmap::test]
fn what_is_borrowed_in_a_call_lives_as_long_as_in_any_call() {
    let mut sum = 0;
    for output in pool_iter!(increment, String::from("ab").bytes().map(u64::from)).unwrap() {
        sum += output.unwrap();
    }
    assert_eq!(sum, 97 + 98 + 2);
    let first = || -> Option<u64> { pool_map!(increment, [Some(1)?]).ok()?.pop() };
    assert_eq!(first(), Some(2));
}
