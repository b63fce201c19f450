//! A worker function is not variadic.

use poolmap::worker;

#[worker]
extern "C" fn print(format: String, mut rest: ...) {}

fn main() {}
