//! The function is named, not called.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let _ = pool_map!(add(1, 2));
    let _ = pool_map!(add::<i64>, 0..3, 0..3);
    let _ = pool_map!("add", 0..3, 0..3);
    let _ = pool_map!(add { x: 1, y: 2 });
    let _ = pool_map!([1, 2].len(), 0..3);
}
