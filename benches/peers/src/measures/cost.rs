//! What a map of no work takes, for some numbers of tasks and some sizes: the points that the cost model is fitted to.

use std::iter::repeat_n;

use poolmap::pool_map;

use crate::figures::median;
use crate::runs::{self, WORKERS, poolmap::length};
use crate::tasks::timed;

const TASKS: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];
const BYTES: [usize; 5] = [8, 256, 4_096, 65_536, 1 << 20];
/// No point sends more than this.
const BYTES_MAX: usize = 64 << 20;
const REPETITIONS: usize = 5;

/// Prints the seconds of each point: `cost <tasks> <bytes in all>`.
pub fn run() {
    let pool = runs::poolmap::warm(WORKERS);
    for bytes in BYTES {
        let block = vec![7u8; bytes];
        for tasks in TASKS.into_iter().filter(|tasks| tasks * bytes <= BYTES_MAX) {
            let map = || pool_map!(in &pool, length, repeat_n(&block[..], tasks)).expect("no task fails");
            drop(map());
            let times = (0..REPETITIONS).map(|_| timed(map).as_secs_f64()).collect();
            println!("cost {tasks} {} {}", tasks * bytes, median(times).expect("there are some"));
        }
    }
}
