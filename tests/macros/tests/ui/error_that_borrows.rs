//! The error of a worker function owns what it says.

use poolmap::worker;

#[worker]
fn parse<'a>(text: &'a str, name: &str) -> Result<u64, &'a str> {
    let _ = name;
    text.parse().map_err(|_| text)
}

struct Failure<'a>(&'a str);

#[worker]
fn check<'a>(text: &'a str) -> Result<u64, Failure<'a>> {
    text.parse().map_err(|_| Failure(text))
}

fn main() {}
