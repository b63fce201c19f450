//! The time of a task, by its work and its arguments, and the caller's own CPU time for it, alone and beside other callers of the same
//! pool.

use std::iter::repeat_n;
use std::thread;

use poolmap::{Pool, pool_map};

use super::cpu::own;
use crate::figures::median;
use crate::runs::{self, WORKERS, poolmap::add, poolmap::work};
use crate::tasks::{rounds, timed};

/// The CPU time of a task, in microseconds, and the bytes of its argument.
pub const MICROS: [f64; 5] = [0.0, 1.0, 10.0, 100.0, 1000.0];
pub const BYTES: [usize; 3] = [0, 1024, 65_536];
/// Threads that map over one pool.
pub const CALLERS: [usize; 3] = [1, 2, 4];

/// A map takes about so long, and has no more tasks and bytes than these.
const MAP_MICROS: f64 = 100_000.0;
const TASKS_MAX: f64 = 200_000.0;
const BYTES_MAX: usize = 128 << 20;
const REPETITIONS: usize = 3;
/// The tasks of all callers together.
const CALLED: i64 = 2_000_000;

/// Prints, for each point, the seconds for a task and the CPU time of the parent for it: `task <microseconds> <bytes>`, `caller
/// <microseconds> <bytes>`.
pub fn tasks() {
    let pool = runs::poolmap::warm(WORKERS);
    for bytes in BYTES {
        let block = vec![7u8; bytes];
        for micros in MICROS {
            let most = TASKS_MAX.min(MAP_MICROS / (micros / WORKERS as f64).max(0.1));
            let tasks = (most as usize).min(BYTES_MAX / bytes.max(1));
            let map = || {
                drop(
                    pool_map!(in &pool, work, repeat_n(rounds(micros), tasks), repeat_n(&block[..], tasks))
                        .expect("no task fails"),
                )
            };
            map();
            let (wall, caller) = each(tasks, map);
            println!("task {micros} {bytes} {wall}");
            println!("caller {micros} {bytes} {caller}");
        }
    }
}

/// Prints the seconds and the parent's CPU time for a task of no work, where so many threads map at once: `callers <threads> wall`,
/// `callers <threads> cpu`.
pub fn callers() {
    let pool = runs::poolmap::warm(WORKERS);
    for threads in CALLERS {
        let map = || all_at_once(&pool, threads);
        map();
        let (wall, cpu) = each(CALLED as usize, map);
        println!("callers {threads} wall {wall}");
        println!("callers {threads} cpu {cpu}");
    }
}

/// The seconds and this process's CPU time for each of so many tasks of a map: medians of some repetitions.
fn each(tasks: usize, map: impl Fn()) -> (f64, f64) {
    let (mut walls, mut own_times) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        let before = own();
        walls.push(timed(&map).as_secs_f64() / tasks as f64);
        own_times.push((own() - before) / tasks as f64);
    }
    let middle = |times| median(times).expect("there are some");
    (middle(walls), middle(own_times))
}

fn all_at_once(pool: &Pool, threads: usize) {
    let tasks = CALLED / threads as i64;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| drop(pool_map!(in pool, add, 0..tasks, 0..tasks).expect("no task fails")));
        }
    });
}
