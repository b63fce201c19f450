//! How long workers take to start, beside as many processes of this program that end at once.

use std::process::{Child, Command};
use std::time::Duration;

use poolmap::{Pool, pool_map};

use crate::runs::poolmap::add;
use crate::tasks::timed;

/// So many workers, and how often.
pub const STARTS: [(usize, usize); 2] = [(2, 51), (64, 7)];
/// The measure of a process that ends at once.
pub const NOTHING: &str = "nothing";

/// Prints the medians, in seconds: until all workers are ready, until as many tasks are done, and of the processes until the last has
/// ended.
pub fn run() {
    for (workers, times) in STARTS {
        let pool = || Pool::builder().workers(workers).build().expect("processes start");
        median(workers, "ready", times, || {
            let pool = pool();
            pool.ready().expect("processes answer");
            pool
        });
        let numbers: Vec<i64> = (0..workers as i64).collect();
        median(workers, "results", times, || {
            let pool = pool();
            pool_map!(in &pool, add, &numbers, &numbers; chunk_size = 1).expect("no task fails");
            pool
        });
        let program = std::env::current_exe().expect("it runs");
        median(workers, "processes", times, || {
            let start = |_| Command::new(&program).args(["measure", NOTHING]).spawn().expect("a process starts");
            let children: Vec<Child> = (0..workers).map(start).collect();
            children.into_iter().for_each(|mut child| assert!(child.wait().is_ok_and(|status| status.success())));
        });
    }
}

fn median<T>(workers: usize, what: &str, times: usize, start: impl Fn() -> T) {
    // The clock is read before the pool or the processes end.
    let once = || {
        let mut started = None;
        let time = timed(|| started = Some(start()));
        drop(started);
        time
    };
    let mut all: Vec<Duration> = (0..times).map(|_| once()).collect();
    all.sort();
    println!("start {workers} {what} {}", all[all.len() / 2].as_secs_f64());
}
