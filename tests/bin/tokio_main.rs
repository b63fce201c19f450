//! `#[poolmap::main]` above `#[tokio::main]`.

use poolmap::{pool_map, worker};

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

#[poolmap::main]
#[tokio::main(flavor = "current_thread")]
async fn main() -> poolmap::Result<()> {
    println!("main runs");
    let doubled = tokio::spawn(async { pool_map!(double, 1..4) }).await.expect("it does not panic")?;
    println!("{doubled:?}");
    Ok(())
}
