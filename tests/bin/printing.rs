//! Workers that print, tagged: the first argument names the scenario, and both streams are looked at from outside.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use nix::libc;
use poolmap::{Output, Pool, pool_iter, pool_map, pool_try_map, worker};

/// Prints lines to both streams, in pieces.
#[worker]
fn lines(task: u64, count: usize) {
    for line in 0..count {
        print!("{task} says ");
        std::io::stdout().flush().unwrap();
        println!("line {line}");
        eprint!("{task} warns ");
        eprintln!("line {line}");
    }
}

#[worker]
fn partial(task: u64) -> u64 {
    print!("no end {task}");
    eprint!("nor here {task}");
    task
}

#[worker]
#[allow(unsafe_code, reason = "C code prints in its own way")]
fn foreign(task: u64) {
    let text = std::ffi::CString::new(format!("from C {task}")).unwrap();
    // SAFETY: the text ends with a zero, and lives through the call.
    unsafe { libc::puts(text.as_ptr()) };
    let status = Command::new("sh").args(["-c", "echo from a child; echo from a child >&2"]).status().unwrap();
    assert!(status.success());
}

#[worker]
fn crash(task: u64) -> u64 {
    println!("a line of {task}");
    print!("half a line of {task}");
    eprint!("an error of {task}");
    std::io::stdout().flush().unwrap();
    if task == 3 {
        std::process::abort();
    }
    task
}

/// Prints, and goes on for long.
#[worker]
fn announce(_task: u64, millis: u64) {
    println!("begun");
    std::thread::sleep(Duration::from_millis(millis));
}

#[worker]
fn flood(bytes: usize) -> usize {
    let line = format!("{:1023}\n", "much");
    for _ in 0..bytes / line.len() {
        print!("{line}");
    }
    bytes
}

#[worker]
fn long_line(bytes: usize) {
    println!("{}", "x".repeat(bytes));
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let pool = Pool::builder().workers(5).output(Output::Tagged).build()?;
    match std::env::args().nth(1).unwrap_or_default().as_str() {
        "lines" => drop(pool_map!(in &pool, lines, 0..20, std::iter::repeat(200))?),
        "chunks" => drop(pool_map!(in &pool, lines, 0..100, std::iter::repeat(3); chunk_size = 10)?),
        "partial" => drop(pool_map!(in &pool, partial, 0..20; chunk_size = 4)?),
        "foreign" => drop(pool_map!(in &pool, foreign, 0..4)?),
        "crash" => {
            let outcomes = pool_try_map!(in &pool, crash, 0..6)?;
            println!("{}", outcomes[3].as_ref().unwrap_err());
        }
        "again" => drop(pool_try_map!(in &pool, crash, 3..4; attempts = 2)?),
        "live" => drop(pool_map!(in &pool, announce, [7], [600_000])),
        // The task is ended with its call.
        "dropped" => {
            let mut iter = pool_iter!(in &pool, announce, 0..5, [1, 600_000, 600_000, 600_000, 600_000])?;
            drop(iter.next());
        }
        "flood" => assert_eq!(pool_map!(in &pool, flood, [10 << 20])?, [10 << 20]),
        "long" => drop(pool_map!(in &pool, long_line, [100_000])?),
        other => panic!("there is no scenario `{other}`"),
    }
    Ok(())
}
