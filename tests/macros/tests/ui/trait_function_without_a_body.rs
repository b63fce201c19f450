//! A required function of a trait cannot be a worker function.

use poolmap::worker;

trait Step {
    #[worker]
    fn step(count: u64) -> u64;
}

fn main() {}
