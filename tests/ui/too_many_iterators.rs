//! No more iterators are given than there are parameters.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let _ = pool_map!(add, 0..3, 0..3, vec![1, 2, 3]);
}
