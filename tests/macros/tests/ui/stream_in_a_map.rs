//! A map that blocks its thread does not wait for a stream.

use poolmap::{pool_iter, pool_map, stream, worker};

#[worker]
fn add(x: u64, y: u64) -> u64 {
    x + y
}

fn main() {
    let numbers = || futures_lite::stream::iter(0..3);
    let _ = pool_map!(add, 0..3, stream(numbers()));
    let _ = pool_iter!(add, poolmap::stream(numbers()), 0..3; window = 2);
    // A stream is no iterator, and its items are the arguments.
    let _ = poolmap::pool_stream!(add, numbers(), 0..3);
    let _ = poolmap::pool_stream!(add, stream(futures_lite::stream::iter(["a"])), 0..3);
}
