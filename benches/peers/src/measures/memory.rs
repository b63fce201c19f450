//! The memory of the parent and of its workers, as /proc/<pid>/status has it, in bytes.

use poolmap::{Pool, pool_iter_unordered, pool_map, worker};

use crate::runs::{self, WORKERS, poolmap::add};

/// The parent's peak in W10, over what it has with an idle pool.
pub fn peak() {
    let pool = runs::poolmap::warm(WORKERS);
    pool_map!(in &pool, add, 0..1000, 0..1000).expect("no task fails");
    let n = crate::workloads::tasks_of("W10", "poolmap");
    let (idle, more) = peak_over_idle(|| runs::poolmap::run(&pool, "W10", n).map(drop).expect("poolmap runs W10"));
    println!("memory parent idle {idle}");
    println!("memory parent peak {more}");
}

/// The parent's peak while large values go through one by one, in values.
pub fn flight() {
    let pool = runs::poolmap::warm(WORKERS);
    pool_map!(in &pool, add, 0..1000, 0..1000).expect("no task fails");
    let in_values = |(_, more): (f64, f64)| more / FLIGHT_BYTES as f64;
    let results = peak_over_idle(|| {
        let blocks = pool_iter_unordered!(in &pool, make, std::iter::repeat_n(FLIGHT_BYTES, FLIGHT_VALUES));
        blocks
            .expect("no task fails")
            .for_each(|block| assert_eq!(block.expect("no task fails").1.len(), FLIGHT_BYTES));
    });
    println!("memory flight results {}", in_values(results));
    let arguments = peak_over_idle(|| {
        let blocks = (0..FLIGHT_VALUES).map(|_| vec![7u8; FLIGHT_BYTES]);
        let lengths = pool_iter_unordered!(in &pool, length, blocks).expect("no task fails");
        lengths.for_each(|length| assert_eq!(length.expect("no task fails").1, FLIGHT_BYTES));
    });
    println!("memory flight arguments {}", in_values(arguments));
}

/// The number of values, and the size of each in bytes: 1 GiB in all.
pub const FLIGHT_VALUES: usize = 64;
pub const FLIGHT_BYTES: usize = 16 << 20;

#[worker]
fn make(bytes: usize) -> Vec<u8> {
    vec![7; bytes]
}

#[worker]
fn length(block: &[u8]) -> usize {
    block.len()
}

/// Returns this process's resident memory before some work, and how far it rises above that during the work.
fn peak_over_idle(work: impl FnOnce()) -> (f64, f64) {
    let idle = status("self", "VmRSS");
    // proc_pid_clear_refs(5): 5 sets the peak back to what is resident now.
    std::fs::write("/proc/self/clear_refs", "5").expect("the kernel keeps peaks");
    work();
    (idle, status("self", "VmHWM") - idle)
}

/// What a worker has before its first task.
pub fn worker() {
    let pool = runs::poolmap::warm(WORKERS);
    for name in ["VmRSS", "RssAnon", "RssFile", "RssShmem"] {
        let most = pids(&pool).iter().map(|pid| status(pid, name)).fold(0.0, f64::max);
        println!("memory worker {name} {most}");
    }
}

/// What many tasks leave behind; `PEERS_GROWTH_TASKS` says how many.
pub fn growth() {
    let asked = std::env::var("PEERS_GROWTH_TASKS").ok();
    let n = asked.map_or(5_000_000, |tasks| tasks.parse::<i64>().expect("PEERS_GROWTH_TASKS is a number"));
    let pool = runs::poolmap::warm(WORKERS);
    let work = |n: i64| {
        let sums = pool_iter_unordered!(in &pool, add, 0..n, 0..n).expect("no task fails");
        sums.map(|sum| sum.expect("no task fails").1).fold(0, i64::wrapping_add)
    };
    let resident = || {
        let workers = pids(&pool).iter().map(|pid| status(pid, "VmRSS")).fold(0.0, f64::max);
        (status("self", "VmRSS"), workers)
    };
    // Everything has been touched once after a while.
    std::hint::black_box(work(n / 10));
    let before = resident();
    std::hint::black_box(work(n));
    let after = resident();
    println!("memory growth tasks {n}");
    println!("memory growth parent {}", after.0 - before.0);
    println!("memory growth worker {}", after.1 - before.1);
}

fn pids(pool: &Pool) -> Vec<String> {
    pool.workers().iter().map(|worker| worker.pid().to_string()).collect()
}

/// A line of /proc/<pid>/status, which is in KiB.
fn status(pid: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("Linux has it");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("it is a number");
    kib * 1024.0
}
