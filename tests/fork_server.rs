//! Pools whose workers are copies of a fork server.

#![cfg(target_os = "linux")]

mod common;

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use common::{Killed, children, has_fork_server, is_alive, kill, stop, wait_until};
use poolmap::{
    Builder, Output, Pool, SharedSlice, StartMethod, TaskErrorKind, current_worker, pool_map, pool_map_captured,
    pool_try_map, worker,
};

static LOADED: OnceLock<(String, u32)> = OnceLock::new();

/// Leaves a text for the workers, which may be a failure.
#[worker]
fn load(text: String) -> Result<(), String> {
    match text.as_str() {
        "fails" => return Err("no model".to_owned()),
        "panics" => panic!("a broken model"),
        "exits" => std::process::exit(7),
        "aborts" => std::process::abort(),
        "prints" => print!("half a line of the server"),
        "hangs" => std::thread::sleep(Duration::from_secs(3600)),
        "leaves a thread" => {
            let thread = std::thread::Builder::new().name("left-behind".to_owned());
            thread.spawn(|| std::thread::sleep(Duration::from_secs(3600))).expect("a thread starts");
        }
        "joins threads" => {
            std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(std::process::id))));
        }
        _ => {}
    }
    LOADED.set((text, std::process::id())).map_err(|_| "it is loaded once".to_owned())
}

/// The text with a suffix, and the processes that it was loaded by and is asked in.
#[worker]
fn loaded(suffix: &str) -> (String, u32, u32) {
    let (text, pid) = LOADED.get().expect("it was loaded before");
    (format!("{text}{suffix}"), *pid, std::process::id())
}

fn builder(workers: usize) -> Builder {
    Pool::builder().workers(workers).start_method(StartMethod::ForkServer)
}

fn preloaded(workers: usize, text: &str) -> Pool {
    builder(workers).preload(load { text: text.to_owned() }).build().unwrap()
}

/// The process that has loaded what the workers of a pool have.
fn server(pool: &Pool) -> u32 {
    pool.apply(loaded { suffix: String::new() }).unwrap().1
}

#[poolmap::test]
fn workers_have_what_was_preloaded_once() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let pool = preloaded(3, "joins threads");
    pool.ready().unwrap();
    let outputs = pool_map!(in &pool, loaded, ["!"; 300]; chunk_size = 1).unwrap();
    let servers: BTreeSet<u32> = outputs.iter().map(|(_, server, _)| *server).collect();
    assert_eq!(servers.len(), 1);
    assert!(outputs.iter().all(|(text, server, own)| text == "joins threads!" && server != own));
    let own: BTreeSet<u32> = outputs.iter().map(|(_, _, own)| *own).collect();
    let workers: BTreeSet<u32> = pool.workers().iter().map(|worker| worker.pid()).collect();
    assert!(own.is_subset(&workers) && !workers.contains(servers.first().unwrap()));
    assert_eq!(children(std::process::id()).len(), 4, "three workers and the server are children of the program");
}

#[worker]
fn pid(_task: u32) -> u32 {
    std::process::id()
}

#[poolmap::test]
fn each_task_has_a_process_of_its_own() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let pool = builder(2).max_tasks_per_worker(1).build().unwrap();
    let pids: BTreeSet<u32> = pool_map!(in &pool, pid, 0..200).unwrap().into_iter().collect();
    assert_eq!(pids.len(), 200);
    assert!(pool.stats().workers_lost() == 0);
}

#[poolmap::test]
fn a_preload_that_fails_is_the_error_of_those_who_wait() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let cases = [
        ("fails", "failed: no model"),
        ("panics", "panicked: a broken model"),
        ("exits", "exited with code 7"),
        ("aborts", "signal 6"),
        ("leaves a thread", "left-behind"),
    ];
    for (text, part) in cases {
        let pool = preloaded(2, text);
        for error in [pool.ready().unwrap_err(), pool_map!(in &pool, pid, 0..3).unwrap_err()] {
            let said = format!("{error:#}");
            assert!(error.is_start_failure() && said.contains(part) && said.contains("fork server"), "{text}: {said}");
        }
        assert!(pool.workers().is_empty());
    }
    let slow = builder(1).preload(load { text: "hangs".into() }).preload_timeout(Duration::from_millis(50));
    let said = slow.build().unwrap().ready().unwrap_err().to_string();
    assert!(said.contains("`fork_server::load` timed out after 50ms"), "{said}");
}

