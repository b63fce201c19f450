//! `self` outside of an `impl`.

use poolmap::worker;

#[worker]
fn advance(self, count: u64) -> u64 {
    count + 1
}

fn main() {}
