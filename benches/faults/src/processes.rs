//! The processes of a case: all that have its mark in the environment they were started with, wherever they have gone.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The variable that holds the mark.
pub const MARK: &str = "FAULTS_CASE";

/// The processes that run under a mark. One that has ended and was not waited for has no environment.
pub fn marked(mark: &str) -> Vec<u32> {
    let wanted = format!("{MARK}={mark}");
    let is_marked = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").expect("Linux has it").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_marked).collect()
}

/// How many are left under a mark after so much time; less, if there are none before.
pub fn left(mark: &str, after: Duration) -> usize {
    let start = Instant::now();
    loop {
        let left = marked(mark).len();
        if left == 0 || start.elapsed() > after {
            return left;
        }
        sleep(Duration::from_millis(10));
    }
}

/// Ends all under a mark: again and again, as they may start others meanwhile.
pub fn end(mark: &str) {
    loop {
        let left = marked(mark);
        if left.is_empty() {
            return;
        }
        for pid in left {
            // It may have ended by itself.
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).ok();
        }
        sleep(Duration::from_millis(1));
    }
}

/// Whether a process runs: one that has ended and was not waited for does not.
pub fn is_alive(pid: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
