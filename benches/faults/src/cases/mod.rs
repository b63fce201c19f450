//! A fault put against each Rust library. It is done as faults.py does it: the same tasks, after the same warm-up.

pub mod poolmap;
pub mod procspawn;

use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::processes::is_alive;

/// Kills a worker that has nothing to do.
fn kill_idle(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("it runs");
    while is_alive(pid) {
        sleep(Duration::from_millis(1));
    }
    // A library that looks after its workers has time to see it.
    sleep(Duration::from_millis(500));
}

/// The first word of an error's debug text: its kind.
fn kind(debug: &str) -> &str {
    debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()
}
