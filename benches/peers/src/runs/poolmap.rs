//! The workloads over poolmap, as a user writes them.

use std::iter::repeat_n;
use std::time::Duration;

use poolmap::{Pool, SharedSlice, pool_iter, pool_iter_unordered, pool_map, worker};

use crate::tasks::{self, rounds, timed};

macro_rules! workers {
    ($($name:ident($($parameter:ident: $type:ty),*) -> $output:ty;)*) => {$(
        #[worker]
        pub fn $name($($parameter: $type),*) -> $output {
            tasks::$name($($parameter),*)
        }
    )*};
}

workers! {
    add(x: i64, y: i64) -> i64;
    spin(rounds: u64) -> u64;
    echo(bytes: Vec<u8>) -> Vec<u8>;
    sum(numbers: &[f64]) -> f64;
    count(line: &str) -> usize;
    words(paragraph: &str) -> std::collections::HashMap<String, u32>;
    weigh(bytes: &[u8]) -> u64;
    work(rounds: u64, bytes: &[u8]) -> u64;
    length(bytes: &[u8]) -> usize;
    nap(millis: u64) -> ();
}

#[worker]
fn sum_shared(numbers: &SharedSlice<f64>) -> f64 {
    tasks::sum(numbers)
}

/// A pool whose workers have answered.
pub fn warm(workers: usize) -> Pool {
    let pool = Pool::builder().workers(workers).build().expect("processes start");
    pool.ready().expect("processes answer");
    pool
}

/// The time for so many tasks of a workload, or why it cannot be run.
pub fn run(pool: &Pool, workload: &str, n: usize) -> Result<Duration, &'static str> {
    let long = n as i64;
    let spun = |all: Vec<u64>| timed(|| pool_map!(in pool, spin, all).expect("no task fails"));
    Ok(match workload {
        "W1" => timed(|| pool_map!(in pool, add, 0..long, 0..long; chunk_size = 1).expect("no task fails")),
        "W2" => timed(|| pool_map!(in pool, add, 0..long, 0..long).expect("no task fails")),
        "W2i" => timed(|| {
            let sums = pool_iter!(in pool, add, 0..long, 0..long).expect("no task fails");
            sums.map(|sum| sum.expect("no task fails")).fold(0, i64::wrapping_add)
        }),
        "W3" => spun(vec![rounds(10.0); n]),
        "W3c" => {
            let all = vec![rounds(10.0); n];
            timed(|| pool_map!(in pool, spin, all; chunk_size = 1).expect("no task fails"))
        }
        "W4" => spun(vec![rounds(1000.0); n]),
        "W5" => spun(tasks::uneven(n).into_iter().map(rounds).collect()),
        "W6" => {
            let block = tasks::block();
            timed(|| {
                let blocks = pool_iter_unordered!(in pool, echo, repeat_n(&block, n)).expect("no task fails");
                blocks.map(|block| block.expect("no task fails").1.len()).sum::<usize>()
            })
        }
        "W7" | "W7c" => {
            let array = tasks::array(n);
            timed(|| pool_map!(in pool, sum, array.chunks(tasks::SLICE)).expect("no task fails"))
        }
        "W7f" => {
            let array = tasks::array_in::<SharedSlice<f64>>(n);
            timed(|| pool_map!(in pool, sum_shared, array.chunks(tasks::SLICE)).expect("no task fails"))
        }
        "W7b" => {
            let array = tasks::array_in::<SharedSlice<f64>>(n);
            pool_map!(in pool, sum_shared, array.chunks(tasks::SLICE)).expect("no task fails");
            timed(|| pool_map!(in pool, sum_shared, array.chunks(tasks::SLICE)).expect("no task fails"))
        }
        "W9" => {
            let lines = tasks::text(n, 40);
            timed(|| pool_map!(in pool, count, &lines).expect("no task fails"))
        }
        "W9p" => {
            let paragraphs = tasks::text(n, 4096);
            timed(|| pool_map!(in pool, words, &paragraphs).expect("no task fails"))
        }
        "W10" => timed(|| {
            let weights = pool_iter_unordered!(in pool, weigh, tasks::items(n)).expect("no task fails");
            weights.map(|weight| weight.expect("no task fails").1).sum::<u64>()
        }),
        other => panic!("no workload {other}"),
    })
}
