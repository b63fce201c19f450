//! A worker function returns no trait object.

use poolmap::worker;

#[worker]
fn make(x: u64) -> Box<dyn std::fmt::Debug> {
    Box::new(x)
}

fn main() {}
