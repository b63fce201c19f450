//! No more iterators are given than there are parameters.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

#[worker]
fn nothing() {}

fn main() {
    let _ = pool_map!(add, 0..3, 0..3, vec![1, 2, 3]);
    let sums: Vec<i64> = pool_map!(add, 0..3, 0..3, "four".chars(), [5]; chunk_size = 4).unwrap();
    let _ = pool_map!(add, 1..2, 2..3, 3..4, [4], [5], [6], [7], [8], [9], [10], [11], [12], [13], [14], [15]);
    let _ = pool_map!(nothing, 0..3);
    let _ = sums;
}
