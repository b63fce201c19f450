//! A program that forgot `poolmap::init()`.

use poolmap::{Pool, Process, pool_map, worker};

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

fn main() {
    println!("main runs");
    let error = pool_map!(double, 1..4).expect_err("no one let workers in");
    println!("{} {error}", error.is_not_initialized());
    let process = Process::new(double { x: 1 }).start();
    println!("{}", process.expect_err("no one let workers in").is_not_initialized());
    println!("{}", Pool::new().expect_err("no one let workers in").is_not_initialized());
}
