//! A worker function has no const parameters.

use poolmap::worker;

#[worker]
fn sum<const N: usize>(values: [u64; N]) -> u64 {
    values.iter().sum()
}

fn main() {}