#[poolmap::test]
fn what_the_server_has_printed_is_in_no_buffer_of_a_worker() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let builder = builder(2).output(Output::Captured).max_tasks_per_worker(2);
    let pool = builder.preload(load { text: "prints".into() }).build().unwrap();
    for captured in pool_map_captured!(in &pool, talk, 0..10).unwrap() {
        let task = captured.outcome.unwrap();
        assert_eq!(captured.stdout, format!("task {task}\n"));
    }
}

#[worker]
fn talk(task: u32) -> u32 {
    println!("task {task}");
    task
}

#[poolmap::test]
fn a_pool_can_be_dropped_while_it_preloads() {
    let _guard = common::guard();
    if has_fork_server() {
        drop(preloaded(2, "hangs"));
    }
}

#[worker]
fn risky(x: u32) -> u32 {
    if x % 10 == 3 { std::process::abort() } else { x }
}

#[poolmap::test]
fn a_crash_costs_its_task_and_the_next_worker_has_what_was_preloaded() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let pool = preloaded(2, "a");
    let before = server(&pool);
    let outcomes = pool_try_map!(in &pool, risky, 0..50).unwrap();
    for (x, outcome) in (0..50).zip(outcomes) {
        match outcome {
            Ok(output) => assert!(output == x && x % 10 != 3),
            Err(error) => {
                assert!(x % 10 == 3 && matches!(error.kind(), TaskErrorKind::Crashed { signal: Some(6), .. }));
            }
        }
    }
    assert_eq!(server(&pool), before);
}

#[poolmap::test]
fn the_death_of_the_server_costs_no_task_and_another_preloads() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let pool = preloaded(2, "a");
    pool.ready().unwrap();
    let first = server(&pool);
    let workers: BTreeSet<u32> = pool.workers().iter().map(|worker| worker.pid()).collect();
    kill(first, "KILL");
    wait_until("the server is gone", || !is_alive(first));
    let own: BTreeSet<u32> = pool_map!(in &pool, pid, 0..100).unwrap().into_iter().collect();
    assert!(own.is_subset(&workers), "the workers outlive their server");
    let outcomes = pool_try_map!(in &pool, risky, [3, 3, 3]).unwrap();
    assert!(outcomes.iter().all(Result::is_err));
    pool.ready().unwrap();
    let pids = pool_map!(in &pool, loaded, [""; 100]; chunk_size = 1).unwrap();
    assert!(
        pids.iter().any(|(_, server, _)| *server != first),
        "the workers that died were replaced by another's copies"
    );
}

/// Facts of a worker: what differs between copies, and what is the same.
#[worker]
fn facts() -> (u64, u64, u32, bool, bool) {
    let map = HashMap::<u8, u8>::new();
    let keys = map.hasher().hash_one(7);
    let info = current_worker().expect("it is a worker");
    let (thread, group) = (nix::unistd::gettid().as_raw(), nix::unistd::getpgrp().as_raw());
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    std::thread::sleep(Duration::from_millis(20));
    // Its first thread is a copy of the server's thread for tasks.
    let is_own_group = group.cast_unsigned() == std::process::id() && thread.cast_unsigned() == std::process::id();
    (keys, info.index() as u64, info.parent_pid(), is_own_group, comm.trim() == format!("copies {}", info.index()))
}

/// The name that the system shows for this process, the name of its thread for tasks, and whether that thread's stack is as large.
#[worker]
fn names_and_stack(bytes: usize) -> (String, Option<String>, bool) {
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    (comm.trim().to_owned(), std::thread::current().name().map(str::to_owned), deep(bytes / 4096) > 0)
}

