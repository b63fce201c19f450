//! Items fit the parameter.

use poolmap::{pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

#[worker]
fn all(text: &str, bytes: &[u8], path: &std::path::Path, name: std::borrow::Cow<'_, str>, more: &Vec<Option<u8>>) {
    let _ = (text, bytes, path, name, more);
}

fn main() {
    let _ = pool_map!(all, [1], ["a"], [2], [3], [4]);
    let _ = pool_map!(add, 0..3, ["one", "two", "three"]);
    let _ = pool_map!(add, [0.5].iter().copied(), 0..1);
}
