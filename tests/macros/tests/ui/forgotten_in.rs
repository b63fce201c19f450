//! A pool stands after `in`.

use poolmap::{Pool, pool_iter, pool_map, worker};

#[worker]
fn add(x: i64, y: i64) -> i64 {
    x + y
}

fn run(workers: &Pool) -> poolmap::Result<Vec<i64>> {
    pool_map!(workers, add, 0..3, 0..3)
}

fn main() -> poolmap::Result<()> {
    let p = Pool::new()?;
    let _: Vec<i64> = pool_map!(p, add, 0..3, 0..3)?;
    if let Ok(other) = Pool::new() {
        for sum in pool_iter!(other, add, 0..3, 0..3; window = 2)? {
            let _: i64 = sum?;
        }
    }
    let _ = pool_map!(&p, add, 0..3, 0..3);
    run(&p)?;
    Ok(())
}
