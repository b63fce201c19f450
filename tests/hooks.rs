//! What each worker runs before its first task and after its last, and what all run once.

mod common;

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use poolmap::{Output, Pool, SharedSlice, TaskErrorKind, current_worker, pool_map, pool_try_map, worker};

static INITIALIZED: AtomicU32 = AtomicU32::new(0);
static TASKS: AtomicU32 = AtomicU32::new(0);

#[worker]
fn initialize(by: u32) {
    INITIALIZED.fetch_add(by, Ordering::Relaxed);
}

#[worker]
fn add_all(numbers: SharedSlice<u32>) {
    INITIALIZED.fetch_add(numbers.iter().sum(), Ordering::Relaxed);
}

#[worker]
fn initialized(_task: usize) -> (u32, u32) {
    TASKS.fetch_add(1, Ordering::Relaxed);
    (std::process::id(), INITIALIZED.load(Ordering::Relaxed))
}

#[worker]
fn abort_at(task: usize, at: usize) -> u32 {
    if task == at {
        std::process::abort();
    }
    INITIALIZED.load(Ordering::Relaxed)
}

#[worker]
fn fail_as_told(how: &str, counter: &Path) -> Result<(), String> {
    std::fs::write(counter.join(std::process::id().to_string()), "").unwrap();
    match how {
        "fail" => Err("no model here".to_owned()),
        "panic" => panic!("no model there"),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        "twice" if std::fs::read_dir(counter).unwrap().count() <= 2 => Err("not yet".to_owned()),
        _ => Ok(()),
    }
}

#[worker]
fn tasks() -> (u32, u32) {
    (std::process::id(), TASKS.load(Ordering::Relaxed))
}

#[worker]
fn last_words(crashing: bool) -> Result<u32, String> {
    println!("farewell");
    if crashing {
        std::process::abort();
    }
    Err("it failed in the end".to_owned())
}

#[worker]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

#[worker]
fn place() -> usize {
    current_worker().unwrap().index()
}

#[worker]
fn abort_in(worker: usize) -> usize {
    let own = place();
    if own == worker {
        std::process::abort();
    }
    own
}

#[poolmap::test]
fn each_worker_is_initialized_once_before_its_first_task() {
    let _guard = common::guard();
    for workers in [1, 2, 5] {
        let pool = Pool::builder().workers(workers).initializer(initialize { by: 7 }).build().unwrap();
        let seen = pool_map!(in &pool, initialized, 0..500).unwrap();
        assert!(seen.iter().all(|(_, initialized)| *initialized == 7));
        pool.ready().unwrap();
        assert_eq!(pool.run_on_all(tasks {}).unwrap().len(), workers);
    }
    let numbers: SharedSlice<u32> = (1..=4).collect();
    let pool = Pool::builder().workers(2).initializer(add_all { numbers }).build().unwrap();
    assert!(pool_map!(in &pool, initialized, 0..50).unwrap().iter().all(|(_, initialized)| *initialized == 10));
}

#[poolmap::test]
fn a_worker_in_anothers_place_is_initialized_too() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).initializer(initialize { by: 3 }).build().unwrap();
    for round in 0..5 {
        let outcomes = pool_try_map!(in &pool, abort_at, 0..50, std::iter::repeat(round)).unwrap();
        let crashed: Vec<usize> = (0..50).filter(|&task| outcomes[task].is_err()).collect();
        assert_eq!(crashed, [round]);
        assert!(outcomes.into_iter().flatten().all(|initialized| initialized == 3));
    }
    let pool = Pool::builder().workers(2).initializer(initialize { by: 3 }).max_tasks_per_worker(1).build().unwrap();
    let seen = pool_map!(in &pool, initialized, 0..20).unwrap();
    assert!(seen.iter().all(|(_, initialized)| *initialized == 3));
    assert_eq!(seen.iter().map(|(pid, _)| pid).collect::<BTreeSet<_>>().len(), 20);
}

