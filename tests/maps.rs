//! Maps: order, arguments, options, laziness.

mod common;

use std::cell::Cell;
use std::iter::repeat;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use poolmap::{Pool, pool_iter, pool_iter_unordered, pool_map, pool_try_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

#[worker]
fn double(x: usize) -> usize {
    2 * x
}

#[worker]
fn sleep_then_give(millis: u64, value: usize) -> usize {
    std::thread::sleep(Duration::from_millis(millis));
    value
}

#[worker]
fn pid(_task: usize) -> u32 {
    std::process::id()
}

#[worker]
fn describe(name: &str, numbers: &[u8], path: &Path, label: String) -> String {
    format!("{name} {numbers:?} {} {label}", path.display())
}

#[worker]
fn touch(path: PathBuf, millis: u64) -> std::io::Result<()> {
    std::fs::write(&path, "begun")?;
    std::thread::sleep(Duration::from_millis(millis));
    std::fs::write(&path, "finished")
}

#[poolmap::test]
fn results_come_in_order_with_any_chunk_size_and_window() {
    let _guard = common::guard();
    let pool = common::pool(3);
    let expected: Vec<usize> = (0..500).map(|x| 2 * x).collect();
    assert_eq!(pool_map!(in &pool, double, 0..500).unwrap(), expected);
    for size in [1, 7, 64, 1000] {
        assert_eq!(pool_map!(in &pool, double, 0..500; chunk_size = size).unwrap(), expected);
        let lazy = pool_iter!(in &pool, double, 0..500; chunk_size = size, window = 10).unwrap();
        assert_eq!(lazy.map(Result::unwrap).collect::<Vec<_>>(), expected);
    }
}

#[poolmap::test]
fn order_survives_a_slow_first_task() {
    let _guard = common::guard();
    let millis = [100, 0, 0, 0, 50, 0, 0];
    let pool = common::pool(2);
    assert_eq!(pool_map!(in &pool, sleep_then_give, millis, 0..7).unwrap(), [0, 1, 2, 3, 4, 5, 6]);
}

#[poolmap::test]
fn unordered_results_carry_their_index_and_do_not_wait_for_a_slow_one() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let millis = [400, 0, 0, 0];
    let results: Vec<(usize, usize)> = pool_iter_unordered!(in &pool, sleep_then_give, millis, 10..14; chunk_size = 1)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(results.last(), Some(&(0, 10)));
    let mut sorted = results.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [(0, 10), (1, 11), (2, 12), (3, 13)]);
}

#[poolmap::test]
fn the_global_pool_serves_calls_that_name_none_and_starts_again() {
    let _guard = common::guard();
    assert_eq!(pool_map!(add, 0..3, [10, 20, 30]).unwrap(), [10, 21, 32]);
    let before = pool_map!(pid, [0]).unwrap();
    poolmap::shutdown_global();
    assert!(!common::is_alive(before[0]));
    assert_ne!(pool_map!(pid, [0]).unwrap(), before);
}

#[poolmap::test]
fn the_global_pool_can_be_built_with_options_before_it_is_there() {
    let _guard = common::guard();
    for _ in 0..2 {
        let pool = Pool::builder().workers(3).build_global().unwrap();
        assert!(std::ptr::eq(pool, poolmap::global_pool().unwrap()));
        assert_eq!(pool_map!(double, [1, 2]).unwrap(), [2, 4]);
        assert_eq!(pool.stats().workers(), 3);
        let error = Pool::builder().workers(1).build_global().unwrap_err();
        assert!(error.is_invalid_option() && error.to_string().contains("shutdown_global()"), "{error}");
        poolmap::shutdown_global();
    }
    assert!(Pool::builder().workers(0).build_global().unwrap_err().is_invalid_option());
    poolmap::global_pool().unwrap();
    assert!(Pool::builder().workers(1).build_global().is_err());
}

#[poolmap::test]
fn a_global_pool_has_no_processes_before_its_first_task() {
    let _guard = common::guard();
    assert!(poolmap::global_pool().unwrap().workers().is_empty());
    assert_eq!(pool_map!(double, [1]).unwrap(), [2]);
    assert_eq!(poolmap::global_pool().unwrap().workers().len(), poolmap::cpu_count());
}

#[poolmap::test]
fn arguments_may_be_borrowed_in_every_way() {
    let _guard = common::guard();
    let names = vec!["a".to_owned(), "b".to_owned()];
    let paths = [PathBuf::from("/x"), PathBuf::from("/y")];
    let expected = ["a [1, 2] /x l", "b [3] /y m"];
    let numbers: [&[u8]; 2] = [&[1, 2], &[3]];
    let borrowed = pool_map!(describe, &names, numbers, &paths, ["l", "m"]).unwrap();
    assert_eq!(borrowed, expected);
    let pointed = pool_map!(
        describe,
        names.iter().map(String::as_str),
        [Rc::<[u8]>::from([1, 2]), Rc::<[u8]>::from([3])],
        paths.iter().map(PathBuf::as_path),
        [Box::new("l".to_owned()), Box::new("m".to_owned())],
    );
    assert_eq!(pointed.unwrap(), expected);
    let owned =
        pool_map!(describe, names, [vec![1, 2], vec![3]], paths, [Arc::<str>::from("l"), Arc::<str>::from("m")]);
    assert_eq!(owned.unwrap(), expected);
}

#[poolmap::test]
fn empty_iterators_give_nothing() {
    let _guard = common::guard();
    assert!(pool_map!(double, 0..0).unwrap().is_empty());
    assert_eq!(pool_iter!(double, Vec::<usize>::new()).unwrap().count(), 0);
    assert!(pool_try_map!(double, std::iter::empty::<usize>()).unwrap().is_empty());
}

