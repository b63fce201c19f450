//! Programs that fork while they have pools, and what their copies do: the first argument names it. A copy that finds what it is
//! to find exits with 10.

use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use nix::libc;
use poolmap::{
    Pool, PoolIter, Process, TaskHandle, active_children, as_completed, global_pool, pool_for_each, pool_iter,
    pool_iter_unordered, pool_map, pool_reduce, pool_try_map, shutdown_global, wait_any, worker,
};

/// How a copy exits that has found what it was to find.
const RIGHT: i32 = 10;
/// A copy that takes longer hangs.
const COPY_TIME_MAX: Duration = Duration::from_secs(50);

#[worker]
fn first_is_late(x: u64) -> u64 {
    if x == 0 {
        std::thread::sleep(Duration::from_millis(200));
    }
    x
}

/// Whether its argument is as it was sent.
#[worker]
fn is_steady(bytes: &[u8]) -> bool {
    std::thread::sleep(Duration::from_millis(600));
    bytes.iter().all(|&byte| byte == 1)
}

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

#[worker]
fn add(x: u64, y: u64) -> u64 {
    x + y
}

#[worker]
fn nap(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

#[worker]
fn leave() -> u32 {
    7
}

/// Forks in a task: the copy has no pool of its parent's, and makes one of its own.
#[worker]
fn fork_in_task() -> bool {
    let child = fork();
    if child == 0 {
        exit(if works(&Pool::builder().workers(1).build().expect("a pool")) { RIGHT } else { 1 });
    }
    wait(child) == Some(RIGHT)
}

#[allow(unsafe_code, reason = "it is what this program is about")]
fn fork() -> libc::pid_t {
    // SAFETY: the other threads are those of pools, which hold no lock of the standard library's for long but while they start
    // workers; these are ready.
    unsafe { libc::fork() }
}

/// A fork that runs none of the handlers of `pthread_atfork`.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "it is what this program is about")]
fn raw_fork() -> libc::pid_t {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: as of `fork`; and no other thread allocates at the moment, as the pools are idle.
    unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, none, none, none, none) as libc::pid_t }
}

#[cfg(not(target_os = "linux"))]
fn raw_fork() -> libc::pid_t {
    fork()
}

