//! A function without `#[worker]` is no worker function.

use poolmap::pool_map;

fn double(x: i64) -> i64 {
    x * 2
}

mod inner {
    pub fn triple(x: i64) -> i64 {
        x * 3
    }
}

fn main() {
    let _ = pool_map!(double, 0..3);
    let _ = pool_map!(inner::triple, 0..3);
}