/// Takes a KiB of stack and more for each.
fn deep(kibibytes: usize) -> usize {
    let room = std::hint::black_box([1u8; 1024]);
    if kibibytes == 0 { 1 } else { deep(kibibytes - 1) + usize::from(room[kibibytes % 1024]) }
}

#[poolmap::test]
fn a_copy_has_the_name_of_the_program_and_a_stack_of_the_size_that_was_asked_for() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let bytes = 64 << 20;
    let pool = builder(1).stack_bytes(bytes).build().unwrap();
    let (comm, thread, is_deep) = pool.apply(names_and_stack { bytes }).unwrap();
    let program = std::env::current_exe().unwrap();
    let program = program.file_name().unwrap().to_string_lossy().into_owned();
    assert!(program.starts_with(&comm) && comm.len() == program.len().min(15), "{comm} for {program}");
    assert_eq!(thread.as_deref(), Some("poolmap-task"));
    assert!(is_deep);
}

/// Changes the user to the one that it is.
#[allow(unsafe_code, reason = "there is no other way to change it")]
#[worker]
fn user() -> i32 {
    // SAFETY: both calls take and return numbers. The C library makes the second on all of its threads: that its list of these is right
    // shows here.
    unsafe { nix::libc::setuid(nix::libc::getuid()) }
}

#[poolmap::test]
fn a_task_in_a_copy_can_change_the_user_of_all_threads() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let pool = builder(1).build().unwrap();
    assert_eq!(pool.apply(user {}).unwrap(), 0);
    assert_eq!(pool.apply(user {}).unwrap(), 0);
}

#[worker]
fn variable(name: &str) -> Option<String> {
    std::thread::sleep(Duration::from_millis(20));
    std::env::var(name).ok()
}

/// The nice value of the calling thread: proc_pid_stat(5), field 19.
fn own_nice() -> i32 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("the system has it");
    let (_, fields) = stat.rsplit_once(") ").expect("the name is in parentheses");
    fields.split(' ').nth(16).and_then(|nice| nice.parse().ok()).expect("it is a number")
}

#[worker]
fn nice_and_cpus(_task: u32) -> (i32, usize) {
    (own_nice(), std::thread::available_parallelism().map_or(0, usize::from))
}

#[poolmap::test]
fn each_copy_is_a_worker_of_its_own() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let pool = builder(2)
        .name("copies")
        .env("COMMON", "c")
        .env_for_each(|worker| [("OWN", worker.to_string())])
        .affinity(poolmap::Affinity::OneCore)
        .nice(3)
        .build()
        .unwrap();
    pool.ready().unwrap();
    let mut seen = pool.run_on_all(facts {}).unwrap();
    seen.sort_by_key(|facts| facts.1);
    assert!(seen[0].0 != seen[1].0, "the keys of hash maps differ");
    for (index, (_, own, parent, is_own_group, is_named)) in seen.into_iter().enumerate() {
        assert_eq!((own, parent), (index as u64, std::process::id()));
        assert!(is_own_group && is_named, "worker {index}");
    }
    let own: Vec<_> = pool.run_on_all(variable { name: "OWN".into() }).unwrap().into_iter().flatten().collect();
    assert_eq!(own, ["0", "1"]);
    assert_eq!(pool.apply(variable { name: "COMMON".into() }).unwrap().as_deref(), Some("c"));
    assert_eq!(pool.apply(nice_and_cpus { _task: 0 }).unwrap(), (own_nice() + 3, 1));
}

#[worker]
fn zeros(length: usize) -> usize {
    vec![1u8; length].iter().map(|&byte| usize::from(byte)).sum()
}

static HELD: OnceLock<Vec<u8>> = OnceLock::new();

#[worker]
fn hold(length: usize) {
    HELD.set(vec![1; length]).expect("it is held once");
}

#[poolmap::test]
fn what_the_server_holds_does_not_count_for_the_memory_limit() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let limit = 64 << 20;
    let pool = builder(1).preload(hold { length: 200 << 20 }).memory_limit(limit).build().unwrap();
    let outcomes = pool_try_map!(in &pool, zeros, [1 << 20, 128 << 20, 1 << 20]).unwrap();
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    let error = outcomes[1].as_ref().unwrap_err();
    assert!(matches!(error.kind(), TaskErrorKind::MemoryLimit { limit: 67_108_864, .. }), "{error:#}");
}

