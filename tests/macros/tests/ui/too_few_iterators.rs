//! An iterator is given for each parameter.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let _ = pool_map!(add, 0..3);
}
