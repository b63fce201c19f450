//! A method cannot be a worker function.

use poolmap::worker;

struct Counter {
    step: u64,
}

impl Counter {
    #[worker]
    fn advance(&self, count: u64) -> u64 {
        count + self.step
    }
}

fn main() {
    Counter { step: 1 }.advance(1);
}
