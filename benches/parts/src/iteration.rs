//! What it takes to have results one by one, in order and as they finish, against all of them in a `Vec`.

use divan::Bencher;
use poolmap::{pool_iter, pool_iter_unordered, pool_map};

use crate::workers::{same, warm};

const TASKS: u64 = 100_000;

#[divan::bench(items_count = TASKS)]
fn collected(bencher: Bencher) {
    let pool = warm();
    bencher.bench_local(|| {
        let results = pool_map!(in &pool, same, 0..TASKS).expect("no task fails");
        results.into_iter().sum::<u64>()
    });
}

#[divan::bench(items_count = TASKS)]
fn lazy(bencher: Bencher) {
    let pool = warm();
    bencher.bench_local(|| {
        let results = pool_iter!(in &pool, same, 0..TASKS).expect("the pool is open");
        results.map(|result| result.expect("no task fails")).sum::<u64>()
    });
}

#[divan::bench(items_count = TASKS)]
fn lazy_unordered(bencher: Bencher) {
    let pool = warm();
    bencher.bench_local(|| {
        let results = pool_iter_unordered!(in &pool, same, 0..TASKS).expect("the pool is open");
        results.map(|result| result.expect("no task fails").1).sum::<u64>()
    });
}