/// The exit code of a copy; none if it ended otherwise. One that hangs is killed.
#[allow(unsafe_code, reason = "it waits for one child alone")]
fn wait(child: libc::pid_t) -> Option<i32> {
    let until = Instant::now() + COPY_TIME_MAX;
    let mut status = 0;
    // SAFETY: the pointer is to a number of ours.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } != child {
        if Instant::now() > until {
            eprintln!("the copy hangs");
            // SAFETY: it is our child, and not reaped.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

fn works(pool: &Pool) -> bool {
    pool_map!(in pool, square, 0..50u64).is_ok_and(|squares| squares.into_iter().eq((0..50).map(|x| x * x)))
}

fn works_globally() -> bool {
    pool_map!(square, 0..50u64).is_ok_and(|squares| squares.into_iter().eq((0..50).map(|x| x * x)))
}

/// Ends the copy if something is not as it is to be.
#[track_caller]
fn check(what: &str, is_so: bool) {
    if !is_so {
        eprintln!("{}: {what}", std::panic::Location::caller());
        exit(11);
    }
}

#[track_caller]
fn refused<T>(what: &str, result: poolmap::Result<T>) {
    match result {
        Err(error) if error.is_forked() && !error.to_string().is_empty() => {}
        Err(error) => {
            eprintln!("{}: {what}: {error}", std::panic::Location::caller());
            exit(11);
        }
        Ok(_) => check(&format!("{what} goes on in a copy"), false),
    }
}

/// What was made before the fork.
struct Made {
    pool: Pool,
    finished: TaskHandle<u64>,
    running: TaskHandle<u64>,
    waiting: Vec<TaskHandle<u64>>,
}

impl Made {
    fn new() -> poolmap::Result<Self> {
        let pool = Pool::builder().workers(2).finalizer(leave {}).build()?;
        pool.ready()?;
        let finished = pool.submit(square { x: 3 })?;
        while !finished.is_finished() {
            std::thread::yield_now();
        }
        let running = pool.submit(nap { millis: 1 })?;
        let waiting = (0..4).map(|_| pool.submit(nap { millis: 5 })).collect::<poolmap::Result<_>>()?;
        Ok(Self { pool, finished, running, waiting })
    }
}

/// Every entry is an error at once, or nothing.
fn entries(made: Made, process: poolmap::ProcessHandle<u64>) {
    let Made { pool, finished, mut running, mut waiting } = made;
    let pool = &pool;
    refused("pool_map!", pool_map!(in pool, square, 0..3u64));
    refused("an empty map", pool_map!(in pool, square, 0..0u64));
    refused("pool_try_map!", pool_try_map!(in pool, square, 0..3u64));
    refused("pool_iter!", pool_iter!(in pool, square, 0..3u64).map(drop));
    refused("pool_iter_unordered!", pool_iter_unordered!(in pool, square, 0..3u64).map(drop));
    refused("pool_for_each!", pool_for_each!(in pool, square, 0..3u64));
    refused("pool_reduce!", pool_reduce!(in pool, square, 0..3u64; with = add, identity = 0));
    refused("apply", pool.apply(square { x: 1 }));
    refused("submit", pool.submit(square { x: 1 }));
    refused("run_on_all", pool.run_on_all(square { x: 1 }));
    refused("ready", pool.ready());
    refused("resize", pool.resize(3));
    refused("finalizer_results", pool.finalizer_results::<leave>());
    refused("join", pool.join());
    pool.close();
    pool.terminate();
    check("it has no workers", pool.workers().is_empty() && pool.stats() == poolmap::Stats::default());
    check("it is shown", format!("{pool:?}").contains("Pool"));

    check("it was finished", finished.is_finished());
    check("a handle has ended", wait_any(&waiting) == Some(0));
    check("nothing is cancelled", !running.cancel());
    refused("join_timeout", running.join_timeout(Duration::from_secs(60)));
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(&mut running).poll(&mut context) {
        Poll::Ready(result) => refused("poll", result),
        Poll::Pending => check("a handle that was polled is pending", false),
    }
    let called = Arc::new(AtomicBool::new(false));
    let of_callback = Arc::clone(&called);
    running.on_done(move |result| {
        refused("on_done", result);
        of_callback.store(true, Ordering::SeqCst);
    });
    check("the callback was called", called.load(Ordering::SeqCst));
    refused("join", finished.join());
    refused("join_captured", waiting.remove(0).join_captured());
    for (_, result) in as_completed(waiting) {
        refused("as_completed", result);
    }
    let mut process = process;
    refused("Process::join", process.join());
    refused("Process::join_timeout", process.join_timeout(Duration::from_secs(60)));
    process.terminate();
    process.kill();
    check("nothing is known of its end", process.exit_status().is_none());
    check("it has no children", active_children().is_empty());
}

/// A copy has pools and processes of its own.
fn own() -> poolmap::Result<()> {
    let pool = Pool::builder().workers(2).build()?;
    check("a pool of its own", works(&pool) && pool.apply(square { x: 3 })? == 9);
    check("a global pool of its own", works_globally() && !global_pool()?.workers().is_empty());
    check("a handle of its own", pool.submit(square { x: 4 })?.join()? == 16);
    check("a process of its own", Process::new(square { x: 5 }).start()?.join()? == 25);
    let (sender, receiver) = poolmap::channel::<u64>()?;
    sender.send(7).map_err(poolmap::Error::from)?;
    check("a channel of its own", receiver.recv()? == 7);
    pool.join()?;
    shutdown_global();
    check("the global pool comes again", works_globally());
    Ok(())
}

/// What stands between processes: the copy is nobody there, and lets go of nothing.
fn between() -> poolmap::Result<i32> {
    let mutex = poolmap::Mutex::new(1u64)?;
    let semaphore = poolmap::Semaphore::new(1)?;
    let barrier = poolmap::Barrier::new(1)?;
    let (sender, receiver) = poolmap::channel::<u64>()?;
    let mut guard = mutex.lock()?;
    *guard = 2;
    let permit = semaphore.acquire()?;
    let child = fork();
    if child == 0 {
        refused("Mutex::lock", mutex.try_lock().map(drop));
        refused("MutexGuard::commit", guard.commit());
        refused("Semaphore::acquire", semaphore.try_acquire().map(drop));
        refused("Barrier::wait", barrier.wait().map(drop));
        refused("Sender::send", sender.send(1).map_err(poolmap::Error::from));
        refused("Receiver::recv", receiver.recv());
        drop((guard, permit, sender, receiver));
        exit(RIGHT);
    }
    let code = wait(child);
    check("the copy found what it was to find", code == Some(RIGHT));
    check("the mutex is still locked", mutex.try_lock()?.is_none());
    check("the permit is still taken", semaphore.try_acquire()?.is_none());
    sender.send(5).map_err(poolmap::Error::from)?;
    check("the channel is still open", receiver.recv()? == 5);
    drop(guard);
    check("the value is the parent's", *mutex.lock()? == 2);
    Ok(0)
}

/// Maps go on in other threads while copies are made, which make pools of their own.
fn busy() -> poolmap::Result<i32> {
    let pool = Pool::builder().workers(2).build()?;
    let stop = AtomicBool::new(false);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    if !works(&pool) || !works_globally() {
                        failed.lock().expect("nobody panics").push("a map of the parent's");
                    }
                    let handles: Vec<_> = (0..4).filter_map(|x| pool.submit(square { x }).ok()).collect();
                    if as_completed(handles).any(|(_, result)| result.is_err()) {
                        failed.lock().expect("nobody panics").push("a call of the parent's");
                    }
                }
            });
        }
        for _ in 0..10 {
            let child = fork();
            if child == 0 {
                refused("pool_map!", pool_map!(in &pool, square, 0..3u64));
                check("a global pool of its own", works_globally());
                exit(RIGHT);
            }
            if wait(child) != Some(RIGHT) {
                failed.lock().expect("nobody panics").push("a copy");
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    let failed = failed.into_inner().expect("nobody panics");
    check(&format!("{failed:?}"), failed.is_empty() && pool.stats().workers_lost() == 0);
    Ok(0)
}

/// Iterators that are continued in a copy.
fn iterators() -> poolmap::Result<i32> {
    let pool = Pool::builder().workers(2).build()?;
    let next = |iter: &mut PoolIter<square, _>| iter.next().map(|result| result.map_err(|error| error.is_forked()));
    let mut ordered = pool_iter!(in &pool, square, 0..1000u64)?;
    let mut unordered = pool_iter_unordered!(in &pool, square, 0..1000u64; retry_errors = 2)?;
    // When the first result comes, others wait behind it.
    let mut waiting = pool_iter!(in &pool, first_is_late, 0..100u64; chunk_size = 1)?;
    check("the late one", waiting.next().is_some_and(|result| result.is_ok_and(|x| x == 0)));
    let mut completed = as_completed((0..3).map(|x| pool.submit(square { x }).expect("it is open")));
    check("the first", next(&mut ordered) == Some(Ok(0)) && unordered.next().is_some_and(|result| result.is_ok()));
    check("the first call", completed.next().is_some());
    let child = fork();
    if child == 0 {
        check("ordered", next(&mut ordered) == Some(Err(true)) && next(&mut ordered).is_none());
        let is_refused = waiting.next().is_some_and(|result| result.is_err_and(|error| error.is_forked()));
        check("what waits", is_refused && waiting.next().is_none());
        let forked = |result: poolmap::Result<_>| result.is_err_and(|error| error.is_forked());
        check("unordered", unordered.next().is_some_and(forked) && unordered.next().is_none());
        check(
            "completed",
            completed.len() == 2 && completed.all(|(_, result)| result.is_err_and(|error| error.is_forked())),
        );
        drop((ordered, unordered, waiting, completed, pool));
        exit(RIGHT);
    }
    check("the copy found what it was to find", wait(child) == Some(RIGHT));
    check("the ordered goes on", ordered.filter_map(Result::ok).eq((1..1000).map(|x| x * x)));
    check("what waits goes on", waiting.filter_map(Result::ok).eq(1..100));
    check("the unordered goes on", unordered.filter(Result::is_ok).count() == 999);
    check("the calls go on", completed.filter(|(_, result)| result.is_ok()).count() == 2);
    Ok(0)
}

/// An input iterator forks: both come back from it, within a map.
fn iterator_forks() -> poolmap::Result<i32> {
    let pool = Pool::builder().workers(2).build()?;
    let mut child = None;
    let input = (0..2000u64).inspect(|x| {
        if *x == 1000 {
            child = Some(fork());
        }
    });
    let squares = pool_map!(in &pool, square, input);
    let child = child.expect("it was read");
    if child == 0 {
        refused("a map within which it was forked", squares);
        drop(pool);
        exit(RIGHT);
    }
    check("the copy found what it was to find", wait(child) == Some(RIGHT));
    check("the parent's map is right", squares?.into_iter().eq((0..2000).map(|x| x * x)));
    Ok(0)
}

/// An input iterator forks, and the copy goes on with another item while a worker reads the parent's.
fn copy_has_another_item(bytes: usize) -> poolmap::Result<i32> {
    let pool = Pool::builder().workers(1).build()?;
    let mut child = None;
    let input = std::iter::once_with(|| {
        let forked = *child.insert(fork());
        std::thread::sleep(Duration::from_millis(if forked == 0 { 200 } else { 0 }));
        vec![if forked == 0 { 9 } else { 1 }; bytes]
    });
    let steady = pool_map!(in &pool, is_steady, input);
    let child = child.expect("it was read");
    if child == 0 {
        check("the copy's map is refused", steady.is_err_and(|error| error.is_forked()));
        drop(pool);
        exit(RIGHT);
    }
    check("the copy found what it was to find", wait(child) == Some(RIGHT));
    check("the argument stays as it is", steady? == [true]);
    Ok(0)
}

/// A callback forks: the copy of its thread ends with it.
fn callback_forks() -> poolmap::Result<i32> {
    let pool = Pool::builder().workers(2).build()?;
    let (tell, told) = std::sync::mpsc::channel();
    pool.submit(square { x: 3 })?.on_done(move |result| {
        let child = fork();
        if child != 0 {
            tell.send((child, result)).expect("it is waited for");
        }
    });
    let (child, result) = told.recv().expect("the callback runs");
    check("the copy ends", wait(child) == Some(0));
    check("the result", result? == 9 && works(&pool));
    pool.join()?;
    Ok(0)
}

/// The program becomes a daemon: the parent's workers end with it, and the daemon has its own.
fn daemon(folder: &Path) -> poolmap::Result<i32> {
    let pool = Pool::builder().workers(2).build()?;
    pool.ready()?;
    check("it works", works(&pool) && works_globally());
    let pids = pool.workers().into_iter().chain(global_pool()?.workers()).map(|worker| worker.pid().to_string());
    std::fs::write(folder.join("workers"), pids.collect::<Vec<_>>().join(" ")).expect("the folder is there");
    if fork() != 0 {
        exit(0);
    }
    if fork() != 0 {
        exit(0);
    }
    // The parent's workers end with it, although this process has copies of their channels.
    refused("the parent's pool", pool_map!(in &pool, square, 0..3u64));
    let own = Pool::builder().workers(2).build()?;
    let text = if works(&own) && works_globally() { "right" } else { "wrong" };
    std::fs::write(folder.join("new"), text).expect("the folder is there");
    std::fs::rename(folder.join("new"), folder.join("done")).expect("it was written");
    drop((pool, own));
    Ok(0)
}

/// Forks, has the copy do something, and maps meanwhile.
fn beside(fork: fn() -> libc::pid_t, act: impl FnOnce(Made, poolmap::ProcessHandle<u64>)) -> poolmap::Result<i32> {
    let mut process = Process::new(nap { millis: 500 }).start()?;
    check("the global pool works", works_globally());
    let made = Made::new()?;
    let child = fork();
    if child == 0 {
        act(made, process);
        exit(RIGHT);
    }
    let Made { pool, finished, running, waiting } = made;
    check("the parent's pool works beside the copy", works(&pool) && works_globally());
    let code = wait(child);
    check(&format!("the copy ended with {code:?}"), code == Some(RIGHT));
    check("the handles are the parent's", finished.join()? == 9 && running.join()? == 1);
    check("so are those that waited", as_completed(waiting).all(|(_, result)| result.is_ok()));
    check("the parent's pools work behind the copy", works(&pool) && works_globally());
    check("no worker was lost", pool.stats().workers_lost() == 0 && global_pool()?.stats().workers_lost() == 0);
    check("the process is the parent's", process.join()? == 500);
    pool.join()?;
    check("all were finalized", pool.finalizer_results::<leave>()?.len() == 2);
    Ok(0)
}

/// A future of the parent's in a runtime of the copy's.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => exit(12),
    }
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let how = arguments.next().unwrap_or_default();
    let code = match how.as_str() {
        "drop" => beside(fork, |made, process| drop((made, process)))?,
        "exit" => beside(fork, |made, process| std::mem::forget((made, process)))?,
        "shutdown_global" => beside(fork, |_, _| shutdown_global())?,
        "entries" => beside(fork, entries)?,
        "raw" => beside(raw_fork, entries)?,
        "await" => beside(fork, |made, _| refused("await", block_on(made.running)))?,
        "own" => beside(fork, |made, _| {
            own().unwrap_or_else(|error| check(&error.to_string(), false));
            refused("the parent's", pool_map!(in &made.pool, square, 0..3u64));
        })?,
        "again" => beside(fork, |made, process| {
            // A copy of a copy.
            let child = fork();
            if child == 0 {
                entries(made, process);
                own().unwrap_or_else(|error| check(&error.to_string(), false));
                exit(RIGHT);
            }
            check("the copy's copy", wait(child) == Some(RIGHT));
        })?,
        "return" => {
            check("it works", works_globally());
            let pool = Pool::builder().workers(1).build()?;
            check("it works", works(&pool));
            let child = fork();
            if child == 0 {
                return Ok(());
            }
            check("the copy returns from main", wait(child) == Some(0));
            check("the parent's pools work", works(&pool) && works_globally());
            0
        }
        "task" => {
            let pool = Pool::builder().workers(2).build()?;
            check("copies of workers have pools", pool.run_on_all(fork_in_task {})?.into_iter().all(|right| right));
            0
        }
        "between" => between()?,
        "busy" => busy()?,
        "iterators" => iterators()?,
        "iterator_forks" => iterator_forks()?,
        "copy_has_another_item" => copy_has_another_item(100)? + copy_has_another_item(100_000)?,
        "callback_forks" => callback_forks()?,
        "daemon" => daemon(Path::new(&arguments.next().unwrap_or_default()))?,
        _ => 99,
    };
    if code != 0 {
        exit(code)
    }
    Ok(())
}
