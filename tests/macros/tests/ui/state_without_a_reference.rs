//! A state is taken by `&mut`.

use poolmap::worker;

#[worker]
fn f(#[state] mut model: Vec<u8>, x: u8) -> u8 {
    model.clear();
    x
}

fn main() {}
