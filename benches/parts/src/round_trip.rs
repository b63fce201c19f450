//! How long one task of no work takes there and back: both sides still polling, and both asleep.

use std::thread::sleep;
use std::time::Duration;

use divan::Bencher;
use poolmap::{Pool, pool_map};

use crate::workers::{same, warm};

/// Long against the time that either side polls for.
const PAUSE: Duration = Duration::from_millis(5);

fn apply(pool: &Pool) -> u64 {
    pool.apply(same { number: 1 }).expect("no task fails")
}

fn map(pool: &Pool) -> Vec<u64> {
    pool_map!(in pool, same, [1]).expect("no task fails")
}

#[divan::bench]
fn apply_back_to_back(bencher: Bencher) {
    let pool = warm();
    bencher.bench_local(|| apply(&pool));
}

#[divan::bench]
fn map_back_to_back(bencher: Bencher) {
    let pool = warm();
    bencher.bench_local(|| map(&pool));
}

// The inputs of a sample are made before it: with one call in each, the pause is before every call.

#[divan::bench(sample_size = 1)]
fn apply_from_sleep(bencher: Bencher) {
    let pool = warm();
    bencher.with_inputs(|| sleep(PAUSE)).bench_local_values(|()| apply(&pool));
}

#[divan::bench(sample_size = 1)]
fn map_from_sleep(bencher: Bencher) {
    let pool = warm();
    bencher.with_inputs(|| sleep(PAUSE)).bench_local_values(|()| map(&pool));
}
