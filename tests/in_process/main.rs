//! Pools without processes: what they run has the outcomes that it has in workers, and what needs a process says so.

#[path = "../common/mod.rs"]
mod common;
mod ends;
mod outcomes;
mod sharing;
#[path = "../common/streams.rs"]
mod streams;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use poolmap::{Output, Pool, TaskErrorKind, current_worker, pool_for_each, pool_iter, pool_map, pool_try_map, worker};

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

#[worker]
fn pid(_task: usize) -> u32 {
    assert_eq!(common::children(std::process::id()), [0; 0], "a pool in process has started a process");
    std::process::id()
}

#[worker]
fn who(_task: usize) -> Option<(usize, u32, u32, u32)> {
    current_worker().map(|worker| (worker.index(), worker.pid(), worker.parent_pid(), worker.attempt()))
}

static RUN: AtomicU32 = AtomicU32::new(0);

#[worker]
fn count(task: u32) -> u32 {
    RUN.fetch_add(1, Ordering::SeqCst);
    task
}

#[worker]
fn panic_at(task: u32, at: u32) -> u32 {
    assert!(task != at, "task {task} panics");
    task
}

#[worker]
fn fail_before(attempt: u32) -> Result<u32, String> {
    let now = current_worker().unwrap().attempt();
    if now < attempt { Err(format!("attempt {now}")) } else { Ok(now) }
}

fn in_process() -> Pool {
    Pool::builder().in_process().build().unwrap()
}

#[poolmap::test]
fn no_process_is_started_and_tasks_run_in_this_one() {
    let _guard = common::guard();
    let pool = in_process();
    assert_eq!(pool_map!(in &pool, pid, 0..100).unwrap(), [std::process::id(); 100]);
    assert_eq!(pool.apply(pid { _task: 0 }).unwrap(), std::process::id());
    assert_eq!(pool.submit(pid { _task: 0 }).unwrap().join().unwrap(), std::process::id());
    assert_eq!(pool.run_on_all(pid { _task: 0 }).unwrap(), [std::process::id()]);
    let threads = common::threads();
    assert!(!threads.iter().any(|name| name.starts_with("poolmap-")), "{threads:?}");
    let own = std::process::id();
    assert_eq!(pool_map!(in &pool, who, 0..2).unwrap(), [Some((0, own, own, 1)); 2]);
    assert_eq!(current_worker(), None);
    let workers = pool.workers();
    assert_eq!((workers.len(), workers[0].index(), workers[0].pid()), (1, 0, own));
    pool.ready().unwrap();
    pool.resize(7).unwrap();
    assert!(pool.resize(0).unwrap_err().is_invalid_option());
    let stats = pool.stats();
    assert_eq!((stats.workers(), stats.busy_workers(), stats.tasks_waiting()), (1, 0, 0));
    assert_eq!((stats.workers_started(), stats.workers_lost(), stats.tasks_finished()), (0, 0, 105));
}

#[poolmap::test]
fn a_lazy_map_runs_what_is_pulled_and_a_failed_one_nothing_behind_its_failure() {
    let _guard = common::guard();
    let pool = in_process();
    RUN.store(0, Ordering::SeqCst);
    let mut counts = pool_iter!(in &pool, count, 0..).unwrap();
    assert_eq!((counts.next().unwrap().unwrap(), counts.next().unwrap().unwrap()), (0, 1));
    drop(counts);
    assert_eq!(RUN.load(Ordering::SeqCst), 2);
    let error = pool_map!(in &pool, fail_at, 0..100; chunk_size = 50).unwrap_err();
    assert_eq!((error.task().unwrap().index(), RUN.load(Ordering::SeqCst)), (3, 6));
}

#[worker]
fn fail_at(task: u32) -> Result<u32, String> {
    RUN.fetch_add(1, Ordering::SeqCst);
    if task == 3 { Err("three".to_owned()) } else { Ok(task) }
}

/// Runs the program that never calls `init()`, with this value of the variable.
fn program(what: &str, variable: Option<&str>) -> String {
    let mut command = common::program(env!("CARGO_BIN_EXE_in_process"));
    command.arg(what).env_remove("POOLMAP_IN_PROCESS");
    if let Some(value) = variable {
        command.env("POOLMAP_IN_PROCESS", value);
    }
    let output = common::run(&mut command);
    assert!(output.status.success(), "{output:?}");
    common::text(&output.stdout)
}

#[poolmap::test]
fn the_variable_says_it_for_every_pool_of_a_program() {
    let _guard = common::guard();
    assert_eq!(program("map", Some("1")), "[2, 4, 6]\n");
    for off in [None, Some("0")] {
        assert!(program("map", off).starts_with("other: poolmap was not initialized"), "{}", program("map", off));
    }
    let wrong = program("map", Some("yes"));
    assert!(wrong.starts_with("invalid option: the environment variable POOLMAP_IN_PROCESS must be 1"), "{wrong}");
    for (what, option) in [("option", "`memory_limit`"), ("timeout", "`timeout`"), ("process", "a Process")] {
        let named = program(what, Some("1"));
        assert!(named.starts_with(&format!("invalid option: {option} needs a")), "{named}");
        assert!(named.contains("POOLMAP_IN_PROCESS=1 allows none"), "{named}");
    }
}

