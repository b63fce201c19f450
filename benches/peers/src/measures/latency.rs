//! How long a map of a single task takes, on a pool that is warm.

use std::time::Duration;

use poolmap::pool_map;

use crate::runs::{self, WORKERS, poolmap::add};
use crate::tasks::{self, timed};

/// Calls one after the other.
const BACK_TO_BACK: usize = 5_000;
/// Calls with a pause before each.
const PAUSED: usize = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// Prints the median and the 99th percentile, in seconds, of each library.
pub fn run() {
    let pool = runs::poolmap::warm(WORKERS);
    calls("poolmap", || pool_map!(in &pool, add, [1], [2]).expect("no task fails"));
    drop(pool);
    let pool = runs::procspawn::warm();
    calls("procspawn", || pool.spawn((1, 2), |(x, y)| tasks::add(x, y)).join().expect("no task fails"));
    drop(pool);
    runs::rayon::warm();
    // A parallel iterator of one item would run on the calling thread: this goes to another, and back.
    calls("rayon", || {
        let mut sum = 0;
        rayon::scope(|scope| scope.spawn(|_| sum = tasks::add(1, 2)));
        sum
    });
}

fn calls<T>(library: &str, call: impl Fn() -> T) {
    (0..BACK_TO_BACK / 10).for_each(|_| drop(call()));
    print(library, "back", (0..BACK_TO_BACK).map(|_| timed(&call)).collect());
    let paused = |_| {
        std::thread::sleep(PAUSE);
        timed(&call)
    };
    print(library, "paused", (0..PAUSED).map(paused).collect());
}

fn print(library: &str, how: &str, mut times: Vec<Duration>) {
    times.sort();
    println!("latency {library} {how} median {}", times[times.len() / 2].as_secs_f64());
    println!("latency {library} {how} p99 {}", times[times.len() * 99 / 100].as_secs_f64());
}