#[poolmap::test]
fn what_the_server_holds_does_not_make_a_worker_too_large() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let pool = builder(1).preload(hold { length: 200 << 20 }).max_memory_per_worker(100 << 20).build().unwrap();
    let first = pool.apply(pid { _task: 0 }).unwrap();
    // The memory of workers is measured every 100 ms.
    let pids = pool_map!(in &pool, slow_pid, 0..20).unwrap();
    assert_eq!(pids, [first; 20]);
}

#[worker]
fn slow_pid(_task: u32) -> u32 {
    std::thread::sleep(Duration::from_millis(30));
    std::process::id()
}

static NUMBERS: OnceLock<SharedSlice<f64>> = OnceLock::new();

#[worker]
fn keep(numbers: SharedSlice<f64>) {
    assert!(NUMBERS.set(numbers).is_ok());
}

#[worker]
fn number(place: usize) -> f64 {
    NUMBERS.get().expect("it was kept before")[place]
}

#[poolmap::test]
fn a_shared_slice_that_the_server_keeps_is_in_its_workers() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let numbers: SharedSlice<f64> = (0..100_000).map(f64::from).collect();
    let pool = builder(2).preload(keep { numbers: numbers.clone() }).max_tasks_per_worker(3).build().unwrap();
    assert_eq!(
        pool_map!(in &pool, number, (0..10).map(|place| place * 10_000)).unwrap(),
        [0.0, 1e4, 2e4, 3e4, 4e4, 5e4, 6e4, 7e4, 8e4, 9e4]
    );
}

#[poolmap::test]
fn options_that_do_not_fit_are_refused() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let said = |builder: Builder| {
        let error = builder.build().unwrap_err();
        assert!(error.is_invalid_option());
        error.to_string()
    };
    let spawned = Pool::builder().start_method(StartMethod::Spawn).preload(hold { length: 1 });
    assert!(said(spawned).contains("`preload` needs `start_method(StartMethod::ForkServer)`"));
    assert!(said(builder(1).preload_timeout(Duration::ZERO)).contains("`preload_timeout` must be greater than zero"));
}

/// A stopped server holds back the next worker, and no more than that.
#[poolmap::test]
fn a_server_that_does_not_answer_is_replaced() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    let pool = preloaded(1, "a");
    let first = server(&pool);
    stop(first);
    assert!(pool_try_map!(in &pool, risky, [3]).unwrap()[0].is_err());
    let second = server(&pool);
    assert_ne!(first, second);
    wait_until("the stopped server is gone", || !is_alive(first));
}

/// The workers are the program's own children: they end with it, whatever has become of the server that made them.
#[test]
fn workers_are_gone_with_the_program_also_where_their_server_was_killed_before() {
    let _guard = common::guard();
    if !has_fork_server() {
        return;
    }
    for state in ["idle", "busy"] {
        for is_killed_before in [false, true] {
            let mut command = common::program(env!("CARGO_BIN_EXE_scenario"));
            command.args(["parent", state, "3"]).env("POOLMAP_START_METHOD", "fork_server");
            let mut parent = Killed(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
            let mut line = String::new();
            BufReader::new(parent.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let workers: Vec<u32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
            assert_eq!(workers.len(), 3);
            let mut servers = children(parent.0.id());
            servers.retain(|pid| !workers.contains(pid));
            assert_eq!(servers.len(), 1, "{state}");
            if is_killed_before {
                kill(servers[0], "KILL");
                wait_until("the server is gone", || !is_alive(servers[0]));
                assert!(workers.iter().all(|&pid| is_alive(pid)), "they outlive it");
            }
            let others = children(parent.0.id());
            parent.0.kill().unwrap();
            parent.0.wait().unwrap();
            let all: BTreeSet<u32> = workers.into_iter().chain(others).collect();
            wait_until("no process is left", || !all.iter().any(|&pid| is_alive(pid)));
        }
    }
}