#[poolmap::test]
fn the_panic_of_a_task_is_its_error_and_the_hook_of_the_program_gets_the_others() {
    let _guard = common::guard();
    let shown = program("panic", Some("1"));
    let (hooked, error) = shown.split_once('\n').unwrap();
    assert_eq!(hooked, "hooked: not in a task");
    assert!(error.contains("task 1 of `in_process::check` (x: 2) panicked at tests/bin/in_process.rs:7:5"), "{error}");
}

#[worker]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

#[poolmap::test]
fn a_deadline_ends_the_call_between_two_tasks() {
    let _guard = common::guard();
    let pool = in_process();
    let started = Instant::now();
    let millis = std::iter::once(1500).chain(std::iter::repeat_n(60_000, 999));
    let outcomes = pool_try_map!(in &pool, sleep, millis; deadline = Duration::from_secs(1)).unwrap();
    assert!(started.elapsed() < common::SOON);
    assert_eq!(outcomes[0].as_ref().unwrap(), &1500);
    let is_late = |error: &TaskErrorKind| matches!(error, TaskErrorKind::TimedOut { .. });
    assert!(outcomes[1..].iter().all(|outcome| outcome.as_ref().is_err_and(|error| is_late(error.kind()))));
}

#[poolmap::test]
fn an_option_that_needs_a_process_is_named() {
    let _guard = common::guard();
    let named = |option: &str, error: poolmap::Error| {
        let text = error.to_string();
        assert!(error.is_invalid_option() && text.contains(&format!("`{option}` needs a worker process")), "{text}");
        assert!(text.contains("in_process()"), "{text}");
    };
    let build = || Pool::builder().in_process();
    let second = Duration::from_secs(1);
    named("memory_limit", build().memory_limit(1 << 30).build().unwrap_err());
    named("stack_bytes", build().stack_bytes(1 << 20).build().unwrap_err());
    named("output", build().output(Output::Captured).build().unwrap_err());
    named("initializer_timeout", build().initializer_timeout(second).build().unwrap_err());
    named("finalizer_timeout", build().finalizer_timeout(second).build().unwrap_err());
    named("env", build().env("A", "b").build().unwrap_err());
    named("env", build().env_clear().build().unwrap_err());
    named("current_dir", build().current_dir("/").build().unwrap_err());
    named("env_for_each", build().env_for_each(|_| [("A", "b")]).build().unwrap_err());
    named("threads_per_worker", build().threads_per_worker(2).build().unwrap_err());
    named("affinity", build().affinity(poolmap::Affinity::OneCore).build().unwrap_err());
    named("nice", build().nice(1).build().unwrap_err());
    named("name", build().name("a").build().unwrap_err());
    named("program", build().program("/bin/true").build().unwrap_err());
    named("start_method", build().start_method(poolmap::StartMethod::ForkServer).build().unwrap_err());
    named("preload", build().preload(square { x: 1 }).build().unwrap_err());
    let pool = build()
        .max_waiting(1)
        .workers(3)
        .max_tasks_per_worker(1)
        .idle_timeout(second)
        .max_age_per_worker(second)
        .build();
    let pool = pool.unwrap();
    named("timeout", pool_map!(in &pool, square, 0..3; timeout = second).unwrap_err());
    named("timeout", pool.call(square { x: 1 }).timeout(second).submit().unwrap_err());
    // Elsewhere no pool has it.
    if common::has_shared_memory() {
        named("cpu_limit", pool_map!(in &pool, square, 0..3; cpu_limit = second).unwrap_err());
        named("cpu_limit", pool.call(square { x: 1 }).cpu_limit(second).apply().unwrap_err());
    }
    assert_eq!(pool_map!(in &pool, square, 0..3; attempts = 2, finish_running).unwrap(), [0, 1, 4]);
    assert!(build().workers(0).build().unwrap_err().is_invalid_option());
}

static INITIALIZED: AtomicU32 = AtomicU32::new(0);

#[worker]
fn initialize(fails: bool) -> Result<(), String> {
    INITIALIZED.fetch_add(1, Ordering::SeqCst);
    if fails { Err("no model here".to_owned()) } else { Ok(()) }
}

#[worker]
fn initialized() -> u32 {
    INITIALIZED.load(Ordering::SeqCst)
}

