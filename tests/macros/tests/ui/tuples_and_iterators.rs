//! Tuples beside other iterators.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let pairs = vec![(1i64, 2i64)];
    let _ = pool_map!(add, *pairs.clone(), 0..1);
    let _ = pool_map!(add, 0..1, *pairs);
}
