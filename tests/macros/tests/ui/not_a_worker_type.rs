//! A type with fields is no worker function either.

use poolmap::{pool_map, pool_reduce, worker};

#[allow(non_camel_case_types)]
struct plain {}

mod inner {
    pub enum Choice {}
}

#[worker]
fn double(x: i64) -> i64 {
    2 * x
}

fn main() {
    let _ = pool_map!(plain, 0..3);
    let _ = pool_map!(inner::Choice, 0..3);
    let _ = pool_map!(String, 0..3);
    let _ = pool_map!(plain, *[(1, 2)]);
    let _ = pool_reduce!(double, 0..3; with = plain, identity = 0);
}
