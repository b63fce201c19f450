//! From which CPU time a task is worth a process: the same tasks in a loop, over threads, over processes.

use poolmap::pool_map;
use rayon::prelude::*;

use crate::figures::median;
use crate::runs::{self, WORKERS, poolmap::spin};
use crate::tasks::{self, rounds, timed};

/// The CPU time of a task, in microseconds.
const MICROS: [f64; 16] =
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];
/// So long takes a loop over the tasks of a point, if that many are allowed.
const LOOP_MICROS: f64 = 60_000.0;
const TASKS_MAX: f64 = 500_000.0;
const REPETITIONS: usize = 3;

/// Prints the seconds for one task: `even <library> <microseconds>`.
pub fn run() {
    let pool = runs::poolmap::warm(WORKERS);
    runs::rayon::warm();
    for micros in MICROS {
        let tasks = (LOOP_MICROS / micros).min(TASKS_MAX) as usize;
        let all = vec![rounds(micros); tasks];
        let serial = || timed(|| all.iter().map(|&rounds| tasks::spin(rounds)).collect::<Vec<_>>());
        let threads = || timed(|| all.par_iter().map(|&rounds| tasks::spin(rounds)).collect::<Vec<_>>());
        let processes = || timed(|| pool_map!(in &pool, spin, &all).expect("no task fails"));
        let mut times = [vec![], vec![], vec![]];
        for _ in 0..REPETITIONS {
            for (times, took) in times.iter_mut().zip([serial(), threads(), processes()]) {
                times.push(took.as_secs_f64() / tasks as f64);
            }
        }
        for (times, library) in times.into_iter().zip(["serial", "rayon", "poolmap"]) {
            println!("even {library} {micros} {}", median(times).expect("there are some"));
        }
    }
}
