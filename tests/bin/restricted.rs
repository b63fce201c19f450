//! A program that denies itself system calls, as a container's filter does, and then uses its pools and processes. It says
//! what became of each use, a line each; the test decides what may.

use std::time::{Duration, Instant};

use nix::libc;
use poolmap::{Mutex, Pool, Process, Sender, SharedSlice, SharedSliceMut, TaskErrorKind};
use poolmap::{channel, pool_map, pool_try_map, worker};

/// Longer than a test waits.
const LONG: Duration = Duration::from_secs(100);
/// What tasks may take; and longer, which no task may.
const LIMIT: Duration = Duration::from_millis(300);

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

#[worker]
fn sum(numbers: SharedSlice<u64>) -> u64 {
    numbers.iter().sum()
}

#[worker]
fn fill(mut part: SharedSliceMut<u64>, with: u64) -> usize {
    part.fill(with);
    part.len()
}

#[worker]
fn send_and_add(sender: &Sender<u64>, total: &Mutex<u64>, x: u64) -> poolmap::Result<()> {
    sender.send(x).map_err(|error| error.to_string()).expect("there is a receiver");
    *total.lock()? += x;
    Ok(())
}

#[worker]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

/// Stops its process in a way that no filter of the tests denies.
#[worker]
#[allow(unsafe_code, reason = "std cannot stop a process")]
fn stop(_task: u32) {
    #[cfg(target_os = "linux")]
    {
        let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
        // SAFETY: it takes numbers, and a pointer that nobody reads.
        unsafe { libc::sigqueue(libc::getpid(), libc::SIGSTOP, value) };
    }
    #[cfg(not(target_os = "linux"))]
    {
        // SAFETY: it takes a number.
        unsafe { libc::raise(libc::SIGSTOP) };
    }
    std::thread::sleep(LONG);
}

type Outcome = Result<String, Box<dyn std::error::Error>>;

fn main() {
    poolmap::init();
    let mut arguments = std::env::args().skip(1);
    let denied = arguments.next().unwrap_or_default();
    if !denied.is_empty() && !deny(&denied) {
        println!("not here");
        return;
    }
    for use_of in arguments {
        let started = Instant::now();
        let outcome = match use_of.as_str() {
            "none" => Ok(String::new()),
            "map" => map(),
            "slice" => slice(),
            "channel" => between(),
            "limit" => limit(),
            "process" => process(),
            "stopped" => stopped(2),
            "all stopped" => stopped(1),
            "drop" => drop_busy(),
            "daemon" => daemon(),
            "stopped process" => stopped_process(),
            "many kills" => many_kills(),
            other => panic!("no such use: {other}"),
        };
        let time = started.elapsed().as_millis();
        match outcome {
            Ok(said) => println!("{use_of} ({time} ms): ok {said}"),
            Err(error) => {
                print!("{use_of} ({time} ms): error: {error}");
                let causes = std::iter::successors(error.source(), |cause| cause.source());
                causes.for_each(|cause| print!(": {cause}"));
                println!();
            }
        }
    }
}

fn pool(workers: usize) -> poolmap::Result<Pool> {
    Pool::builder().workers(workers).build()
}

fn check(is_right: bool, what: &str) {
    assert!(is_right, "WRONG: {what}");
}

fn map() -> Outcome {
    let pool = pool(2)?;
    check(pool_map!(in &pool, double, 0..100)? == Vec::from_iter((0..100).map(|x| 2 * x)), "a map");
    Ok(String::new())
}

fn slice() -> Outcome {
    let pool = pool(2)?;
    let numbers: SharedSlice<u64> = (0..1000).collect();
    check(pool_map!(in &pool, sum, numbers.chunks(100))?.iter().sum::<u64>() == 499_500, "a shared slice");
    let mut array = SharedSliceMut::<u64>::zeroed(100)?;
    pool_map!(in &pool, fill, array.chunks_mut(10), 0..10)?;
    check((0..100).all(|place| array[place] == place as u64 / 10), "a shared array");
    Ok(String::new())
}

fn between() -> Outcome {
    let pool = pool(2)?;
    let (sender, receiver) = channel()?;
    let total = Mutex::new(0)?;
    pool_map!(in &pool, send_and_add, std::iter::repeat(&sender), std::iter::repeat(&total), 0..10)?;
    drop(sender);
    let mut received = receiver.iter().collect::<poolmap::Result<Vec<u64>>>()?;
    received.sort_unstable();
    check(received == Vec::from_iter(0..10) && *total.lock()? == 45, "a channel and a mutex");
    Ok(String::new())
}

fn limit() -> Outcome {
    let pool = pool(2)?;
    let long = LONG.as_millis() as u64;
    let outcomes = pool_try_map!(in &pool, sleep, [0, long, 1, 2]; timeout = LIMIT)?;
    for (place, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(_) if place != 1 => {}
            Err(error) if place == 1 && matches!(error.kind(), TaskErrorKind::TimedOut { .. }) => {}
            Err(error) if !matches!(error.kind(), TaskErrorKind::TimedOut { .. }) => return Err(error.clone().into()),
            other => panic!("WRONG: task {place}: {other:?}"),
        }
    }
    check(pool_map!(in &pool, double, [1, 2, 3])? == [2, 4, 6], "a map behind a time limit");
    pool.join()?;
    Ok(String::new())
}

fn process() -> Outcome {
    check(Process::new(double { x: 21 }).start()?.join()? == 42, "a process");
    let mut sleeper = Process::new(sleep { millis: 5_000 }).start()?;
    check(sleeper.join_timeout(Duration::from_millis(20))?.is_none(), "a process that sleeps");
    sleeper.kill();
    let error = sleeper.join().unwrap_err();
    check(error.task().is_some(), "a process that was killed");
    Ok(error.to_string())
}