#[poolmap::test]
fn iterators_need_not_be_send() {
    let _guard = common::guard();
    let count = Rc::new(Cell::new(0));
    let counting = Rc::clone(&count);
    let numbers = (0..10).inspect(move |_| counting.set(counting.get() + 1));
    assert_eq!(pool_map!(double, numbers).unwrap().len(), 10);
    assert_eq!(count.get(), 10);
}

#[poolmap::test]
fn input_is_read_only_as_the_window_allows() {
    let _guard = common::guard();
    let read = Cell::new(0);
    let endless = (0..).inspect(|_| read.set(read.get() + 1));
    let mut results = pool_iter!(double, endless; window = 16).unwrap();
    assert_eq!(read.get(), 0, "nothing is read before the first pull");
    for taken in 0..200 {
        assert_eq!(results.next().unwrap().unwrap(), 2 * taken);
        assert!(read.get() <= taken + 1 + 16, "{} read after {taken}", read.get());
    }
}

#[poolmap::test]
fn results_that_wait_for_their_turn_count_against_the_window() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let read = Cell::new(0);
    let millis = std::iter::once(300).chain(repeat(0));
    let values = (0..).inspect(|_| read.set(read.get() + 1));
    let mut results = pool_iter!(in &pool, sleep_then_give, millis, values; window = 8, chunk_size = 1).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    assert_eq!(read.get(), 8, "the window fills up behind the slow task, and no further");
}

#[poolmap::test]
fn large_items_are_bounded_in_bytes() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let read = Cell::new(0);
    let megabytes = (0..40).map(|_| {
        read.set(read.get() + 1);
        vec![1u8; 4 << 20]
    });
    let mut results = pool_iter!(in &pool, sum, megabytes; chunk_size = 1).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), 4 << 20);
    assert!(read.get() <= 17 + 2, "64 MiB are 16 items, but {} were read", read.get());
    assert!(results.all(|result| result.unwrap() == 4 << 20));
    assert_eq!(read.get(), 40);
}

#[worker]
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|&byte| u64::from(byte)).sum()
}

#[poolmap::test]
fn slow_items_do_not_wait_for_each_other() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let quick = pool_map!(in &pool, double, 0..10_000).unwrap();
    assert_eq!(quick.len(), 10_000);
    let started = Cell::new(0);
    let slow = (0..6usize).inspect(|_| {
        started.set(started.get() + 1);
        std::thread::sleep(Duration::from_millis(30));
    });
    let mut results = pool_iter!(in &pool, double, slow).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    assert!(started.get() < 6, "the first result waited for the last item");
}

#[poolmap::test]
fn an_iterator_that_panics_reaches_the_caller_and_the_pool_goes_on() {
    let _guard = common::guard();
    let pool = common::pool(2);
    for good in [0, 1, 100] {
        let numbers = (0..).map(|x: usize| if x < good { x } else { panic!("no item {x}") });
        let caught =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool_map!(in &pool, double, numbers.take(1000))));
        let panic = caught.unwrap_err();
        assert_eq!(panic.downcast_ref::<String>(), Some(&format!("no item {good}")));
        assert_eq!(pool_map!(in &pool, double, [4]).unwrap(), [8]);
    }
}

#[poolmap::test]
fn dropping_an_iterator_kills_what_runs() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..2).map(|task| folder.path().join(task.to_string())).collect();
    let millis = [0, 600_000];
    let mut results = pool_iter_unordered!(in &pool, touch, &paths, millis).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), (0, ()));
    common::wait_until("the second task begins", || paths[1].exists());
    drop(results);
    assert_eq!(pool_map!(in &pool, double, 0..4).unwrap(), [0, 2, 4, 6]);
    assert_eq!(std::fs::read_to_string(&paths[1]).unwrap(), "begun");
}

#[poolmap::test]
fn finish_running_lets_what_runs_go_on_and_begins_no_more() {
    let _guard = common::guard();
    let pool = common::pool(1);
    pool.ready().unwrap();
    let before = pool.workers();
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..10).map(|task| folder.path().join(task.to_string())).collect();
    let millis = [0, 300, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut results = pool_iter!(in &pool, touch, &paths, millis; chunk_size = 5, finish_running).unwrap();
    results.next().unwrap().unwrap();
    common::wait_until("the second task begins", || paths[1].exists());
    drop(results);
    assert_eq!(pool_map!(in &pool, double, 0..4).unwrap(), [0, 2, 4, 6]);
    assert_eq!(pool.workers(), before, "no worker was replaced");
    assert_eq!(std::fs::read_to_string(&paths[1]).unwrap(), "finished");
    assert!(!paths[2].exists(), "a task was begun after the iterator was dropped");
}

#[poolmap::test]
fn results_of_any_size_arrive() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let sizes = [0, 1, 65_535, 65_536, 65_537, 1 << 20, 16 << 20];
    let results = pool_map!(in &pool, bytes_of, sizes).unwrap();
    assert_eq!(results.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
    assert!(results.iter().flatten().all(|&byte| byte == 7));
    assert_eq!(pool_map!(in &pool, sum, results).unwrap(), sizes.map(|size| 7 * size as u64));
}

#[worker]
fn bytes_of(size: usize) -> Vec<u8> {
    vec![7; size]
}

#[poolmap::test]
fn tasks_spread_over_the_workers() {
    let _guard = common::guard();
    let pool = common::pool(4);
    pool.ready().unwrap();
    let mut pids = pool_map!(in &pool, slow_pid, 0..40).unwrap();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 4);
}

#[worker]
fn slow_pid(_task: usize) -> u32 {
    std::thread::sleep(Duration::from_millis(5));
    std::process::id()
}
