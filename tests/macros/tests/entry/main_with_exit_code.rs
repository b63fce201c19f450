//! `main` can return anything that a `main` returns; a worker runs no line of it.

use std::process::ExitCode;

use poolmap::{pool_map, worker};

#[worker]
fn own_process(_: u8) -> u32 {
    std::process::id()
}

#[poolmap::main(crate = ::poolmap)]
fn main() -> ExitCode {
    println!("parent");
    let pids = pool_map!(own_process, 0..4).unwrap();
    assert!(!pids.contains(&std::process::id()));
    ExitCode::SUCCESS
}
