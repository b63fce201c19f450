//! A parameter is not a mutable reference.

use poolmap::worker;

#[worker]
fn sort(values: &mut Vec<u64>) {
    values.sort();
}

fn main() {}
