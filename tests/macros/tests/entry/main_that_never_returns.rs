//! A `main` that ends the program by itself.

use poolmap::{pool_map, worker};

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

#[poolmap::main]
fn main() -> ! {
    assert_eq!(pool_map!(square, 1..4).unwrap(), [1, 4, 9]);
    std::process::exit(0)
}
