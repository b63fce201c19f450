//! A test is not `async`.

#[poolmap::test]
async fn adds() {}

fn main() {}
