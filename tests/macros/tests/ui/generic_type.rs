//! A worker function has no generic types.

use poolmap::worker;

#[worker]
fn largest<T: Ord>(values: Vec<T>) -> T {
    values.into_iter().max().unwrap()
}

fn main() {}
