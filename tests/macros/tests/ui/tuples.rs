//! Tuples that do not fit the parameters, or do not stand alone.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn main() {
    let triples = vec![(1i64, 2i64, 3i64)];
    let _ = pool_map!(add, *triples);
    let _ = pool_map!(add, *[(1i64, "two")]);
    let _ = pool_map!(add, *[1i64, 2]);
    let pairs = vec![(1i64, 'b')];
    let _ = pool_map!(add, *&pairs);
    let _ = pool_map!(add, *[(1i64,)]);
}
