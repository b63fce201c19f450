//! What a reduction cannot fold with.

use poolmap::{pool_reduce, worker};

#[worker]
fn double(x: i64) -> i64 {
    2 * x
}

#[worker]
fn longer(a: String, b: String) -> String {
    if a.len() > b.len() { a } else { b }
}

fn plain(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {
    let _ = pool_reduce!(double, 0..3; with = longer, identity = 0);
    let _ = pool_reduce!(double, 0..3; with = plain, identity = 0);
}
