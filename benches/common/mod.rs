//! Shared by the benches: work that takes a given time, the processor time of this process, medians, and the numbers on the command line.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Takes so much of the processor's time, and returns the number.
pub(crate) fn compute(x: u64, time: Duration) -> u64 {
    let start = Instant::now();
    let mut state = x;
    while start.elapsed() < time {
        for _ in 0..50 {
            state = black_box(state.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ state >> 29);
        }
    }
    x
}

/// The processor time that this process has taken.
pub(crate) fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the system knows it");
    Duration::from_micros((usage.user_time() + usage.system_time()).num_microseconds() as u64)
}

/// The median of times or ratios.
pub(crate) fn median<T: Copy + PartialOrd>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("each is a number"));
    values[values.len() / 2]
}

/// The number at this place of the command line.
pub(crate) fn number(place: usize, otherwise: u64) -> u64 {
    let mut given = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    given.nth(place).unwrap_or(otherwise)
}
