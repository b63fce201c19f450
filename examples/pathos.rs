//! The two-iterable map of Python's pathos: `pool.map(add_and_subtract, range(0, 20, 2), range(-5, 5))`.

use poolmap::{pool_map, worker};

#[worker]
fn add_and_subtract(x: i64, y: i64) -> (i64, i64) {
    (x + y, x - y)
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let pairs: Vec<(i64, i64)> = pool_map!(add_and_subtract, (0..20).step_by(2), -5..5)?;
    let pairs: Vec<String> = pairs.iter().map(|pair| format!("{pair:?}")).collect();
    println!("{}", pairs.join(", "));
    Ok(())
}