#[poolmap::test]
fn an_initializer_that_always_fails_is_an_error_after_few_starts() {
    let _guard = common::guard();
    for workers in [1, 2] {
        for (how, told) in [
            ("fail", "failed: no model here"),
            ("panic", "no model there"),
            ("abort", "SIGABRT"),
            ("exit", "exited with code 3"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let call = fail_as_told { how: how.into(), counter: folder.path().into() };
            let pool = Pool::builder().workers(workers).initializer(call).build().unwrap();
            let error = pool_map!(in &pool, initialized, 0..10).unwrap_err();
            assert!(error.is_start_failure(), "{how}: {error}");
            let text = error.to_string();
            assert!(text.contains("could not be initialized: `hooks::fail_as_told`"), "{how}: {text}");
            assert!(text.contains(told), "{how}: {text}");
            let starts = std::fs::read_dir(folder.path()).unwrap().count();
            assert!((5..5 + 2 * workers).contains(&starts), "{how}: {starts} starts");
            assert!(pool.ready().unwrap_err().is_start_failure());
        }
    }
}

#[poolmap::test]
fn an_initializer_that_fails_at_first_costs_nothing() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let call = fail_as_told { how: "twice".into(), counter: folder.path().into() };
    let pool = Pool::builder().workers(2).initializer(call).build().unwrap();
    assert_eq!(pool_map!(in &pool, initialized, 0..100).unwrap().len(), 100);
    pool.ready().unwrap();
}

#[poolmap::test]
fn finalizers_give_what_each_worker_has_done() {
    let _guard = common::guard();
    for workers in [1, 2, 5] {
        let pool = Pool::builder().workers(workers).finalizer(tasks {}).build().unwrap();
        pool.ready().unwrap();
        let seen = pool_map!(in &pool, initialized, 0..300).unwrap();
        let handle = pool.submit(initialized { _task: 0 }).unwrap();
        pool.join().unwrap();
        assert!(handle.is_finished());
        let results: Vec<(u32, u32)> =
            pool.finalizer_results::<tasks>().unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(results.len(), workers);
        assert_eq!(results.iter().map(|(_, tasks)| tasks).sum::<u32>(), 301);
        let pids: BTreeSet<u32> = results.iter().map(|(pid, _)| *pid).collect();
        assert!(seen.iter().all(|(pid, _)| pids.contains(pid)));
        assert!(pool.finalizer_results::<tasks>().unwrap().is_empty());
        assert!(pool.finalizer_results::<place>().unwrap_err().is_invalid_option());
    }
}

#[poolmap::test]
fn finalizers_run_where_workers_are_replaced_and_not_where_they_are_killed() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).finalizer(tasks {}).max_tasks_per_worker(5).build().unwrap();
    pool_map!(in &pool, initialized, 0..50).unwrap();
    pool.resize(1).unwrap();
    pool.join().unwrap();
    let results = pool.finalizer_results::<tasks>().unwrap();
    assert_eq!(results.iter().map(|result| result.as_ref().unwrap().1).sum::<u32>(), 50);
    let pool = Pool::builder().workers(2).finalizer(tasks {}).build().unwrap();
    pool_map!(in &pool, initialized, 0..50).unwrap();
    pool.terminate();
    assert!(pool.finalizer_results::<tasks>().unwrap().is_empty());
}

#[poolmap::test]
fn a_pool_is_ready_again_after_its_workers_were_finalized() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).finalizer(tasks {}).max_tasks_per_worker(1).build().unwrap();
    for _ in 0..10 {
        pool_map!(in &pool, initialized, 0..2).unwrap();
        pool.ready().unwrap();
    }
    common::wait_until("all are finalized", || pool.stats().workers_started() == 22);
    pool.join().unwrap();
    assert_eq!(pool.finalizer_results::<tasks>().unwrap().len(), 22);
}

#[poolmap::test]
fn a_finalizer_that_fails_is_its_own_result() {
    let _guard = common::guard();
    for crashing in [false, true] {
        let finalized = Pool::builder().workers(2).finalizer(last_words { crashing });
        let pool = finalized.output(Output::Captured).build().unwrap();
        pool.ready().unwrap();
        pool.join().unwrap();
        let results = pool.finalizer_results::<last_words>().unwrap();
        assert_eq!(results.len(), 2);
        for result in results {
            let error = result.unwrap_err();
            let is_right = match error.kind() {
                TaskErrorKind::Failed(failure) => !crashing && failure.to_string() == "it failed in the end",
                TaskErrorKind::Crashed { signal, .. } => crashing && *signal == Some(6),
                _ => false,
            };
            assert!(is_right, "{error}");
            assert_eq!(error.stdout(), Some("farewell\n"), "{error}");
        }
    }
}

