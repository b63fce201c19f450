//! A reference stands only at the front of a parameter's type.

use poolmap::worker;

#[worker]
fn first(texts: &[&str], fallback: Option<&str>, pair: (&[u8], &std::path::Path), twice: &&u64) -> usize {
    let _ = (pair, twice);
    texts.first().or(fallback.as_ref()).map_or(0, |text| text.len())
}

fn main() {}
