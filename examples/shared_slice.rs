//! A large array in shared memory: the workers read it where it is, and a task is a few bytes. A table that all tasks need is
//! sent once.

use std::time::Instant;

use poolmap::{SharedSlice, pool_map, shared, worker};

/// How many of the numbers are above a level, and how they are weighed.
#[worker]
fn weigh_above(level: f64, numbers: &SharedSlice<f64>, weights: &[f64]) -> f64 {
    let above = numbers.iter().filter(|&&number| number > level);
    above.zip(weights.iter().cycle()).map(|(number, weight)| number * weight).sum()
}

#[worker]
fn sum(part: SharedSlice<f64>) -> f64 {
    part.iter().sum()
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    // The numbers are born in shared memory: 64 MiB, which nobody copies.
    let numbers: SharedSlice<f64> = (0..8 << 20).map(f64::from).collect();

    for map in ["first", "second"] {
        let start = Instant::now();
        let sums = pool_map!(sum, numbers.chunks(1 << 17))?;
        println!("{} parts add up to {} ({map} map: {:?})", sums.len(), sums.iter().sum::<f64>(), start.elapsed());
    }

    // The same numbers and the same weights for every task, and another level for each.
    let weights = vec![0.25, 0.5, 0.25];
    let some = numbers.slice(..1000);
    let weighed = pool_map!(weigh_above, [0.0, 500.0, 998.0], std::iter::repeat(&some), shared(&weights))?;
    println!("{weighed:?}");
    Ok(())
}
