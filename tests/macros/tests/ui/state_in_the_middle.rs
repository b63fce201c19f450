//! A state is the first parameter.

use poolmap::worker;

#[worker]
fn f(x: u8, #[state] model: &mut Vec<u8>) -> u8 {
    model.clear();
    x
}

fn main() {}
