//! The CPU time that poolmap itself takes: of the parent for each task, with few and with many workers; of a pool that waits.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use poolmap::{Pool, pool_map};

use crate::runs::{self, WORKERS, poolmap::add, poolmap::nap};

/// Many more workers than processors.
pub const CROWD: usize = 1_000;
/// Tasks of no work, by chunks by default and one a message.
const TASKS: i64 = 1_000_000;
const SINGLE_TASKS: i64 = 100_000;
/// How long a pool waits.
const WAIT: Duration = Duration::from_secs(2);

/// The parent's CPU time for a task, in seconds, with few workers and with a crowd.
pub fn crowd() {
    for workers in [WORKERS, CROWD] {
        let pool = Pool::builder().workers(workers).startup_timeout(Duration::from_secs(120)).build();
        let pool = pool.expect("processes start");
        pool.ready().expect("processes answer");
        pool_map!(in &pool, add, 0..TASKS / 10, 0..TASKS / 10).expect("no task fails");
        let before = own();
        pool_map!(in &pool, add, 0..TASKS, 0..TASKS).expect("no task fails");
        println!("crowd {workers} chunks {}", (own() - before) / TASKS as f64);
        let before = own();
        pool_map!(in &pool, add, 0..SINGLE_TASKS, 0..SINGLE_TASKS; chunk_size = 1).expect("no task fails");
        println!("crowd {workers} single {}", (own() - before) / SINGLE_TASKS as f64);
    }
}

/// The part of one CPU that a pool takes while its tasks are long, and while it has none.
pub fn waiting() {
    let pool = runs::poolmap::warm(WORKERS);
    pool_map!(in &pool, add, 0..1000, 0..1000).expect("no task fails");
    std::thread::sleep(Duration::from_millis(100));
    let long = vec![WAIT.as_millis() as u64; WORKERS];
    part("long", &pool, || drop(pool_map!(in &pool, nap, long).expect("no task fails")));
    std::thread::sleep(Duration::from_millis(100));
    part("idle", &pool, || std::thread::sleep(WAIT));
}

fn part(name: &str, pool: &Pool, wait: impl FnOnce()) {
    // Looking at the workers takes CPU time too: the parent's is read inside of that.
    let (workers, start, parent) = (of(pool), Instant::now(), own());
    wait();
    let (parent, wall) = (own() - parent, start.elapsed().as_secs_f64());
    println!("waiting {name} parent {}", parent / wall);
    println!("waiting {name} workers {}", (of(pool) - workers) / wall);
}

/// The CPU time of this process, in seconds.
pub fn own() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("it is our own");
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}

/// The CPU time of a pool's workers, in seconds: of all their threads, to the nanosecond (proc(5), schedstat).
fn of(pool: &Pool) -> f64 {
    let thread = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    let threads = pool.workers().into_iter().flat_map(|worker| {
        std::fs::read_dir(format!("/proc/{}/task", worker.pid())).expect("the worker lives").flatten()
    });
    threads.filter_map(|entry| thread(entry.path())).sum::<f64>() / 1e9
}
