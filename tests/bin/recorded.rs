//! Maps that are recorded: `recorded FORM TASKS OPTION PATH` runs one with its tasks' log or timeline at a path, and prints how many
//! outcomes it has.

use std::path::PathBuf;
use std::time::Duration;

use futures_lite::{StreamExt, future};
use poolmap::{
    Output, Pool, current_worker, pool_for_each, pool_iter, pool_iter_unordered, pool_map, pool_map_captured,
    pool_reduce, pool_stream, pool_try_map, worker,
};

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

#[worker]
fn add(x: u64, y: u64) -> u64 {
    x.wrapping_add(y)
}

#[worker]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

#[worker]
fn print(x: u64) -> u64 {
    println!("printed {x}");
    x
}

/// Its outputs take several parts.
#[worker]
fn large(x: u64) -> Vec<u8> {
    vec![x as u8; 9 << 20]
}

/// Ends in each way that a task of this machine or another may end in.
#[worker]
fn end(x: u64) -> Result<u64, String> {
    let attempt = current_worker().map_or(1, |worker| worker.attempt());
    match x % 6 {
        1 => Err(format!("{x} fails, \"so\",\nand </script> is no end")),
        2 => panic!("{x} panics"),
        3 => std::process::abort(),
        4 if attempt == 1 => std::process::exit(7),
        _ => Ok(x),
    }
}

fn main() -> poolmap::Result<()> {
    poolmap::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [form, tasks, path] = arguments.as_slice() else {
        panic!("recorded FORM TASKS PATH");
    };
    let (tasks, path) = (tasks.parse::<u64>().expect("a number"), PathBuf::from(path));
    let capturing = Pool::builder().workers(2).output(Output::Captured);
    let outcomes = match form.as_str() {
        // Another process of the program finds what this one has computed.
        "journal" => pool_map!(square, 0..tasks; journal = path.with_extension("journal"), job_log = path)?.len(),
        "map" => pool_map!(square, 0..tasks; job_log = path)?.len(),
        "iter" => pool_iter!(square, 0..tasks; job_log = path)?.count(),
        "unordered" => pool_iter_unordered!(square, 0..tasks; job_log = path)?.count(),
        "stream" => future::block_on(pool_stream!(square, 0..tasks; job_log = path)?.count()),
        "reduce" => usize::from(pool_reduce!(square, 0..tasks; with = add, identity = 0, job_log = path)? > 0),
        "for_each" => pool_for_each!(square, 0..tasks; job_log = path).map(|()| 0)?,
        "captured" => pool_map_captured!(in &capturing.build()?, print, 0..tasks; job_log = path)?.len(),
        "large" => pool_map!(large, 0..tasks; job_log = path)?.len(),
        "sleep" => pool_map!(sleep, std::iter::repeat_n(5, tasks as usize); job_log = path)?.len(),
        "end" => pool_try_map!(end, 0..tasks; attempts = 2, retry_errors = 1, retry_backoff = Duration::ZERO, job_log = path)?.len(),
        other => panic!("there is no form {other}"),
    };
    println!("{outcomes}");
    Ok(())
}
