//! Only the options that there are.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let _ = pool_map!(add, 0..3, 0..3; chunks = 4);
    let _ = pool_map!(add, 0..3, 0..3; fast, window = 1, slow);
}
