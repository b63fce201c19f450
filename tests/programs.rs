//! Pools whose workers run another program: this one calls `init()` nowhere. Its worker functions are those of a library alone.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use common::{SOON, program, run, text};
use poolmap::{Error, Pool, Process, SharedSlice, TaskErrorKind, pool_map, pool_reduce, pool_try_map};
use poolmap_suite_jobs::{abort, add, double, inner_program, parse, program as program_of_task, sum};

const WORKER: &str = env!("CARGO_BIN_EXE_worker_program");
const ONE_MORE: &str = env!("CARGO_BIN_EXE_worker_program_more");

fn pool_of(path: &str) -> Pool {
    Pool::builder().workers(2).program(path).build().unwrap()
}

/// The error of the first call on a pool of a program that cannot serve.
fn refusal(path: &str) -> String {
    let pool = Pool::builder().workers(1).startup_timeout(Duration::from_millis(500)).program(path).build();
    let error: Error = match pool {
        Ok(pool) => pool_map!(in &pool, double, [1]).unwrap_err(),
        Err(error) => error,
    };
    assert!(error.is_start_failure(), "{error}");
    assert!(error.to_string().contains(path), "{error}");
    error.to_string()
}

#[test]
fn a_pool_of_another_program_needs_no_init() {
    let _guard = common::guard();
    let pool = pool_of(WORKER);
    assert_eq!(pool_map!(in &pool, double, 0..1000).unwrap(), (0..1000).map(|x| 2 * x).collect::<Vec<u64>>());
    assert_eq!(pool_reduce!(in &pool, double, 1..=100; with = add, identity = 0).unwrap(), 10100);
    assert_eq!(pool.apply(double { x: 4 }).unwrap(), 8);
    let outcomes = pool_try_map!(in &pool, parse, ["7", "x"]).unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap(), &7);
    let TaskErrorKind::Failed(failed) = outcomes[1].as_ref().unwrap_err().kind() else {
        panic!("{outcomes:?}");
    };
    assert_eq!(failed.to_string(), "invalid digit found in string");
    if common::has_shared_memory() {
        let numbers: SharedSlice<u64> = (0..1000).collect();
        assert_eq!(pool.apply(sum { numbers: numbers.clone() }).unwrap(), 499_500);
    }
}

#[test]
fn a_crash_in_another_program_costs_its_task() {
    let _guard = common::guard();
    let pool = pool_of(WORKER);
    let outcomes = pool_try_map!(in &pool, abort, [1]).unwrap();
    assert!(
        matches!(outcomes[0].as_ref().unwrap_err().kind(), TaskErrorKind::Crashed { signal: Some(6), .. }),
        "{outcomes:?}"
    );
    assert_eq!(pool_map!(in &pool, double, [1, 2]).unwrap(), [2, 4]);
}

#[test]
fn a_process_that_the_system_does_not_start_is_counted_and_is_no_worker() {
    let _guard = common::guard();
    let folder = tempfile::tempdir_in(Path::new(WORKER).parent().unwrap()).unwrap();
    let program = folder.path().join("worker");
    std::fs::hard_link(WORKER, &program).unwrap();
    let pool = Pool::builder().workers(1).program(&program).build().unwrap();
    assert_eq!(pool.apply(double { x: 1 }).unwrap(), 2);
    std::fs::remove_file(&program).unwrap();
    common::kill(pool.workers()[0].pid(), "KILL");
    common::wait_until("no other can be started", || pool.stats().starts_refused() > 0);
    let stats = pool.stats();
    assert_eq!((stats.workers_started(), stats.workers_lost(), stats.tasks_failed()), (1, 1, 0));
}

#[test]
fn without_a_program_this_one_has_no_workers_and_is_told_of_the_option() {
    let _guard = common::guard();
    let error = Pool::new().unwrap_err();
    assert!(error.is_not_initialized() && error.to_string().contains("Pool::builder().program(path)"), "{error}");
    assert!(Process::new(double { x: 1 }).start().unwrap_err().is_not_initialized());
}

#[test]
fn the_global_pool_may_have_another_program() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).program(WORKER).build_global().unwrap();
    assert_eq!(pool_map!(double, [1, 2]).unwrap(), [2, 4]);
    assert_eq!(pool.stats().workers(), 2);
}

#[test]
fn a_process_of_another_program_gives_its_output() {
    let _guard = common::guard();
    for daemon in [false, true] {
        let mut process = Process::new(double { x: 4 }).program(WORKER).daemon(daemon).start().unwrap();
        assert_eq!(process.join().unwrap(), 8);
        assert!(process.exit_status().unwrap().success());
    }
    let error = Process::new(double { x: 4 }).program("/no/such/worker").start().unwrap_err();
    assert!(error.is_start_failure() && error.to_string().contains("/no/such/worker"), "{error}");
    let mut stranger = Process::new(double { x: 4 }).program(ONE_MORE).start().unwrap();
    let error = stranger.join().unwrap_err();
    assert!(error.is_start_failure() && error.to_string().contains("`worker_program_more::one_more`"), "{error}");
}

