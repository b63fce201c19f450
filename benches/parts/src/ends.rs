//! How long it takes from a death to its error, and to the end of a task that is over its time limit. The worker is warm again
//! before each.

use std::time::Duration;

use divan::Bencher;
use poolmap::{Pool, pool_map, worker};

use crate::workers::{same, warm};

/// What the last of these takes beyond it is what the end takes.
const LIMIT: Duration = Duration::from_millis(100);

#[worker]
fn die(way: &str) {
    match way {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(1),
        _ => loop {
            std::thread::sleep(LIMIT);
        },
    }
}

fn warm_again(pool: &Pool) {
    pool.ready().expect("processes answer");
    pool.apply(same { number: 1 }).expect("no task fails");
}

#[divan::bench(args = ["abort", "exit"], sample_size = 1)]
fn crash(bencher: Bencher, way: &str) {
    let pool = warm();
    let run = || pool.apply(die { way: way.to_owned() }).expect_err("its worker dies");
    bencher.with_inputs(|| warm_again(&pool)).bench_local_values(|()| run());
}

#[divan::bench(sample_size = 1)]
fn limit_of_100_ms(bencher: Bencher) {
    let pool = warm();
    let run = || pool_map!(in &pool, die, ["never"]; timeout = LIMIT).expect_err("it takes too long");
    bencher.with_inputs(|| warm_again(&pool)).bench_local_values(|()| run());
}
