//! A state without an init function has a default.

use poolmap::worker;

struct Model;

#[worker]
fn f(#[state] model: &mut Model, x: u8) -> u8 {
    let _ = model;
    x
}

fn main() {}
