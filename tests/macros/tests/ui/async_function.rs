//! A worker function is not `async`.

use poolmap::worker;

#[worker]
async fn fetch(address: String) -> String {
    address
}

fn main() {}
