//! An init function makes the type of the state.

use poolmap::worker;

struct Model;

fn load() -> Vec<u8> {
    Vec::new()
}

#[worker]
fn f(#[state(init = load)] model: &mut Model, x: u8) -> u8 {
    let _ = model;
    x
}

fn main() {}
