//! A program whose `main` does something before `poolmap::init()` that a worker does not survive.

#[path = "../common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use poolmap::{Pool, Process, pool_map, worker};

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mode, path) = (arguments.next().expect("a mode"), arguments.next().expect("a path"));
    // The first process makes the file; a worker, which is the same program, finds it.
    let is_second = std::fs::File::create_new(&path).is_err();
    // One worker makes the next file; the others find it.
    let is_third = is_second && std::fs::File::create_new(format!("{path}.second")).is_err();
    match mode.as_str() {
        "exit" | "process" if is_second => std::process::exit(3),
        "some" if is_third => std::process::exit(3),
        "abort" if is_second => std::process::abort(),
        "killed" if is_second => common::kill(std::process::id(), "KILL"),
        "sleep" if is_second => std::thread::sleep(Duration::from_secs(600)),
        _ => {}
    }
    poolmap::init();
    if mode == "some" {
        return some();
    }
    if mode == "process" {
        let error = Process::new(double { x: 1 }).name("late").start().expect("it starts").join();
        let error = error.expect_err("it does not get ready");
        return println!("{} {error}", error.is_start_failure());
    }
    let pool = Pool::builder().workers(2).startup_timeout(Duration::from_millis(500)).build().expect("processes start");
    let start = Instant::now();
    let error = pool_map!(in &pool, double, 1..4).expect_err("no worker gets ready");
    println!("{} {error}", error.is_start_failure());
    // Also while a call is open that is told the same.
    let mut open = poolmap::pool_iter!(in &pool, double, 1..4).expect("it is told when it is pulled");
    assert!(pool.ready().expect_err("nor later").is_start_failure());
    assert!(open.next().expect("a last error").expect_err("no worker gets ready").is_start_failure());
    eprintln!("it took {:?}", start.elapsed());
}

/// One worker of four starts: the pool works with it, and `ready` tells that the others do not.
fn some() {
    let pool = Pool::builder().workers(4).build().expect("processes start");
    println!("{:?}", pool_map!(in &pool, double, 1..4).expect("one worker is enough"));
    let error = pool.ready().expect_err("the others do not start");
    println!("{} {error}", error.is_start_failure());
}
