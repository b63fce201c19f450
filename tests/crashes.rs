//! A worker's death costs the task that it was running.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use poolmap::{Pool, TaskError, TaskErrorKind, pool_iter, pool_map, pool_try_map, worker};

/// Dies in the way named.
#[worker]
fn die(way: &str, task: usize) -> usize {
    match way {
        "live" => {}
        "exit 0" => std::process::exit(0),
        "exit 3" => std::process::exit(3),
        "abort" => std::process::abort(),
        "segfault" => common::segfault(),
        "overflow" => {
            overflow(task);
        }
        "kill" => common::kill(std::process::id(), "KILL"),
        other => panic!("no way to die: {other}"),
    }
    task
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
#[inline(never)]
fn overflow(depth: usize) -> usize {
    let large = std::hint::black_box([depth; 1000]);
    overflow(depth.wrapping_add(large[1])).wrapping_add(large[2])
}

#[worker]
fn begin(path: &Path) {
    std::fs::write(path, "begun").unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

#[worker]
fn fail_once_begun(paths: Vec<PathBuf>) -> Result<(), String> {
    common::wait_until("the others begin", || paths.iter().all(|path| path.exists()));
    Err("it fails".into())
}

#[worker]
fn crash_or_begin(role: usize, paths: &[PathBuf]) -> Result<(), String> {
    if role == 0 {
        return fail_once_begun(paths[1..].to_vec());
    }
    begin(&paths[role]);
    Ok(())
}

#[worker]
fn pid(_task: usize) -> u32 {
    std::process::id()
}

fn crashed(outcome: &Result<usize, TaskError>) -> (Option<i32>, Option<i32>) {
    match outcome.as_ref().unwrap_err().kind() {
        TaskErrorKind::Crashed { signal, exit_code, .. } => (*signal, *exit_code),
        other => panic!("not Crashed: {other:?}"),
    }
}

#[poolmap::test]
fn every_way_to_die_costs_one_task_and_says_how() {
    let _guard = common::guard();
    let ways = [
        ("exit 0", (None, Some(0))),
        ("exit 3", (None, Some(3))),
        ("abort", (Some(6), None)),
        ("segfault", (Some(11), None)),
        ("overflow", (Some(6), None)),
        ("kill", (Some(9), None)),
    ];
    for workers in [1, 2] {
        let pool = Pool::builder().workers(workers).build().unwrap();
        for chunk_size in [1, 5, 20] {
            for (way, end) in ways {
                let all = (0..20).map(|task| if task == 7 { way } else { "live" });
                let outcomes = pool_try_map!(in &pool, die, all, 0..20; chunk_size = chunk_size).unwrap();
                for (task, outcome) in outcomes.iter().enumerate() {
                    if task == 7 {
                        assert_eq!(crashed(outcome), end, "{way}");
                        let error = outcome.as_ref().unwrap_err();
                        assert_eq!((error.index(), error.attempts()), (7, 1));
                    } else {
                        assert_eq!(outcome.as_ref().unwrap(), &task, "{way}");
                    }
                }
            }
        }
        common::wait_until("every seat is taken again", || pool.workers().len() == workers);
    }
}

#[poolmap::test]
fn many_crashes_in_one_map_are_many_errors_and_nothing_more() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let ways = (0..200).map(|task| if task % 10 == 3 { "segfault" } else { "live" });
    let outcomes: Vec<_> = pool_iter!(in &pool, die, ways, 0..200).unwrap().collect();
    for (task, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(value) => assert!(task % 10 != 3 && *value == task),
            Err(error) => assert!(task % 10 == 3 && error.task().unwrap().index() == task, "{error}"),
        }
    }
    assert_eq!(outcomes.len(), 200);
}

#[poolmap::test]
fn the_message_names_task_function_and_end() {
    let _guard = common::guard();
    let error = pool_map!(die, ["segfault"], [0]).unwrap_err();
    let pid = error.task().unwrap().worker_pid().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "task 0 of `crashes::die` (way: \"segfault\", task: 0) crashed: its worker was killed by signal 11 (SIGSEGV) (pid {pid}); it \
             read, wrote or ran address 0x8, which is not mapped"
        ),
    );
}

#[poolmap::test]
fn an_idle_worker_that_is_killed_is_replaced_and_costs_no_task() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    pool.ready().unwrap();
    for _ in 0..5 {
        let before: BTreeSet<u32> = pool.workers().iter().map(poolmap::WorkerInfo::pid).collect();
        let victim = *before.first().unwrap();
        common::kill(victim, "KILL");
        common::wait_until("the worker is replaced", || {
            let now: BTreeSet<u32> = pool.workers().iter().map(poolmap::WorkerInfo::pid).collect();
            now.len() == 2 && !now.contains(&victim)
        });
        assert_eq!(pool_map!(in &pool, die, ["live"; 10], 0..10).unwrap(), Vec::from_iter(0..10));
    }
}

#[poolmap::test]
fn a_map_that_fails_returns_at_once_and_kills_what_runs() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(3).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..3).map(|task| folder.path().join(task.to_string())).collect();
    pool.ready().unwrap();
    let before: BTreeSet<u32> = pool.workers().iter().map(poolmap::WorkerInfo::pid).collect();
    let error = pool_map!(in &pool, crash_or_begin, 0..3, std::iter::repeat(&paths); chunk_size = 1).unwrap_err();
    assert_eq!(error.task().unwrap().index(), 0);
    common::wait_until("the workers of the running tasks are replaced", || {
        let now: BTreeSet<u32> = pool.workers().iter().map(poolmap::WorkerInfo::pid).collect();
        now.len() == 3 && now.intersection(&before).count() <= 1
    });
    assert_eq!(pool_map!(in &pool, pid, 0..3).unwrap().len(), 3);
}

#[worker]
#[allow(clippy::zombie_processes, reason = "the worker dies before it could wait")]
fn start_a_child(path: &Path) {
    let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    std::fs::write(path, child.id().to_string()).unwrap();
    common::kill(std::process::id(), "KILL");
}

#[poolmap::test]
fn what_a_task_started_ends_with_its_worker() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("child");
    let error = pool_map!(start_a_child, [&path]).unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Crashed { signal: Some(9), .. }), "{error}");
    let child: u32 = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    common::wait_until("the grandchild is gone", || !common::is_alive(child));
}

#[worker]
fn close_every_descriptor(task: usize) -> usize {
    if task == 2 {
        for descriptor in 0..64 {
            // SAFETY: there is none for what owns them; the worker is to lose its channel.
            #[allow(unsafe_code, reason = "the fault is what the test is about")]
            unsafe {
                nix::libc::close(descriptor)
            };
        }
    }
    task
}

#[poolmap::test]
fn a_task_that_closes_every_descriptor_costs_itself_at_most() {
    let _guard = common::guard();
    let outcomes = pool_try_map!(close_every_descriptor, 0..5).unwrap();
    for (task, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(value) => assert_eq!(*value, task),
            Err(error) => assert!(task == 2 && matches!(error.kind(), TaskErrorKind::Crashed { .. }), "{error}"),
        }
    }
}
