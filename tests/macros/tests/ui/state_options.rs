//! The init function of a state has its name.

use poolmap::worker;

#[worker]
fn f(#[state(load)] model: &mut Vec<u8>, x: u8) -> u8 {
    model.clear();
    x
}

fn main() {}
