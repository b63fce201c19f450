//! A program with one worker function more than those whose workers it could be.

use poolmap::worker;
use poolmap_suite_jobs as _;

#[worker]
fn one_more(x: u64) -> u64 {
    x + 1
}

fn main() {
    poolmap::run_worker()
}
