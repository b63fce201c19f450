//! Attributes that a worker function cannot have.

use poolmap::worker;

#[worker]
#[target_feature(enable = "avx2")]
fn fast(x: u64) -> u64 {
    x
}

#[worker]
#[worker]
fn marked_twice(x: u64) -> u64 {
    x
}

fn main() {}
