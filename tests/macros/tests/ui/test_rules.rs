//! What a test cannot be.

#[poolmap::test]
fn with_parameter(x: u64) {
    let _ = x;
}

#[poolmap::test]
#[test]
fn twice() {}

#[poolmap::test]
const LIMIT: usize = 1;

#[poolmap::test(crate = "poolmap")]
fn quoted() {}

fn main() {
    let _ = LIMIT;
}
