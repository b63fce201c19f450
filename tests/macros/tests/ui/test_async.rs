//! An `async` test has a runtime, and no other test attribute than that one's.

#[poolmap::test]
async fn adds() {}

#[poolmap::test]
#[ignore]
#[test]
async fn of_the_harness() {}

#[poolmap::test]
#[::core::prelude::v1::test]
fn by_its_path() {}

fn main() {}
