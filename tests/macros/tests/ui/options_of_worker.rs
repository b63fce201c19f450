//! Every wrong option of `#[worker]`.

use poolmap::worker;

#[worker(timeout = 3)]
fn unknown(x: u64) -> u64 {
    x
}

#[worker(plain = true)]
fn valued(x: u64) -> u64 {
    x
}

#[worker(plain, plain)]
fn twice(x: u64) -> u64 {
    x
}

#[worker(crate = "poolmap")]
fn quoted(x: u64) -> u64 {
    x
}

#[worker(crate)]
fn no_path(x: u64) -> u64 {
    x
}

fn main() {}
