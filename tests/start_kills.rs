//! Workers that are killed from outside while they start are started again, and what is finished is not lost to a start that fails.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{SOON, program, run, text};
use poolmap::{Pool, Process, TaskErrorKind, pool_iter, pool_iter_unordered, pool_map, pool_try_map, worker};

#[worker]
fn nap(x: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(1));
    x
}

/// Kills each worker of a pool as soon as it is seen, until so many were killed.
fn kill_each(pool: &Pool, count: usize) {
    let mut killed = BTreeSet::new();
    while killed.len() < count {
        for worker in pool.workers() {
            if killed.len() < count && killed.insert(worker.pid()) {
                // SIGHUP and SIGINT are ignored where the tests run in the background.
                common::kill(worker.pid(), ["KILL", "TERM"][killed.len() % 2]);
            }
        }
        std::thread::yield_now();
    }
}

#[poolmap::test]
fn workers_that_are_killed_while_they_start_cost_nothing() {
    let _guard = common::guard();
    for workers in [1, 2] {
        let pool = common::pool(workers);
        std::thread::scope(|scope| {
            let killer = scope.spawn(|| kill_each(&pool, 40));
            // The killer gets on as fast as workers are started, and as it is let run.
            while !killer.is_finished() {
                let outcomes = pool_try_map!(in &pool, nap, 0..300; attempts = 1000).unwrap();
                assert!(outcomes.iter().all(Result::is_ok), "{workers}");
                let more = pool_try_map!(in &pool, nap, 0..300; attempts = 1000, chunk_size = 1).unwrap();
                assert!(more.iter().all(Result::is_ok), "{workers}");
            }
        });
        pool.ready().unwrap();
        pool.resize(workers + 1).unwrap();
        pool.ready().unwrap();
    }
}

/// Fails, or ends its worker, unless the file is there; counts how often in a folder.
#[worker]
fn initialize(how: String, folder: &Path) -> Result<(), String> {
    let count = std::fs::read_dir(folder).map_or(0, Iterator::count);
    std::fs::write(folder.join(format!("start-{}", std::process::id())), "").map_err(|error| error.to_string())?;
    match &*how {
        "killed at first" if count < 12 => end_by("KILL"),
        "killed" => end_by("KILL"),
        "fails after the mark" if folder.join("mark").exists() => Err("the model is gone".into()),
        "aborts after the mark" if folder.join("mark").exists() => std::process::abort(),
        _ => Ok(()),
    }
}

fn end_by(signal: &str) -> Result<(), String> {
    common::kill(std::process::id(), signal);
    std::thread::sleep(SOON);
    Err("it was not ended".into())
}

#[poolmap::test]
fn an_initializer_that_is_killed_from_outside_is_run_again() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let call = initialize { how: "killed at first".into(), folder: folder.path().into() };
    let pool = Pool::builder().workers(2).initializer(call).build().unwrap();
    assert_eq!(pool_map!(in &pool, nap, 0..50).unwrap().len(), 50);
    pool.ready().unwrap();
}

#[poolmap::test]
fn an_initializer_that_is_killed_without_end_is_an_error() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let call = initialize { how: "killed".into(), folder: folder.path().into() };
    let pool = Pool::builder().workers(2).initializer(call).build().unwrap();
    let error = pool_map!(in &pool, nap, 0..50).unwrap_err();
    assert!(error.is_start_failure(), "{error}");
    let said = error.to_string();
    assert!(said.contains("SIGKILL") && said.contains("in a row") && !said.contains("init()"), "{said}");
    assert!(pool.ready().unwrap_err().is_start_failure());
}

#[test]
fn processes_that_are_killed_without_end_are_an_error_that_blames_no_init() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let output = run(program(env!("CARGO_BIN_EXE_late_init")).arg("killed").arg(folder.path().join("first")));
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
    assert!(stdout.starts_with("true worker ") && stdout.contains("killed by signal 9"), "{stdout}");
    assert!(stdout.contains("in a row") && !stdout.contains("init()"), "{stdout}");
}

/// Leaves a mark, after which no worker starts, and ends this one.
#[worker]
fn end_at(task: u64, at: u64, mark: &Path) -> u64 {
    if task == at {
        std::fs::write(mark, "").unwrap();
        std::process::abort();
    }
    task
}