#[poolmap::test]
fn all_workers_run_a_call_once_also_under_load() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(4).build().unwrap();
    assert_eq!(pool.run_on_all(place {}).unwrap(), [0, 1, 2, 3]);
    std::thread::scope(|scope| {
        let pool = &pool;
        let map = scope.spawn(move || pool_map!(in pool, sleep, (0..500).map(|_| 1)));
        for _ in 0..10 {
            assert_eq!(pool.run_on_all(place {}).unwrap(), [0, 1, 2, 3]);
        }
        assert_eq!(map.join().unwrap().unwrap(), [1; 500]);
    });
    let error = pool.run_on_all(abort_in { worker: 2 }).unwrap_err();
    assert_eq!(error.task().unwrap().index(), 2);
    assert_eq!(pool.run_on_all(place {}).unwrap(), [0, 1, 2, 3]);
    pool.resize(2).unwrap();
    assert_eq!(pool.run_on_all(place {}).unwrap(), [0, 1]);
}

#[poolmap::test]
fn arguments_of_a_hook_that_do_not_encode_are_an_error_of_build() {
    let _guard = common::guard();
    let path = Path::new(std::ffi::OsStr::from_bytes(&[0xff]));
    let call = fail_as_told { how: "fine".into(), counter: path.into() };
    let error = Pool::builder().workers(1).initializer(call).build().unwrap_err();
    assert!(error.is_invalid_option(), "{error}");
    assert!(format!("{error:#}").contains("initializer: the arguments of `hooks::fail_as_told`"), "{error}");
}

#[poolmap::test]
fn an_initializer_over_its_limit_is_a_failed_start() {
    let _guard = common::guard();
    let limit = Duration::from_millis(100);
    let builder = || Pool::builder().workers(1).initializer(sleep { millis: 60_000 }).initializer_timeout(limit);
    let pool = builder().build().unwrap();
    let error = pool.ready().unwrap_err();
    assert!(error.is_start_failure() && error.to_string().ends_with("timed out after 100ms"), "{error}");
    let error = pool_map!(in &pool, initialized, [1]).unwrap_err();
    assert!(error.is_start_failure(), "{error}");
    let pool = builder().initializer(sleep { millis: 1 }).build().unwrap();
    pool.ready().unwrap();
    // The limit is the initializer's alone.
    assert_eq!(pool.apply(sleep { millis: 300 }).unwrap(), 300);
    let error = builder().initializer_timeout(Duration::ZERO).build().unwrap_err();
    assert_eq!(error.to_string(), "`initializer_timeout` must be greater than zero, got 0");
}

#[poolmap::test]
fn a_finalizer_over_its_limit_is_its_own_result() {
    let _guard = common::guard();
    let builder = || Pool::builder().workers(2).finalizer(sleep { millis: 60_000 });
    let pool = builder().finalizer_timeout(Duration::from_millis(100)).build().unwrap();
    assert_eq!(pool.apply(sleep { millis: 300 }).unwrap(), 300);
    pool.join().unwrap();
    let results = pool.finalizer_results::<sleep>().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        assert!(matches!(result.unwrap_err().kind(), TaskErrorKind::TimedOut { .. }));
    }
    let error = builder().finalizer_timeout(Duration::ZERO).build().unwrap_err();
    assert_eq!(error.to_string(), "`finalizer_timeout` must be greater than zero, got 0");
}

#[worker]
fn sleep_in(worker: usize, millis: u64) {
    if place() == worker {
        std::thread::sleep(Duration::from_millis(millis));
    }
}

#[poolmap::test]
fn a_worker_that_is_initialized_while_the_pool_ends_has_its_finalizer_and_ends() {
    let _guard = common::guard();
    for millis in [1, 5, 20, 100] {
        let builder = Pool::builder().workers(2).initializer(sleep_in { worker: 1, millis }).finalizer(place {});
        let pool = builder.build().unwrap();
        assert_eq!(pool_map!(in &pool, sleep, [0]).unwrap(), [0]);
        pool.join().unwrap();
        // The worker that was not there yet has nothing to end with.
        let places: BTreeSet<usize> = pool.finalizer_results::<place>().unwrap().into_iter().flatten().collect();
        assert!(places.contains(&0) || places.contains(&1), "{places:?}");
    }
}
