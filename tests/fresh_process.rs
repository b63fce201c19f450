//! A process for each task, and memory of its own for each worker: no task finds what another had or has.

#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, File};
use std::hint::black_box;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::secrets::{SECRET_BYTES, SECRETS, has_secret, secret};
use common::{has_shared_memory, shares_memory, wait_until};
use futures_lite::StreamExt;
use poolmap::{
    Builder, Mutex, Output, Pool, Result, SharedSlice, SharedSliceMut, TaskErrorKind, TaskHandle, WorkerFn,
    pool_iter_unordered, pool_map, pool_map_captured, pool_reduce, pool_stream, pool_try_map, shared, worker,
};

fn fresh(workers: usize) -> Builder {
    Pool::builder().workers(workers).fresh_process()
}

static CALLS: AtomicU32 = AtomicU32::new(0);

/// The process, which has run nothing before.
#[worker]
fn pid(_task: u64) -> u32 {
    assert_eq!(CALLS.fetch_add(1, Ordering::Relaxed), 0, "the process had run a task");
    std::process::id()
}

#[worker]
fn larger(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0.max(b.0), a.1 + b.1)
}

/// A count of the calls in this process, and 1.
#[worker]
fn calls_and_one(_task: u64) -> (u64, u64) {
    (u64::from(CALLS.fetch_add(1, Ordering::Relaxed)), 1)
}

#[poolmap::test]
fn each_task_has_a_process_of_its_own_whatever_it_is_called_by() {
    let _guard = common::guard();
    let pool = fresh(3).build().unwrap();
    let mut pids = pool_map!(in &pool, pid, 0..40).unwrap();
    pids.extend(pool_map!(in &pool, pid, 0..40; chunk_size = 8).unwrap());
    pids.extend(pool_iter_unordered!(in &pool, pid, 0..20).unwrap().map(|output| output.unwrap().1));
    let handles: Vec<_> = (0..20).map(|task| pool.submit(pid { _task: task }).unwrap()).collect();
    pids.extend(handles.into_iter().map(|handle| handle.join().unwrap()));
    let stream = pool_stream!(in &pool, pid, 0..20).unwrap();
    pids.extend(futures_lite::future::block_on(stream.map(Result::unwrap).collect::<Vec<u32>>()));
    let count = pids.len();
    pids.sort_unstable();
    pids.dedup();
    // The system may use a number again after some ten thousand.
    assert_eq!(pids.len(), count);
    let folded = pool_reduce!(in &pool, calls_and_one, 0..40; with = larger, identity = (0, 0)).unwrap();
    assert_eq!(folded, (0, 40));
    assert_eq!(pool.stats().workers_lost(), 0);
}

/// Fails in each process but one: which that is, a file says.
#[worker]
fn fails_twice(folder: PathBuf) -> std::result::Result<u32, String> {
    assert_eq!(CALLS.fetch_add(1, Ordering::Relaxed), 0, "the process had run a task");
    let before = fs::read_dir(&folder).unwrap().count();
    File::create_new(folder.join(std::process::id().to_string())).map_err(|error| error.to_string())?;
    if before < 2 { Err("again".to_owned()) } else { Ok(std::process::id()) }
}

#[poolmap::test]
fn an_execution_again_has_another_process() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let pool = fresh(2).build().unwrap();
    let outputs = pool_map!(in &pool, fails_twice, [folder.path().to_owned()]; retry_errors = 3).unwrap();
    assert!(outputs[0] > 0);
    assert_eq!(common::files(folder.path()).len(), 3);
}

#[worker]
fn ends(how: u32) -> u32 {
    match how % 4 {
        1 => std::process::abort(),
        2 => std::process::exit(3),
        3 => panic!("on purpose"),
        _ => {}
    }
    how
}

#[poolmap::test]
fn each_end_is_an_outcome_of_its_task_alone() {
    let _guard = common::guard();
    let pool = fresh(2).build().unwrap();
    let outcomes = pool_try_map!(in &pool, ends, 0..20).unwrap();
    for (how, outcome) in outcomes.iter().enumerate() {
        let is_right = match (how % 4, outcome.as_ref().map_err(|error| error.kind())) {
            (0, Ok(output)) => *output == how as u32,
            (1, Err(TaskErrorKind::Crashed { exit_code: None, .. })) => true,
            (2, Err(TaskErrorKind::Crashed { exit_code: Some(3), .. })) => true,
            (3, Err(TaskErrorKind::Panicked { .. })) => true,
            _ => false,
        };
        assert!(is_right, "{how}: {outcome:?}");
    }
    let limit = Duration::from_millis(100);
    let outcomes = pool_try_map!(in &pool, sleep, 0..4; timeout = limit).unwrap();
    let is_late = |error: &poolmap::TaskError| matches!(error.kind(), TaskErrorKind::TimedOut { .. });
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(is_late)), "{outcomes:?}");
}