#[poolmap::test]
fn the_initializer_runs_once_and_the_finalizer_with_a_join() {
    let _guard = common::guard();
    INITIALIZED.store(0, Ordering::SeqCst);
    let build = |fails| Pool::builder().in_process().initializer(initialize { fails }).finalizer(initialized {});
    let pool = build(false).build().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(pool.apply(initialized {}).unwrap(), 1));
        }
    });
    pool.ready().unwrap();
    pool.join().unwrap();
    pool.join().unwrap();
    let results = pool.finalizer_results::<initialized>().unwrap();
    assert!(matches!(&results[..], [Ok(1)]), "{results:?}");
    assert!(pool.apply(initialized {}).unwrap_err().is_closed());

    let failing = build(true).build().unwrap();
    for error in [failing.ready().unwrap_err(), failing.submit(initialized {}).unwrap().join().unwrap_err()] {
        assert!(error.is_start_failure() && error.to_string().ends_with("no model here"), "{error}");
    }
    failing.join().unwrap();
    assert_eq!(failing.finalizer_results::<initialized>().unwrap().len(), 0);
}

#[poolmap::test]
fn a_pool_ends_for_the_maps_of_other_threads_too() {
    let _guard = common::guard();
    let pool = in_process();
    let mut lazy = pool_iter!(in &pool, square, 0..).unwrap();
    assert_eq!(lazy.next().unwrap().unwrap(), 0);
    let submitted = pool.submit(square { x: 3 }).unwrap();
    pool.close();
    assert!(pool.submit(square { x: 4 }).unwrap_err().is_closed());
    pool.join().unwrap();
    assert!(lazy.find_map(Result::err).unwrap().is_closed());
    assert_eq!(submitted.join().unwrap(), 9);

    let pool = in_process();
    std::thread::scope(|scope| {
        let endless = scope.spawn(|| pool_for_each!(in &pool, sleep, std::iter::repeat_n(1, usize::MAX / 2)));
        common::wait_until("the map runs", || pool.stats().tasks_finished() > 3);
        pool.terminate();
        assert!(endless.join().unwrap().unwrap_err().is_closed());
    });
    assert_eq!(pool.stats().workers(), 0);
}

#[poolmap::test]
fn a_submitted_call_is_done_when_it_was_submitted() {
    let _guard = common::guard();
    let pool = in_process();
    RUN.store(0, Ordering::SeqCst);
    let mut handle = pool.submit(count { task: 5 }).unwrap();
    assert_eq!(RUN.load(Ordering::SeqCst), 1);
    assert!(handle.is_finished() && !handle.cancel() && !handle.abort());
    assert_eq!(handle.worker(), None);
    assert_eq!(handle.join_timeout(Duration::ZERO).unwrap(), Some(5));
    let (sender, receiver) = std::sync::mpsc::channel();
    pool.submit(count { task: 6 }).unwrap().on_done(move |output| sender.send(output.unwrap()).unwrap());
    assert_eq!(receiver.try_recv(), Ok(6));
    assert_eq!(pool.call(count { task: 7 }).attempts(2).apply().unwrap(), 7);
}

#[worker]
fn count_in_state(#[state] count: &mut u32, nests: bool) -> u32 {
    *count += 1;
    if nests {
        let of_inner = pool_map!(count_in_state, [false, false]).unwrap();
        assert_eq!(of_inner, [1, 2]);
    }
    *count
}

#[poolmap::test]
fn states_are_those_of_one_pool() {
    let _guard = common::guard();
    let (first, second) = (in_process(), in_process());
    assert_eq!(pool_map!(in &first, count_in_state, [false, false]).unwrap(), [1, 2]);
    assert_eq!(pool_map!(in &second, count_in_state, [false, true]).unwrap(), [1, 2]);
    assert_eq!(pool_map!(in &first, count_in_state, [false]).unwrap(), [3]);
}

#[poolmap::test]
fn a_stream_runs_its_tasks_where_it_is_polled() {
    let _guard = common::guard();
    let pool = in_process();
    let stream = poolmap::pool_stream!(in &pool, square, 0..100).unwrap();
    let squares: Result<Vec<u64>, _> = futures_lite::future::block_on(futures_lite::StreamExt::try_collect(stream));
    assert_eq!(squares.unwrap(), (0..100).map(|x| x * x).collect::<Vec<_>>());
    // What waits for its next execution is polled again at that moment.
    let again = poolmap::pool_stream!(in &pool, fail_before, [1, 3]; retry_errors = 3).unwrap();
    let attempts: Result<Vec<u32>, _> = futures_lite::future::block_on(futures_lite::StreamExt::try_collect(again));
    assert_eq!(attempts.unwrap(), [1, 3]);
}

#[poolmap::test]
fn a_submitted_call_is_executed_again_and_its_deadline_holds_between_executions() {
    let _guard = common::guard();
    let pool = in_process();
    assert_eq!(pool.call(fail_before { attempt: 2 }).retry_errors(2).apply().unwrap(), 2);
    let failed = pool.call(fail_before { attempt: 3 }).retry_errors(1).submit().unwrap().join().unwrap_err();
    assert_eq!(failed.task().unwrap().causes().count(), 2);
    let late = pool.call(fail_before { attempt: 9 }).retry_errors(8).deadline(Duration::from_millis(20)).apply();
    let late = late.unwrap_err();
    assert!(late.is_deadline() && matches!(late.task().unwrap().kind(), TaskErrorKind::TimedOut { .. }), "{late:#}");
}
