//! The process that follows a worker, which a fork server makes ahead.

#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};

use common::{children, has_fork_server, is_alive, kill, stop, wait_until};
use poolmap::{Builder, Pool, StartMethod, TaskHandle, pool_map, worker};

fn builder(workers: usize) -> Builder {
    Pool::builder().workers(workers).start_method(StartMethod::ForkServer).max_tasks_per_worker(1)
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

/// A pool of one worker that runs a task, and the process that is to follow the worker.
struct AtWork {
    pool: Pool,
    task: TaskHandle<u32>,
    server: u32,
    standby: u32,
    /// The task ends once this file is there.
    file: PathBuf,
}

impl AtWork {
    fn start(builder: Builder, folder: &Path) -> Self {
        let pool = builder.build().unwrap();
        pool.ready().unwrap();
        let servers = others(&pool);
        let [server] = servers[..] else { panic!("one server and no more: {servers:?}") };
        let file = folder.join(format!("end of {server}"));
        let task = pool.submit(pid_when { file: file.clone() }).unwrap();
        // Before that another worker might be given it.
        wait_until("the task has begun", || begun(&file).exists());
        let mut standby = None;
        wait_until("a process is there that is to follow", || {
            // The supervisor makes it when it looks at the pool, for which this wakes it.
            pool.resize(1).unwrap();
            standby = others(&pool).into_iter().find(|&other| other != server);
            standby.is_some()
        });
        Self { pool, task, server, standby: standby.unwrap(), file }
    }

    /// Lets the task end; returns the pool, and the process that ran the task.
    fn end_task(self) -> (Pool, u32) {
        File::create(&self.file).unwrap();
        (self.pool, self.task.join().unwrap())
    }
}

#[poolmap::test]
fn it_takes_the_place_and_runs_nothing_before() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let initialized = builder(1).initializer(note_process { folder: folder.path().to_owned() });
    let at_work = AtWork::start(initialized, folder.path());
    let standby = at_work.standby;
    let note = |pid: u32| folder.path().join(pid.to_string());
    // An initializer that did not wait for the worker before would have ended in this time.
    for _ in 0..20 {
        assert!(!note(standby).exists() && at_work.pool.workers()[0].pid() != standby);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let (pool, first) = at_work.end_task();
    assert!(note(first).exists());
    assert_eq!(pool.apply(pid { _task: 0 }).unwrap(), standby);
    assert!(note(standby).exists());
    assert_eq!(pool.stats().workers_lost(), 0);
}

#[poolmap::test]
fn it_ends_with_the_pool_however_that_ends() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for end in ["terminate", "join"] {
        let at_work = AtWork::start(builder(1), folder.path());
        if end == "join" {
            File::create(&at_work.file).unwrap();
            at_work.pool.join().unwrap();
            at_work.task.join().unwrap();
        } else {
            at_work.pool.terminate();
        }
        assert_eq!(children(std::process::id()), [0u32; 0], "{end}");
    }
}

#[poolmap::test]
fn it_ends_where_the_pool_becomes_smaller() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at_work = AtWork::start(builder(1), folder.path());
    let (server, standby) = (at_work.server, at_work.standby);
    at_work.pool.resize(2).unwrap();
    at_work.pool.ready().unwrap();
    let second = at_work.pool.workers()[1].pid();
    let file = folder.path().join("second");
    let task = at_work.pool.submit(pid_when { file: file.clone() }).unwrap();
    wait_until("the second has begun", || begun(&file).exists());
    // The first has another process then and nothing to do, so that one is made to follow the second, also where there is one CPU.
    let (pool, _) = at_work.end_task();
    let other = || others(&pool).into_iter().find(|&other| other != server);
    wait_until("the second has one that is to follow", || {
        pool.resize(2).unwrap();
        pool.workers()[0].pid() == standby && other().is_some()
    });
    pool.resize(1).unwrap();
    wait_until("it has ended", || other().is_none());
    assert!(is_alive(second));
    File::create(&file).unwrap();
    assert_eq!(task.join().unwrap(), second);
    wait_until("the second has ended", || !is_alive(second));
    pool.terminate();
    assert_eq!(children(std::process::id()), [0u32; 0]);
}

#[poolmap::test]
fn what_kills_it_costs_no_task() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at_work = AtWork::start(builder(1), folder.path());
    let standby = at_work.standby;
    kill(standby, "KILL");
    let (pool, _) = at_work.end_task();
    let mut pids = pool_map!(in &pool, pid, 0..50).unwrap();
    assert!(!pids.contains(&standby));
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 50);
}

#[poolmap::test]
fn it_needs_no_server_any_more() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at_work = AtWork::start(builder(1), folder.path());
    let (server, standby) = (at_work.server, at_work.standby);
    stop(server);
    let (pool, _) = at_work.end_task();
    assert_eq!(pool.apply(pid { _task: 0 }).unwrap(), standby);
    kill(server, "KILL");
    let pids = pool_map!(in &pool, pid, 0..20).unwrap();
    assert!(!pids.contains(&standby));
}

#[poolmap::test]
fn a_pool_is_ready_again_when_it_has_taken_the_place() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let pool = builder(2).build().unwrap();
    for _ in 0..100 {
        pool_map!(in &pool, pid, 0..2).unwrap();
        pool.ready().unwrap();
    }
}
