//! One program on a laptop, under MPI and over NATS: it counts the points of a circle, and says where each part of it ran.
//!
//! ```text
//! cargo run --example cluster
//! mpirun -n 3 target/debug/examples/cluster
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use poolmap::{pool_map, worker};

/// How many points of a square's part are in the circle, and which process has counted them.
#[worker]
fn inside(part: u64, parts: u64, points: u64) -> (u64, String) {
    let radius = points as f64;
    let rows = (part..points).step_by(usize::try_from(parts).unwrap_or(1));
    let in_row = |y: u64| (radius.powi(2) - (y as f64).powi(2)).sqrt() as u64;
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let node = poolmap::current_worker().map_or(0, |worker| worker.parent_pid());
    (rows.map(in_row).sum(), format!("{} (pool of process {node})", host.trim()))
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let parts = 400;
    poolmap::wait_for_nodes(1, Duration::from_secs(60))?;
    let counted = pool_map!(inside, 0..parts, std::iter::repeat(parts), std::iter::repeat(100_000))?;
    let mut places = BTreeMap::<&str, usize>::new();
    counted.iter().for_each(|(_, place)| *places.entry(place).or_default() += 1);
    let all: u64 = counted.iter().map(|(count, _)| count).sum();
    println!("pi is about {:.6}", 4.0 * all as f64 / 1e10);
    places.iter().for_each(|(place, parts)| println!("{parts:>4} parts on {place}"));
    match poolmap::cluster() {
        Some(cluster) => println!("{cluster}"),
        None => println!("this machine alone"),
    }
    Ok(())
}
