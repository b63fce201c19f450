//! A program whose `main` does something before `poolmap::init()` that a worker does not survive.

use std::time::{Duration, Instant};

use poolmap::{Pool, pool_map, worker};

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mode, path) = (arguments.next().expect("a mode"), arguments.next().expect("a path"));
    // The first process makes the file; a worker, which is the same program, finds it.
    let is_second = std::fs::File::create_new(path).is_err();
    match mode.as_str() {
        "exit" if is_second => std::process::exit(3),
        "abort" if is_second => std::process::abort(),
        "sleep" if is_second => std::thread::sleep(Duration::from_secs(600)),
        _ => {}
    }
    poolmap::init();
    let pool = Pool::builder().workers(2).startup_timeout(Duration::from_millis(500)).build().expect("processes start");
    let start = Instant::now();
    let error = pool_map!(in &pool, double, 1..4).expect_err("no worker gets ready");
    println!("{} {error}", error.is_start_failure());
    assert!(pool.ready().expect_err("nor later").is_start_failure());
    eprintln!("it took {:?}", start.elapsed());
}
