//! `main` can return a `Result`, whose error is its own.

use poolmap::{pool_map, worker};

#[worker]
fn parse(text: &str) -> Result<u64, std::num::ParseIntError> {
    text.parse()
}

/// Documentation of `main`.
#[poolmap::main]
#[allow(clippy::unnecessary_wraps)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    assert_eq!(pool_map!(parse, ["1", "2"])?, [1, 2]);
    let error = pool_map!(parse, ["x"]).unwrap_err();
    assert!(format!("{error:#}").contains("invalid digit"), "{error:#}");
    Ok(())
}