#[worker]
fn sleep(_task: u32) {
    std::thread::sleep(Duration::from_secs(3600));
}

#[poolmap::test]
fn the_initializer_runs_once_for_each_task() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let pool = fresh(2).initializer(note_process { folder: folder.path().to_owned() }).build().unwrap();
    let pids = pool_map!(in &pool, pid, 0..10).unwrap();
    pool.join().unwrap();
    let noted = common::files(folder.path());
    assert!(pids.iter().all(|pid| noted.contains(&folder.path().join(pid.to_string()))));
}

#[worker]
fn note_process(folder: PathBuf) {
    File::create_new(folder.join(std::process::id().to_string())).unwrap();
}

#[poolmap::test]
fn bad_options_are_named() {
    let _guard = common::guard();
    let refused = |builder: Builder, named: &str| {
        let error = builder.build().unwrap_err();
        assert!(error.is_invalid_option() && error.to_string().contains(named), "{error}");
    };
    refused(fresh(1).max_tasks_per_worker(2), "max_tasks_per_worker");
    refused(fresh(1).max_tasks_per_worker(0), "max_tasks_per_worker");
    refused(fresh(1).in_process(), "fresh_process");
    fresh(1).max_tasks_per_worker(1).build().unwrap();
}

/// Whether a part of a file has the secret.
fn finds(file: &File, start: u64, end: u64, salt: u64) -> bool {
    let mut bytes = vec![0; 1 << 20];
    let mut at = start;
    while at < end {
        let length = bytes.len().min((end - at) as usize);
        let read = match file.read_at(&mut bytes[..length], at) {
            // Memory that nobody may read, or the end of a file that has become shorter.
            Err(_) | Ok(0) => return false,
            Ok(read) => read,
        };
        if has_secret(&bytes[..read], salt) {
            bytes.fill(0);
            return true;
        }
        // The next part begins before the end of this one.
        at += if read as u64 == end - at || read < 2 * SECRET_BYTES { read } else { read - SECRET_BYTES } as u64;
    }
    false
}

/// The names of all memory of this process, and of all its descriptors, in which the secret is: what a task could find that is taken over by
/// its input.
#[worker]
fn search(salt: u64) -> Vec<String> {
    let mut found = Vec::new();
    let memory = File::open("/proc/self/mem").unwrap();
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let [start, end] = range.split('-').map(|at| u64::from_str_radix(at, 16).unwrap()).collect::<Vec<_>>()[..]
        else {
            panic!("no range: {line}")
        };
        // The code of files, which is what it was.
        if rest.contains(" /") && !rest.contains("memfd:") && !rest.contains("(deleted)") && !rest.starts_with("rw") {
            continue;
        }
        if finds(&memory, start, end, salt) {
            found.push(line.to_owned());
        }
    }
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        let length = |path: &PathBuf| -> io::Result<(File, u64)> {
            // A pipe or a terminal could block.
            let length = fs::metadata(path)?;
            if !length.is_file() {
                return Err(io::ErrorKind::Unsupported.into());
            }
            Ok((File::open(path)?, length.len()))
        };
        if let Ok((file, length)) = length(&path)
            && finds(&file, 0, length, salt)
        {
            found.push(format!("{}: {}", path.display(), fs::read_link(&path).unwrap_or_default().display()));
        }
    }
    found
}

static LEFT: StdMutex<Vec<u8>> = StdMutex::new(Vec::new());

/// Leaves its argument in a static, on the heap and on the stack, and returns it.
#[worker]
fn leave(secret: Vec<u8>) -> Vec<u8> {
    let secret = leave_silently(secret);
    println!("{}", String::from_utf8_lossy(&secret));
    secret
}

