//! An `async fn main` has a runtime.

#[poolmap::main]
async fn main() {}
