//! What stands for a parameter is an iterator.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let offset: i64 = 3;
    let _ = pool_map!(add, 0..3, offset + 1);
    let _ = pool_map!(add, 5, 0..3);
}
