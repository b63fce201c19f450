//! The process that follows a worker, which a fork server makes ahead.

#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};

use common::{children, is_alive, kill, wait_until};
use poolmap::{Builder, Pool, StartMethod, TaskHandle, pool_map, worker};

fn builder(workers: usize) -> Builder {
    Pool::builder().workers(workers).start_method(StartMethod::ForkServer).max_tasks_per_worker(1)
}

/// Whether the system makes such copies here.
fn is_here() -> bool {
    cfg!(all(target_env = "gnu", target_pointer_width = "64")) && option_env!("POOLMAP_PORTABLE").is_none()
}

/// The file that says that `pid_when` has begun.
fn begun(file: &Path) -> PathBuf {
    file.with_extension("begun")
}

/// Returns its process id, once the file is there.
#[worker]
fn pid_when(file: PathBuf) -> u32 {
    File::create(begun(&file)).expect("the folder can be written to");
    wait_until("the file is there", || file.exists());
    std::process::id()
}

#[worker]
fn pid(_task: u32) -> u32 {
    std::process::id()
}

/// Makes a file with the name of its process.
#[worker]
fn note_process(folder: PathBuf) {
    File::create(folder.join(std::process::id().to_string())).expect("the folder can be written to");
}

/// The processes that are no workers of the pool: the server, and those that are to follow.
fn others(pool: &Pool) -> Vec<u32> {
    let workers: Vec<u32> = pool.workers().iter().map(|worker| worker.pid()).collect();
    children(std::process::id()).into_iter().filter(|child| !workers.contains(child)).collect()
}

/// Has the worker of a pool run a task until there is a file; with the task, the server, and the process that is to follow the worker.
fn one_at_work(pool: &Pool, file: &Path) -> (TaskHandle<u32>, u32, u32) {
    pool.ready().unwrap();
    let servers = others(pool);
    let [server] = servers[..] else { panic!("one server and no more: {servers:?}") };
    let task = pool.submit(pid_when { file: file.to_owned() }).unwrap();
    // Before that another worker might be given it.
    wait_until("the task has begun", || begun(file).exists());
    let mut standby = None;
    wait_until("a process is there that is to follow", || {
        // It is made when the supervisor looks at the pool, for which this wakes it.
        pool.resize(1).unwrap();
        standby = others(pool).into_iter().find(|&other| other != server);
        standby.is_some()
    });
    (task, server, standby.unwrap())
}

#[poolmap::test]
fn it_takes_the_place_and_runs_nothing_before() {
    let _guard = common::guard();
    if !is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let pool = builder(1).initializer(note_process { folder: folder.path().to_owned() }).build().unwrap();
    let file = folder.path().join("go on");
    let (task, _, standby) = one_at_work(&pool, &file);
    let note = |pid: u32| folder.path().join(pid.to_string());
    // Long enough for an initializer of a process that needs no other to end.
    for _ in 0..20 {
        assert!(!note(standby).exists() && pool.workers()[0].pid() != standby);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    File::create(&file).unwrap();
    let first = task.join().unwrap();
    assert!(note(first).exists());
    assert_eq!(pool.apply(pid { _task: 0 }).unwrap(), standby);
    assert!(note(standby).exists());
    assert_eq!(pool.stats().workers_lost(), 0);
}

#[poolmap::test]
fn it_ends_with_the_pool_however_that_ends() {
    let _guard = common::guard();
    if !is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for end in ["terminate", "join", "shrink"] {
        let pool = builder(1).build().unwrap();
        let file = folder.path().join(end);
        let (task, server, standby) = one_at_work(&pool, &file);
        match end {
            "terminate" => pool.terminate(),
            "join" => {
                File::create(&file).unwrap();
                pool.join().unwrap();
                task.join().unwrap();
            }
            _ => {
                pool.resize(2).unwrap();
                pool.ready().unwrap();
                let second = pool.workers()[1].pid();
                // The second is given a task, and one to follow it; then there is one worker again.
                let other = folder.path().join("other");
                let task = pool.submit(pid_when { file: other.clone() }).unwrap();
                wait_until("it has begun", || begun(&other).exists());
                wait_until("both have one that is to follow", || {
                    pool.resize(2).unwrap();
                    others(&pool).len() == 3
                });
                pool.resize(1).unwrap();
                wait_until("one is there that is to follow", || others(&pool) == [server, standby]);
                File::create(&other).unwrap();
                File::create(&file).unwrap();
                assert_eq!(task.join().unwrap(), second);
                wait_until("the second has ended", || !is_alive(second));
                pool.terminate();
            }
        }
        assert_eq!(children(std::process::id()), [0u32; 0], "{end}");
    }
}

#[poolmap::test]
fn what_kills_it_costs_no_task() {
    let _guard = common::guard();
    if !is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("go on");
    let pool = builder(1).build().unwrap();
    let (task, _, standby) = one_at_work(&pool, &file);
    kill(standby, "KILL");
    File::create(&file).unwrap();
    task.join().unwrap();
    let mut pids = pool_map!(in &pool, pid, 0..50).unwrap();
    assert!(!pids.contains(&standby));
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 50);
}

#[poolmap::test]
fn it_needs_no_server_any_more() {
    let _guard = common::guard();
    if !is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("go on");
    let pool = builder(1).build().unwrap();
    let (task, server, standby) = one_at_work(&pool, &file);
    kill(server, "STOP");
    File::create(&file).unwrap();
    task.join().unwrap();
    assert_eq!(pool.apply(pid { _task: 0 }).unwrap(), standby);
    kill(server, "KILL");
    let pids = pool_map!(in &pool, pid, 0..20).unwrap();
    assert!(!pids.contains(&standby));
}

#[poolmap::test]
fn a_pool_is_ready_again_when_it_has_taken_the_place() {
    let _guard = common::guard();
    if !is_here() {
        return;
    }
    let pool = builder(2).build().unwrap();
    for _ in 0..100 {
        pool_map!(in &pool, pid, 0..2).unwrap();
        pool.ready().unwrap();
    }
}
