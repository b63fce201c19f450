//! A long computation that goes on where it was interrupted. Press Ctrl-C while it runs, and start it again.
//!
//! `cargo run --release --example journal [-- journal]`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use poolmap::{pool_iter, worker};

/// How many steps of Collatz's sequence lead from a number to 1, taken slowly.
#[worker]
fn steps(from: u64) -> u32 {
    std::thread::sleep(Duration::from_millis(20));
    std::iter::successors(Some(from), |&x| match x {
        1 => None,
        x if x.is_multiple_of(2) => Some(x / 2),
        x => Some(3 * x + 1),
    })
    .count() as u32
        - 1
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let path = std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("collatz.journal"), PathBuf::from);
    let start = Instant::now();
    let mut longest = (0, 0);
    for (from, steps) in (1..=300).zip(pool_iter!(steps, 1..=300; journal = &path)?) {
        longest = longest.max((steps?, from));
    }
    println!("{} leads to 1 in {} steps: the longest way, found in {:.1?}", longest.1, longest.0, start.elapsed());
    assert_eq!(longest.0, 127);
    println!("{} has the outputs: the next run takes them from there", path.display());
    Ok(())
}
