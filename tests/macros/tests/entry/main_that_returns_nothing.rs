//! The plainest `main`, under the strictest lints.

#![forbid(unsafe_code)]
#![deny(warnings, unused, unused_results, unused_qualifications)]

use poolmap::{pool_map, worker};

#[worker]
fn double(x: u64) -> u64 {
    x * 2
}

#[poolmap::main]
fn main() {
    assert_eq!(pool_map!(double, 0..3).unwrap(), [0, 2, 4]);
}
