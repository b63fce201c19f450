//! `Self` in the signature of a free function.

use poolmap::worker;

#[worker]
fn copy(value: Self) -> u64 {
    0
}

fn main() {}
