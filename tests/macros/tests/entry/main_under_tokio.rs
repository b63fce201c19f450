//! `#[poolmap::main]` stands above `#[tokio::main]`, so that no runtime is started in a worker.

use poolmap::{pool_map, worker};

#[worker]
fn has_runtime(_: u8) -> bool {
    tokio::runtime::Handle::try_current().is_ok()
}

#[poolmap::main]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), poolmap::Error> {
    assert!(tokio::runtime::Handle::try_current().is_ok());
    assert_eq!(pool_map!(has_runtime, 0..2)?, [false, false]);
    Ok(())
}
