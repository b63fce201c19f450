//! Progress as plain lines, for a log.

use std::io::Write;
use std::time::{Duration, Instant};

use super::Ended;

/// A line is written this often at most, but for the last.
const INTERVAL: Duration = Duration::from_secs(3);

pub(super) struct Lines {
    name: String,
    length: Option<usize>,
    started: Instant,
    next: Instant,
}

impl Lines {
    pub(super) fn new(name: &str, length: Option<usize>) -> Self {
        let started = Instant::now();
        Self { name: name.to_owned(), length, started, next: started + INTERVAL }
    }

    pub(super) fn set(&mut self, count: usize) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        self.write(&running(count, self.length, now - self.started));
    }

    pub(super) fn end(self, count: usize, ended: Ended) {
        self.write(&over(count, self.length, self.started.elapsed(), ended));
    }

    /// Standard error may be closed: that is no reason to stop.
    fn write(&self, text: &str) {
        let line = format!("{}: {text}\n", self.name);
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

fn running(count: usize, length: Option<usize>, elapsed: Duration) -> String {
    let done = counted(count, length);
    let rate = rate(count, elapsed);
    match length {
        Some(length) if count > 0 => {
            let left = elapsed.as_secs_f64() / count as f64 * length.saturating_sub(count) as f64;
            format!("{done}, {rate:.1}/s, {left:.0} s left")
        }
        _ => format!("{done}, {rate:.1}/s"),
    }
}

fn over(count: usize, length: Option<usize>, elapsed: Duration, ended: Ended) -> String {
    let done = counted(count, length);
    let (rate, time) = (rate(count, elapsed), elapsed.as_secs_f64());
    match ended {
        Ended::Whole => format!("{done} in {time:.1} s, {rate:.1}/s"),
        Ended::Early => format!("ended at {done} after {time:.1} s"),
    }
}

fn counted(count: usize, length: Option<usize>) -> String {
    length.map_or_else(|| format!("{count} tasks"), |length| format!("{count}/{length} tasks"))
}

/// Tasks a second.
fn rate(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_is_known() {
        let time = Duration::from_secs(4);
        assert_eq!(running(10, Some(30), time), "10/30 tasks, 2.5/s, 8 s left");
        assert_eq!(running(0, Some(30), time), "0/30 tasks, 0.0/s");
        assert_eq!(running(10, None, time), "10 tasks, 2.5/s");
        assert_eq!(over(30, Some(30), time, Ended::Whole), "30/30 tasks in 4.0 s, 7.5/s");
        assert_eq!(over(7, Some(30), time, Ended::Early), "ended at 7/30 tasks after 4.0 s");
    }
}
