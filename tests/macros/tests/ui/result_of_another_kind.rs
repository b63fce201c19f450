//! What is named `Result` is one.

use poolmap::worker;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Result {
    score: u64,
}

#[worker]
fn play(score: u64) -> Result {
    Result { score }
}

fn main() {}
