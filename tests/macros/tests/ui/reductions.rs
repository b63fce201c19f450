//! Reductions as they are not written.

use poolmap::{pool_map, pool_reduce, worker};

#[worker]
fn double(x: i64) -> i64 {
    2 * x
}

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let _ = pool_reduce!(double, 0..3);
    let _ = pool_reduce!(double, 0..3; with = add);
    let _ = pool_reduce!(double, 0..3; with = |a, b| a + b, identity = 0);
    let _ = pool_map!(double, 0..3; with = add, identity = 0);
}
