//! A parameter holds no trait object.

use poolmap::worker;

#[worker]
fn call(function: Box<dyn Fn(u64) -> u64>, by_reference: &dyn std::fmt::Debug) -> u64 {
    let _ = by_reference;
    function(1)
}

fn main() {}
