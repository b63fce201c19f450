//! The error of a worker function can be shown.

use poolmap::worker;

struct Failure;

#[worker]
fn parse(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure)
}

#[worker]
fn read(text: &str) -> Result<u64, Box<dyn std::error::Error>> {
    Ok(text.parse()?)
}

fn main() {}