/// A worker is stopped, so that it does not end when it is asked to.
fn stopped(workers: usize) -> Outcome {
    let pool = pool(workers)?;
    let error = pool_map!(in &pool, stop, [0]; timeout = LIMIT).unwrap_err();
    check(error.task().is_some_and(|task| matches!(task.kind(), TaskErrorKind::TimedOut { .. })), &error.to_string());
    let behind = pool_map!(in &pool, double, [1, 2, 3]).map(|outputs| outputs == [2, 4, 6]);
    let ready = pool.ready();
    let said = format!("{behind:?} {ready:?}");
    drop(pool);
    Ok(said)
}

/// Every worker runs a long task when the pool ends.
fn drop_busy() -> Outcome {
    let pool = pool(4)?;
    pool.ready()?;
    let long = LONG.as_millis() as u64;
    let tasks = Vec::from_iter((0..4).map(|_| pool.submit(sleep { millis: long })));
    while pool.stats().busy_workers() < 4 {
        std::thread::yield_now();
    }
    drop(pool);
    for task in tasks {
        let error = task?.join().unwrap_err();
        check(error.is_closed(), &format!("a task of a pool that was dropped: {error:?}"));
    }
    Ok(String::new())
}

fn daemon() -> Outcome {
    let mut sleeper = Process::new(sleep { millis: LONG.as_millis() as u64 }).daemon(true).start()?;
    sleeper.kill();
    Ok(sleeper.join().unwrap_err().to_string())
}

fn stopped_process() -> Outcome {
    let mut stopped = Process::new(stop { _task: 0 }).daemon(true).start()?;
    check(stopped.join_timeout(LIMIT)?.is_none(), "a process that is stopped");
    stopped.kill();
    Ok(stopped.join().unwrap_err().to_string())
}

/// One worker after the other is ended for its task.
fn many_kills() -> Outcome {
    let pool = pool(2)?;
    let long = LONG.as_millis() as u64;
    let outcomes = pool_try_map!(in &pool, sleep, [long; 6]; timeout = LIMIT / 10)?;
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        check(matches!(error.kind(), TaskErrorKind::TimedOut { .. }), &error.to_string());
    }
    Ok(String::new())
}

/// Elsewhere there are no such filters.
#[cfg(not(target_os = "linux"))]
fn deny(_calls: &str) -> bool {
    false
}

/// Denies system calls to this process and all that it starts: `name=errno,…`. False where the system has not got one of them,
/// or no filters.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "nothing safe sets a filter")]
fn deny(calls: &str) -> bool {
    const LOAD_NUMBER: libc::sock_filter =
        libc::sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: 0 };
    let answer = |k| libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k };
    let mut filter = vec![LOAD_NUMBER];
    for call in calls.split(',') {
        let (name, errno) = call.split_once('=').expect("it is name=errno");
        let Some(number) = number(name) else {
            return false;
        };
        let code = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        filter.push(libc::sock_filter { code, jt: 0, jf: 1, k: number as u32 });
        let errno = if errno == "EPERM" { libc::EPERM } else { libc::ENOSYS };
        filter.push(answer(libc::SECCOMP_RET_ERRNO | errno as u32));
    }
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program lives through both calls, and the kernel checks it.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    }
}

/// The number of a system call.
#[cfg(target_os = "linux")]
fn number(name: &str) -> Option<libc::c_long> {
    Some(match name {
        "memfd_create" => libc::SYS_memfd_create,
        "ftruncate" => libc::SYS_ftruncate,
        "fallocate" => libc::SYS_fallocate,
        "fcntl" => libc::SYS_fcntl,
        "socketpair" => libc::SYS_socketpair,
        "sendmsg" => libc::SYS_sendmsg,
        "recvmsg" => libc::SYS_recvmsg,
        "sendto" => libc::SYS_sendto,
        "recvfrom" => libc::SYS_recvfrom,
        "shutdown" => libc::SYS_shutdown,
        "getsockopt" => libc::SYS_getsockopt,
        "setsockopt" => libc::SYS_setsockopt,
        "ppoll" => libc::SYS_ppoll,
        #[cfg(target_arch = "x86_64")]
        "poll" => libc::SYS_poll,
        "pidfd_open" => libc::SYS_pidfd_open,
        "pidfd_send_signal" => libc::SYS_pidfd_send_signal,
        "waitid" => libc::SYS_waitid,
        "wait4" => libc::SYS_wait4,
        "kill" => libc::SYS_kill,
        "tgkill" => libc::SYS_tgkill,
        "close_range" => libc::SYS_close_range,
        "prctl" => libc::SYS_prctl,
        "sched_yield" => libc::SYS_sched_yield,
        "sched_getaffinity" => libc::SYS_sched_getaffinity,
        "madvise" => libc::SYS_madvise,
        "clone3" => libc::SYS_clone3,
        "setpgid" => libc::SYS_setpgid,
        "getpgid" => libc::SYS_getpgid,
        "getrandom" => libc::SYS_getrandom,
        "statx" => libc::SYS_statx,
        "sigaltstack" => libc::SYS_sigaltstack,
        "clock_gettime" => libc::SYS_clock_gettime,
        "prlimit64" => libc::SYS_prlimit64,
        "pipe2" => libc::SYS_pipe2,
        "dup3" => libc::SYS_dup3,
        "membarrier" => libc::SYS_membarrier,
        "mlock" => libc::SYS_mlock,
        "eventfd2" => libc::SYS_eventfd2,
        "openat" => libc::SYS_openat,
        _ => return None,
    })
}
