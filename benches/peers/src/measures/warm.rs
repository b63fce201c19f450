//! Workers that are executed, and workers that are copies of a fork server: how soon one is ready, tasks with a process each, and what a
//! preloaded gibibyte takes. And how soon a pool serves again whose calls hung.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use poolmap::{Builder, Pool, StartMethod, pool_map, worker};

use crate::figures::median;
use crate::runs::WORKERS;
use crate::tasks::timed;

/// The ways to start a worker.
pub const METHODS: [(&str, StartMethod); 2] = [("spawn", StartMethod::Spawn), ("fork", StartMethod::ForkServer)];
/// The bytes that are preloaded.
pub const PRELOADED_BYTES: usize = 1 << 30;
/// So many workers have them.
pub const PRELOADED_WORKERS: usize = 4;

/// So many workers are started one after another, and how many at once.
const ONE_BY_ONE: usize = 40;
const AT_ONCE: usize = 64;
const TASKS: u32 = 1000;
const REPETITIONS: usize = 5;
const HANGING: usize = 4;

static PRELOADED: OnceLock<Vec<u64>> = OnceLock::new();

#[worker]
fn preload(bytes: usize) {
    let numbers = (0..(bytes / size_of::<u64>()) as u64).map(|x| x.wrapping_mul(x)).collect();
    PRELOADED.set(numbers).expect("it is loaded once");
}

/// Reads all that was preloaded, and stays for a moment, so that each worker runs one such task.
#[worker]
fn read_preloaded(_task: usize) -> (u32, u64) {
    let sum = PRELOADED.get().map_or(0, |numbers| numbers.iter().fold(0, |sum: u64, x| sum.wrapping_add(*x)));
    sleep(Duration::from_millis(200));
    (std::process::id(), sum)
}

#[worker]
fn nothing(_task: u32) {}

#[worker]
fn hang(_task: usize) {
    sleep(Duration::from_secs(3600));
}

/// Prints seconds: `warm METHOD one`, `all` (64 at once), `task`; `warm preloaded one` and `huge` (in huge pages); bytes: `warm preloaded pss`; and seconds:
/// `warm served`.
pub fn run() {
    for (name, method) in METHODS {
        let builder = || Pool::builder().start_method(method);
        println!("warm {name} one {}", one_more(builder()));
        let all = (0..REPETITIONS).map(|_| many_more(builder())).collect();
        println!("warm {name} all {}", median(all).expect("there are some"));
        let pool = builder().workers(WORKERS).max_tasks_per_worker(1).build().expect("processes start");
        pool.ready().expect("processes answer");
        let map = || pool_map!(in &pool, nothing, 0..TASKS).expect("no task fails");
        let times = (0..REPETITIONS).map(|_| timed(|| drop(map())).as_secs_f64() / f64::from(TASKS)).collect();
        println!("warm {name} task {}", median(times).expect("there are some"));
    }
    let preloading =
        || Pool::builder().start_method(StartMethod::ForkServer).preload(preload { bytes: PRELOADED_BYTES });
    println!("warm preloaded one {}", one_more(preloading()));
    let huge = preloading().env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
    println!("warm preloaded huge {}", one_more(huge));
    println!("warm preloaded pss {}", proportional_bytes(preloading()));
    println!("warm served {}", served_again());
}

/// The seconds until one more worker is ready.
fn one_more(builder: Builder) -> f64 {
    let pool = builder.workers(1).build().expect("processes start");
    pool.ready().expect("processes answer");
    let mut more = |workers| {
        timed(|| {
            pool.resize(workers).expect("so many may be");
            pool.ready().expect("processes answer");
        })
        .as_secs_f64()
    };
    median((2..2 + ONE_BY_ONE).map(&mut more).collect()).expect("there are some")
}

/// The seconds until many more workers are ready.
fn many_more(builder: Builder) -> f64 {
    let pool = builder.workers(1).build().expect("processes start");
    pool.ready().expect("processes answer");
    timed(|| {
        pool.resize(1 + AT_ONCE).expect("so many may be");
        pool.ready().expect("processes answer");
    })
    .as_secs_f64()
}

/// The bytes of all processes of a pool together, each page shared out among the processes that have it, once every worker has read what
/// was preloaded.
fn proportional_bytes(builder: Builder) -> f64 {
    let pool = builder.workers(PRELOADED_WORKERS).build().expect("processes start");
    pool.ready().expect("processes answer");
    let read = pool_map!(in &pool, read_preloaded, 0..PRELOADED_WORKERS; chunk_size = 1).expect("no task fails");
    let read: BTreeSet<u32> = read.into_iter().map(|(pid, _)| pid).collect();
    assert_eq!(read.len(), PRELOADED_WORKERS, "each worker has read it");
    children().into_iter().map(proportional).sum()
}

/// The processes that this one has started.
fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has it");
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let children = task.and_then(|task| std::fs::read_to_string(task.path().join("children"))).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
    };
    tasks.flat_map(of_task).collect()
}

fn proportional(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process is there");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).expect("Linux says so");
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().expect("it is a number");
    kibibytes * 1024.0
}

/// The seconds from the end of calls that hang in all workers of a pool, whose futures are dropped, to the output of the next call.
fn served_again() -> f64 {
    let pool = Pool::builder().workers(HANGING).build().expect("processes start");
    let once = || {
        pool.ready().expect("processes answer");
        let submit = |task| pool.call(hang { _task: task }).submit().expect("the pool is open").abort_on_drop();
        let hanging: Vec<_> = (0..HANGING).map(submit).collect();
        while hanging.iter().any(|handle| handle.worker().is_none()) {
            sleep(Duration::from_millis(1));
        }
        timed(|| {
            drop(hanging);
            pool.apply(nothing { _task: 0 }).expect("no task fails");
        })
        .as_secs_f64()
    };
    median((0..REPETITIONS).map(|_| once()).collect()).expect("there are some")
}
