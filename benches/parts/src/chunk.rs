//! What the size of a chunk makes of a task of no work: with the size given, and with the one that follows measured time.

use divan::Bencher;
use poolmap::pool_map;

use crate::workers::{same, warm};

const TASKS: u64 = 10_000;

#[divan::bench(items_count = TASKS, args = [1, 16, 256, 4096])]
fn given(bencher: Bencher, tasks: usize) {
    let pool = warm();
    bencher.bench_local(|| pool_map!(in &pool, same, 0..TASKS; chunk_size = tasks).expect("no task fails"));
}

#[divan::bench(items_count = TASKS)]
fn measured(bencher: Bencher) {
    let pool = warm();
    bencher.bench_local(|| pool_map!(in &pool, same, 0..TASKS).expect("no task fails"));
}