#[poolmap::test]
fn no_task_finds_what_the_task_before_left() {
    let _guard = common::guard();
    for (salt, output) in [(1, Output::Inherited), (2, Output::Captured)] {
        let pool = fresh(1).output(output).build().unwrap();
        if output == Output::Captured {
            pool_map_captured!(in &pool, leave, [secret(salt)]).unwrap();
            assert_eq!(pool.apply(search { salt }).unwrap(), [""; 0]);
            continue;
        }
        for _ in 0..3 {
            assert_eq!(pool.apply(leave_silently { secret: secret(salt) }).unwrap().len(), SECRETS * SECRET_BYTES);
            assert_eq!(pool.apply(search { salt }).unwrap(), [""; 0]);
        }
    }
    // The search finds it where it is.
    let pool = common::pool(1);
    pool.apply(leave_silently { secret: secret(3) }).unwrap();
    let found = pool.apply(search { salt: 3 }).unwrap();
    assert!(found.iter().any(|place| place.contains("rw-p")), "{found:?}");
    if shares_memory() {
        assert!(found.iter().any(|place| place.contains("rw-s") && place.contains("memfd:poolmap")), "{found:?}");
    }
    assert_eq!(pool.apply(search { salt: 4 }).unwrap(), [""; 0], "another secret");
}

/// The same, but for what is printed.
#[worker]
fn leave_silently(secret: Vec<u8>) -> Vec<u8> {
    LEFT.lock().unwrap().extend_from_slice(&secret);
    black_box(Box::leak(secret.clone().into_boxed_slice()));
    let mut stack = [0; SECRET_BYTES * SECRETS];
    stack.copy_from_slice(&secret);
    black_box(&stack);
    secret
}

/// Returns its argument once it may.
#[worker]
fn hold(secret: Vec<u8>, folder: PathBuf) -> Vec<u8> {
    File::create(folder.join("begun")).unwrap();
    wait_until("the task may end", || folder.join("end").exists());
    secret
}

/// A task that holds a secret until it is asked for it.
struct HeldSecret {
    task: TaskHandle<Vec<u8>>,
    folder: tempfile::TempDir,
}

impl HeldSecret {
    /// Begins the task.
    fn begin(pool: &Pool, salt: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let task = pool.submit(hold { secret: secret(salt), folder: folder.path().to_owned() }).unwrap();
        wait_until("the task has begun", || folder.path().join("begun").exists());
        Self { task, folder }
    }

    fn end(self) -> Vec<u8> {
        File::create(self.folder.path().join("end")).unwrap();
        self.task.join().unwrap()
    }
}

/// Returns the places where a worker finds the arguments of a task that another worker runs meanwhile.
fn found_beside(builder: Builder, salt: u64) -> Vec<String> {
    let pool = builder.workers(2).build().unwrap();
    let held = HeldSecret::begin(&pool, salt);
    let found = pool.apply(search { salt }).unwrap();
    assert_eq!(held.end(), secret(salt));
    found
}

/// What a worker finds of the arguments of the worker before it, which has ended in its task.
fn found_behind(builder: Builder, salt: u64) -> Vec<String> {
    let pool = builder.workers(1).build().unwrap();
    pool.apply(abort { _secret: secret(salt) }).unwrap_err();
    pool.apply(search { salt }).unwrap()
}

#[worker]
fn abort(_secret: Vec<u8>) {
    std::process::abort();
}

#[poolmap::test]
fn no_worker_finds_what_another_was_given_or_what_one_before_it_was() {
    let _guard = common::guard();
    for find in [found_beside, found_behind] {
        assert_eq!(find(fresh(1), 11), [""; 0]);
        assert_eq!(find(fresh(1).output(Output::Captured), 12), [""; 0]);
        assert_eq!(find(Pool::builder().private_memory(), 13), [""; 0]);
        // Workers of other pools share their arguments: the search finds them.
        if shares_memory() {
            let found = find(Pool::builder(), 14);
            assert!(found.iter().any(|place| place.contains("memfd:poolmap")), "{found:?}");
        }
    }
}

/// Has a task be given to a worker that is stopped, and run by another: the process and the place of the worker that was stopped, and the
/// output.
fn moved<F: WorkerFn>(pool: &Pool, call: F) -> (u32, usize, F::Output) {
    pool.ready().unwrap();
    let held = HeldSecret::begin(pool, 31);
    wait_until("its worker is known", || held.task.worker().is_some());
    let busy = held.task.worker().unwrap().pid();
    let stopped = *pool.workers().iter().find(|worker| worker.pid() != busy).unwrap();
    common::stop(stopped.pid());
    // It is given to the worker that is stopped, as no other is free, and taken back once another is.
    let task = pool.submit(call).unwrap();
    held.end();
    let output = task.join().unwrap();
    common::kill(stopped.pid(), "CONT");
    (stopped.pid(), stopped.index(), output)
}

