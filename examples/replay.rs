//! A task that fails at night is saved, and run once more in the morning, in one process: under a debugger, rr or valgrind.
//!
//! `POOLMAP_REPLAY=failed/replay.parse-1-4711-0.poolmap gdb --args ./app` is the form by hand.
use std::process::Command;

use poolmap::{pool_try_map, worker};

/// It crashes on some texts, as a parser in C may.
#[worker]
fn parse(text: &str) -> usize {
    match text.split_once(';') {
        Some((before, _)) => before.len(),
        None => std::process::abort(),
    }
}

#[worker]
fn check(number: i32) -> Result<i32, String> {
    if number >= 0 { Ok(number) } else { Err(format!("{number} is negative")) }
}

/// Replays a saved task in another process of this program; returns how that ended.
fn replay(error: &poolmap::TaskError) -> std::io::Result<std::process::ExitStatus> {
    println!("{error:#}");
    let file = error.saved_as().expect("it is saved");
    let status = Command::new(std::env::current_exe()?).env("POOLMAP_REPLAY", file).status()?;
    println!("replayed: {status}");
    Ok(status)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    poolmap::init();
    let folder = std::env::temp_dir().join(format!("poolmap-failed-{}", std::process::id()));

    let outcomes = pool_try_map!(parse, ["a;b", "a,b", "c;d"]; save_failed = &folder)?;
    let crashed = outcomes[1].as_ref().unwrap_err();
    // It dies as the task did, by its signal.
    assert_eq!(replay(crashed)?.code(), None);

    let outcomes = pool_try_map!(check, [1, -2]; save_failed = &folder)?;
    let failed = outcomes[1].as_ref().unwrap_err();
    assert_eq!(replay(failed)?.code(), Some(1));

    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
