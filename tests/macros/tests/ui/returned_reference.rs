//! A worker function returns no reference, nor anything that holds one.

use poolmap::worker;

#[worker]
fn trim(text: &str) -> &str {
    text.trim()
}

#[worker]
fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

#[worker]
fn name(index: usize) -> Result<&'static str, String> {
    ["one", "two"].get(index).copied().ok_or_else(|| index.to_string())
}

fn main() {}
