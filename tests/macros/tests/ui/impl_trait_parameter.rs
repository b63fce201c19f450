//! A parameter is not `impl Trait`.

use poolmap::worker;

#[worker]
fn total(values: impl Iterator<Item = u64>) -> u64 {
    values.sum()
}

fn main() {}
