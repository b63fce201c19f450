//! A worker function does not return `impl Trait`.

use poolmap::worker;

#[worker]
fn count(to: u64) -> impl Iterator<Item = u64> {
    0..to
}

fn main() {}