#[poolmap::test]
fn a_worker_that_lost_its_task_before_it_began_runs_no_other() {
    let _guard = common::guard();
    if !shares_memory() {
        // Nothing is taken back over the socket.
        return;
    }
    let pool = fresh(2).build().unwrap();
    let (stopped, _, runner) = moved(&pool, pid { _task: 0 });
    assert_ne!(runner, stopped);
    wait_until("the worker has ended", || !common::is_alive(stopped));
    assert!(!pool_map!(in &pool, pid, 0..4u64).unwrap().contains(&stopped));
    assert_eq!(pool.stats().workers_lost(), 0);
}

#[poolmap::test]
fn nothing_is_left_with_a_worker_of_a_task_that_was_taken_back_from_it() {
    let _guard = common::guard();
    if !shares_memory() {
        // Nothing is taken back over the socket.
        return;
    }
    let pool = Pool::builder().workers(2).private_memory().build().unwrap();
    let (_, stopped, output) = moved(&pool, leave_silently { secret: secret(32) });
    assert_eq!(output, secret(32));
    let found = pool.run_on_all(search { salt: 32 }).unwrap();
    assert_eq!(found[stopped], [""; 0]);
    // The worker that has run it has it yet, in memory of its own.
    assert!(found[1 - stopped].iter().any(|place| place.contains("rw-p")), "{found:?}");
}

#[poolmap::test]
fn no_worker_finds_the_arguments_of_a_map_that_others_run() {
    let _guard = common::guard();
    // Tasks travel in chunks; only the one worker has tasks of the first map.
    let pool = Pool::builder().workers(2).private_memory().build().unwrap();
    let held = HeldSecret::begin(&pool, 21);
    let lengths = pool_map!(in &pool, length, (0..2000).map(|task| vec![task as u8; 300])).unwrap();
    assert!(lengths.iter().all(|&length| length == 300));
    assert_eq!(pool.apply(search { salt: 21 }).unwrap(), [""; 0]);
    held.end();
}

#[worker]
fn length(bytes: &[u8]) -> usize {
    bytes.len()
}

#[worker]
fn sum(weights: &[f64], text: &str, table: &SharedSlice<u32>, all: &[u64]) -> f64 {
    let table: u32 = table.iter().sum();
    weights.iter().sum::<f64>() + text.len() as f64 + f64::from(table) + all.len() as f64
}

#[worker]
fn fill(mut part: SharedSliceMut<u64>, value: u64, count: &Mutex<u64>) {
    part.fill(value);
    *count.lock().unwrap() += 1;
}

fn values_arrive(pool: &Pool) {
    let all: Vec<u64> = (0..1000).collect();
    let table = SharedSlice::from(vec![1u32, 2, 3]);
    let weights = (0..200usize).map(|task| vec![1.0; task]);
    let texts = (0..200usize).map(|task| "x".repeat(task * 7));
    let tables = std::iter::repeat_n(table, 200);
    let sums = pool_map!(in pool, sum, weights, texts, tables, shared(&all)).unwrap();
    assert!(sums.iter().enumerate().all(|(task, &sum)| sum == (task + 7 * task + 6 + 1000) as f64), "{sums:?}");
    if has_shared_memory() {
        let mut array = SharedSliceMut::zeroed(10_000).unwrap();
        let count = Mutex::new(0u64).unwrap();
        let counts = std::iter::repeat_n(count.clone(), 10);
        pool_map!(in pool, fill, array.chunks_mut(1000), 0..10u64, counts).unwrap();
        assert!(array.iter().enumerate().all(|(place, &value)| value == place as u64 / 1000));
        assert_eq!(*count.lock().unwrap(), 10);
    }
    // What is larger than the first memory of a worker, and what has memory of its own.
    let sizes = [0, 3 << 20, 700, 40 << 20, 9 << 20, 1];
    let lengths = pool_map!(in pool, length, sizes.map(|bytes| vec![7u8; bytes])).unwrap();
    assert_eq!(lengths, sizes);
    let echoed = pool_map!(in pool, echo, sizes.map(|bytes| vec![9u8; bytes])).unwrap();
    assert!(
        echoed.iter().zip(sizes).all(|(output, bytes)| output.len() == bytes && output.iter().all(|&byte| byte == 9))
    );
}

#[worker]
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[poolmap::test]
fn values_of_all_kinds_and_sizes_arrive() {
    let _guard = common::guard();
    values_arrive(&fresh(2).build().unwrap());
    let pool = Pool::builder().workers(2).private_memory().build().unwrap();
    values_arrive(&pool);
    let outputs = pool_map!(in &pool, twice, 0..200_000u64).unwrap();
    assert!(outputs.into_iter().eq((0..200_000).map(|x| 2 * x)));
    assert_eq!(pool.stats().workers_lost(), 0);
}

#[worker]
fn twice(x: u64) -> u64 {
    2 * x
}
