//! A test program without a `#[poolmap::test]` has no workers: that is an error, whatever runs first.

use poolmap::{Pool, Process, pool_map, worker};

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

#[test]
fn maps_pools_and_processes_fail() {
    assert!(pool_map!(double, [1]).unwrap_err().is_not_initialized());
    assert!(Pool::new().unwrap_err().is_not_initialized());
    assert!(Process::new(double { x: 1 }).start().err().unwrap().is_not_initialized());
}
