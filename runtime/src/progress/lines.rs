//! Progress as plain lines, for a log.

use std::io::Write;
use std::time::{Duration, Instant};

use super::slowest::SlowTask;
use super::{CountNodes, Ended, ServingNodes, Tally};

/// A line is written this often at most, but for the last.
const INTERVAL: Duration = Duration::from_secs(3);
/// The same while no task ends, and one has run for long.
const SLOW_INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct Lines {
    name: String,
    length: Option<usize>,
    nodes: Option<CountNodes>,
    tally: Tally,
    slowest: Option<SlowTask>,
    started: Instant,
    next: Instant,
    next_slow: Instant,
}

impl Lines {
    pub(super) fn new(name: &str, length: Option<usize>, nodes: Option<CountNodes>) -> Self {
        let started = Instant::now();
        Self {
            name: name.to_owned(),
            length,
            nodes,
            tally: Tally::default(),
            slowest: None,
            started,
            next: started + INTERVAL,
            next_slow: started,
        }
    }

    pub(super) fn set(&mut self, tally: Tally) {
        self.tally = tally;
        let now = Instant::now();
        if now >= self.next {
            self.write_running(now);
        }
    }

    pub(super) fn set_slowest(&mut self, slowest: Option<SlowTask>) {
        self.slowest = slowest;
        let now = Instant::now();
        if slowest.is_some() && now >= self.next.max(self.next_slow) {
            self.write_running(now);
        }
    }

    fn write_running(&mut self, now: Instant) {
        (self.next, self.next_slow) = (now + INTERVAL, now + SLOW_INTERVAL);
        self.write(&running(self.tally, self.length, now - self.started, self.slowest, self.serving()));
    }

    pub(super) fn end(self, tally: Tally, ended: Ended) {
        self.write(&over(tally, self.length, self.started.elapsed(), ended, self.serving()));
    }

    fn serving(&self) -> Option<ServingNodes> {
        self.nodes.and_then(|nodes| nodes())
    }

    /// Standard error may be closed: that is no reason to stop.
    fn write(&self, text: &str) {
        let line = format!("{}: {text}\n", self.name);
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

fn running(
    tally: Tally,
    length: Option<usize>,
    elapsed: Duration,
    slowest: Option<SlowTask>,
    nodes: Option<ServingNodes>,
) -> String {
    let count = tally.done;
    let done = counted(count, length);
    let rate = rate(count, elapsed);
    let slowest = slowest.map(|task| task.to_string()).unwrap_or_default();
    let behind = format!("{tally}{slowest}{}", behind(nodes));
    match length {
        Some(length) if count > 0 => {
            let left = elapsed.as_secs_f64() / count as f64 * length.saturating_sub(count) as f64;
            format!("{done}, {rate:.1}/s, {left:.0} s left{behind}")
        }
        _ => format!("{done}, {rate:.1}/s{behind}"),
    }
}

fn over(tally: Tally, length: Option<usize>, elapsed: Duration, ended: Ended, nodes: Option<ServingNodes>) -> String {
    let count = tally.done;
    let done = counted(count, length);
    let (rate, time) = (rate(count, elapsed), elapsed.as_secs_f64());
    match ended {
        Ended::Whole => format!("{done} in {time:.1} s, {rate:.1}/s{tally}{}", behind(nodes)),
        Ended::Early => format!("ended at {done} after {time:.1} s{tally}"),
    }
}

/// What stands behind the rest of a line.
fn behind(nodes: Option<ServingNodes>) -> String {
    nodes.map(|nodes| format!(", {nodes}")).unwrap_or_default()
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

    fn done(done: usize) -> Tally {
        Tally { done, ..Tally::default() }
    }

    #[test]
    fn lines_say_what_is_known() {
        let time = Duration::from_secs(4);
        assert_eq!(running(done(10), Some(30), time, None, None), "10/30 tasks, 2.5/s, 8 s left");
        assert_eq!(running(done(0), Some(30), time, None, None), "0/30 tasks, 0.0/s");
        assert_eq!(running(done(10), None, time, None, None), "10 tasks, 2.5/s");
        assert_eq!(over(done(30), Some(30), time, Ended::Whole, None), "30/30 tasks in 4.0 s, 7.5/s");
        assert_eq!(over(done(7), Some(30), time, Ended::Early, None), "ended at 7/30 tasks after 4.0 s");
    }

    #[test]
    fn lines_say_what_went_wrong() {
        let (time, tally) = (Duration::from_secs(4), Tally { done: 10, failed: 2, retried: 1 });
        let line = running(tally, Some(30), time, None, None);
        assert_eq!(line, "10/30 tasks, 2.5/s, 8 s left, 2 failed, 1 retried");
        let line = over(tally, None, time, Ended::Whole, None);
        assert_eq!(line, "10 tasks in 4.0 s, 2.5/s, 2 failed, 1 retried");
        let line = over(tally, Some(30), time, Ended::Early, None);
        assert_eq!(line, "ended at 10/30 tasks after 4.0 s, 2 failed, 1 retried");
    }

    #[test]
    fn lines_of_a_cluster_say_who_serves() {
        let time = Duration::from_secs(4);
        let nodes = Some(ServingNodes { nodes: 3, workers: 8 });
        let line = running(done(10), Some(30), time, None, nodes);
        assert_eq!(line, "10/30 tasks, 2.5/s, 8 s left, 3 nodes, 8 workers");
        assert_eq!(running(done(10), None, time, None, nodes), "10 tasks, 2.5/s, 3 nodes, 8 workers");
        let line = over(done(30), Some(30), time, Ended::Whole, nodes);
        assert_eq!(line, "30/30 tasks in 4.0 s, 7.5/s, 3 nodes, 8 workers");
        assert_eq!(over(done(7), Some(30), time, Ended::Early, nodes), "ended at 7/30 tasks after 4.0 s");
    }
}
