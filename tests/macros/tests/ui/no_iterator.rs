//! A map has an iterator.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let _ = pool_map!(add);
    let _ = pool_map!(add; chunk_size = 1);
    let _ = pool_map!();
}
