//! An associated function cannot be a worker function, in an `impl` of any kind or in a trait.

use poolmap::worker;

struct Counter;

impl Counter {
    #[worker]
    fn advance(count: u64) -> u64 {
        count + 1
    }

    #[worker]
    fn start() -> Self {
        Self
    }
}

trait Step {
    #[worker]
    fn step(count: u64) -> u64 {
        count + 1
    }
}

impl Step for Counter {
    #[worker]
    fn step(count: u64) -> u64 {
        count + 2
    }
}

fn main() {
    Counter::advance(1);
    Counter::start();
    Counter::step(1);
}
