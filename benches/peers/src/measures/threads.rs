//! Workers whose tasks use a library that starts a thread for each CPU: with all of these threads, and with as many as the pool allows.

use poolmap::{Builder, Pool, cpu_count, pool_map, worker};
use rayon::prelude::*;

use crate::figures::median;
use crate::runs::WORKERS;
use crate::tasks::{self, rounds, timed};

/// How often each is measured.
const REPETITIONS: usize = 7;
const TASKS: usize = 40;
/// A task has this many parallel sections, a section this many pieces, and a piece takes this many microseconds.
const SECTIONS: usize = 100;
const PIECES: usize = 16;
const MICROSECONDS: f64 = 5.0;

#[worker]
fn sections(rounds: u64) -> u64 {
    let section = |_| (0..PIECES).into_par_iter().map(|_| tasks::spin(rounds)).reduce(|| 0, u64::wrapping_add);
    (0..SECTIONS).map(section).fold(0, u64::wrapping_add)
}

/// Prints the seconds of a task: `threads all` and `threads shared`.
pub fn run() {
    measure("all", Pool::builder().env("RAYON_NUM_THREADS", cpu_count().to_string()));
    measure("shared", Pool::builder());
}

fn measure(name: &str, builder: Builder) {
    let pool = builder.workers(WORKERS).build().expect("processes start");
    let all = vec![rounds(MICROSECONDS); TASKS];
    let map = || drop(pool_map!(in &pool, sections, &all; chunk_size = 1).expect("no task fails"));
    map();
    let times = (0..REPETITIONS).map(|_| timed(map).as_secs_f64() / TASKS as f64).collect();
    println!("threads {name} {}", median(times).expect("there are some"));
}
