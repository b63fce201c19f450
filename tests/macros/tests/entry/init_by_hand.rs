//! `init()` as the first statement does what the attribute does.

use poolmap::{pool_map, worker};

#[worker]
fn double(x: u64) -> u64 {
    x * 2
}

fn main() {
    poolmap::init();
    assert_eq!(pool_map!(double, 0..3).unwrap(), [0, 2, 4]);
}
