//! Options as they are not written.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let _ = pool_map!(add, 0..3, 0..3; chunk_size);
    let _ = pool_map!(add, 0..3, 0..3; window =);
    let _ = pool_map!(add, 0..3, 0..3; shortest = true);
    let _ = pool_map!(add, 0..3, 0..3; window = 1, window = 2);
    let _ = pool_map!(add, 0..3, 0..3; window = "all");
    let _ = pool_map!(add, 0..3, 0..3, chunk_size = 4);
    let _ = pool_map!(add, 0..3, 0..3; window = 1 shortest);
}
