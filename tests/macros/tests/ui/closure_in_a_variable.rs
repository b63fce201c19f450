//! A variable is no worker function.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let offset = 3;
    let shift = |x: i64| x + offset;
    let _ = pool_map!(shift, 0..3);
}
