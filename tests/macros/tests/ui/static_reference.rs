//! A parameter does not live for ever.

use poolmap::worker;

#[worker]
fn length(text: &'static str) -> usize {
    text.len()
}

fn main() {}