fn failing(folder: &Path, how: &str) -> (Pool, PathBuf) {
    let call = initialize { how: how.into(), folder: folder.into() };
    let pool = Pool::builder().workers(1).initializer(call).build().unwrap();
    pool.ready().unwrap();
    (pool, folder.join("mark"))
}

#[poolmap::test]
fn results_that_are_there_outlive_a_start_that_fails() {
    let _guard = common::guard();
    for how in ["fails after the mark", "aborts after the mark"] {
        let folder = tempfile::tempdir().unwrap();
        let (pool, mark) = failing(folder.path(), how);
        let outcomes =
            pool_try_map!(in &pool, end_at, 0..100, std::iter::repeat(40), std::iter::repeat(&mark)).unwrap();
        assert_eq!(outcomes.len(), 100);
        for (task, outcome) in (0..).zip(&outcomes) {
            match outcome {
                Ok(output) => assert!(*output == task && task < 40, "{task}"),
                Err(error) if task == 40 => {
                    assert!(matches!(error.kind(), TaskErrorKind::Crashed { signal: Some(6), .. }), "{error}");
                }
                Err(error) => {
                    assert!(task > 40 && matches!(error.kind(), TaskErrorKind::NotStarted { .. }), "{error}");
                    assert!(error.to_string().contains("could not be initialized"), "{error}");
                    assert_eq!((error.attempts(), error.worker_pid()), (0, None));
                }
            }
        }
    }
}

#[poolmap::test]
fn iterators_give_what_is_there_before_a_start_that_fails() {
    let _guard = common::guard();
    for is_ordered in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (pool, mark) = failing(folder.path(), "fails after the mark");
        let (at, mark) = (std::iter::repeat(40), std::iter::repeat(mark));
        let results: Vec<Result<u64, poolmap::Error>> = if is_ordered {
            pool_iter!(in &pool, end_at, 0.., at, mark; window = 64).unwrap().collect()
        } else {
            let results = pool_iter_unordered!(in &pool, end_at, 0.., at, mark; window = 64).unwrap();
            results.map(|result| result.map(|(_, output)| output)).collect()
        };
        let outputs: BTreeSet<u64> = results.iter().filter_map(|result| result.as_ref().ok().copied()).collect();
        assert_eq!(outputs, (0..40).collect(), "{is_ordered}");
        let last = results.last().unwrap().as_ref().unwrap_err();
        assert!(last.is_start_failure() && last.task().is_none(), "{last}");
        let not_started = results.iter().filter_map(|result| result.as_ref().err()?.task());
        assert!(not_started.filter(|task| matches!(task.kind(), TaskErrorKind::NotStarted { .. })).count() < 64);
    }
}

#[poolmap::test]
fn a_map_that_stops_at_the_first_failure_says_that_no_worker_could_be_started() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let (pool, mark) = failing(folder.path(), "fails after the mark");
    // The task that ends its worker may be executed again, and there is none for it.
    let error = pool_map!(in &pool, end_at, 0..100, std::iter::repeat(40), std::iter::repeat(&mark); attempts = 2);
    assert!(error.as_ref().is_err_and(poolmap::Error::is_start_failure), "{error:?}");
    std::fs::remove_file(&mark).unwrap();
    assert_eq!(pool_map!(in &pool, nap, 0..3).unwrap(), [0, 1, 2], "the pool goes on");
}

#[poolmap::test]
fn a_process_that_is_killed_while_it_starts_is_a_crash() {
    let _guard = common::guard();
    for signal in [("KILL", 9), ("TERM", 15)] {
        for _ in 0..10 {
            let mut process = Process::new(end_at { task: 1, at: 0, mark: PathBuf::new() }).start().unwrap();
            common::kill(process.pid(), signal.0);
            // It may have been faster.
            if let Err(error) = process.join() {
                assert!(!error.is_start_failure() && !error.to_string().contains("init()"), "{error}");
                let kind = error.task().unwrap().kind();
                assert!(matches!(kind, TaskErrorKind::Crashed { signal: Some(by), .. } if *by == signal.1), "{error}");
            }
        }
    }
}