#[test]
fn the_program_has_its_own_name_as_its_one_argument() {
    let _guard = common::guard();
    let pool = pool_of(WORKER);
    assert_eq!(pool.apply(program_of_task {}).unwrap(), (vec![WORKER.to_owned()], WORKER.to_owned()));
}

#[test]
fn a_pool_inside_a_task_has_the_program_of_its_worker() {
    let _guard = common::guard();
    let pool = pool_of(WORKER);
    assert_eq!(pool.apply(inner_program {}).unwrap().1, WORKER);
}

#[test]
fn a_relative_path_counts_from_the_folder_at_the_build() {
    let _guard = common::guard();
    let before = std::env::current_dir().unwrap();
    let worker = Path::new(WORKER);
    std::env::set_current_dir(worker.parent().unwrap()).unwrap();
    let built = Pool::builder().workers(1).current_dir("/").program(worker.file_name().unwrap()).build();
    std::env::set_current_dir(before).unwrap();
    let pool = built.unwrap();
    let _ = pool_try_map!(in &pool, abort, [1]).unwrap();
    // Another worker has been started since.
    assert_eq!(pool.apply(program_of_task {}).unwrap().1, WORKER);
}

#[test]
fn a_file_that_is_no_program_is_an_error_of_the_build() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("worker");
    std::fs::write(&file, "neither a script nor a program").unwrap();
    let path = file.to_str().unwrap();
    let built = |path: &str| {
        let error = Pool::builder().workers(1).program(path).build().unwrap_err();
        assert!(error.is_start_failure() && error.to_string().contains(path), "{error}");
        error.to_string()
    };
    assert!(built("/no/such/worker").contains("No such file"));
    assert!(built(folder.path().to_str().unwrap()).contains("it is no regular file"));
    assert!(built("a\0b").contains("NUL byte"));
    assert!(built(path).contains("Permission denied"));
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    assert!(built(path).contains("could not run"));
}

#[test]
fn a_program_that_is_gone_is_an_error_of_the_next_call() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("worker");
    std::fs::copy(WORKER, &file).unwrap();
    let pool = Pool::builder().workers(1).program(&file).build().unwrap();
    assert_eq!(pool.apply(double { x: 1 }).unwrap(), 2);
    std::fs::remove_file(&file).unwrap();
    let _ = pool_try_map!(in &pool, abort, [1]);
    let error = pool.apply(double { x: 1 }).unwrap_err();
    assert!(error.is_start_failure() && error.to_string().contains(file.to_str().unwrap()), "{error}");
}

#[test]
fn a_program_with_one_function_more_is_refused_and_both_are_named() {
    let _guard = common::guard();
    let said = refusal(ONE_MORE);
    let own = std::env::current_exe().unwrap();
    assert!(said.contains(own.to_str().unwrap()), "{said}");
    assert!(said.contains("it has also `worker_program_more::one_more`: build both from one source"), "{said}");
    assert!(!said.contains("lacks"), "{said}");
}

#[test]
fn another_program_of_ours_is_refused_and_its_functions_are_named() {
    let _guard = common::guard();
    let said = refusal(env!("CARGO_BIN_EXE_scenario"));
    assert!(said.contains("it lacks `poolmap_suite_jobs::") && said.contains("it has also `scenario::"), "{said}");
}

#[test]
fn a_program_that_is_no_worker_is_refused() {
    let _guard = common::guard();
    let said = refusal("/bin/true");
    assert!(said.contains("exit code 0: it is the program /bin/true: look at what it printed"), "{said}");
    assert!(said.contains("let its `main` be poolmap::run_worker()"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sleeper");
    std::fs::write(&file, "#!/bin/sh\nexec sleep 100\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    assert!(refusal(file.to_str().unwrap()).contains("was not ready within 500ms"));
    let said = refusal(env!("CARGO_BIN_EXE_no_init"));
    assert!(said.contains("let its `main` be poolmap::run_worker()"), "{said}");
}

#[test]
fn a_worker_program_that_a_person_starts_says_what_it_is() {
    let _guard = common::guard();
    for parent in [None, Some("1 1 worker"), Some("something else")] {
        let mut command = program(WORKER);
        command.envs(parent.map(|parent| ("_POOLMAP_WORKER_OF", parent)));
        let output = common::run_within(SOON, &mut command);
        let said = text(&output.stderr);
        let (code, what) = match parent {
            Some("1 1 worker") => (70, "descriptor 3"),
            _ => (64, "is the program of a pool's workers, and a pool starts it"),
        };
        assert_eq!((output.status.code(), said.contains(what)), (Some(code), true), "{said}");
    }
    assert!(run(program(WORKER).arg("--help")).stdout.is_empty());
}
