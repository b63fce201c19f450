//! A function that does not exist.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let _ = pool_map!(multiply, 0..3);
}
