//! Progress as plain lines, for a log.

use std::io::Write;
use std::time::{Duration, Instant};

use super::{CountNodes, Ended, ServingNodes};

/// A line is written this often at most, but for the last.
const INTERVAL: Duration = Duration::from_secs(3);

pub(super) struct Lines {
    name: String,
    length: Option<usize>,
    nodes: Option<CountNodes>,
    started: Instant,
    next: Instant,
}

impl Lines {
    pub(super) fn new(name: &str, length: Option<usize>, nodes: Option<CountNodes>) -> Self {
        let started = Instant::now();
        Self { name: name.to_owned(), length, nodes, started, next: started + INTERVAL }
    }

    pub(super) fn set(&mut self, count: usize) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        self.write(&running(count, self.length, now - self.started, self.serving()));
    }

    pub(super) fn end(self, count: usize, ended: Ended) {
        self.write(&over(count, self.length, self.started.elapsed(), ended, self.serving()));
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

fn running(count: usize, length: Option<usize>, elapsed: Duration, nodes: Option<ServingNodes>) -> String {
    let done = counted(count, length);
    let rate = rate(count, elapsed);
    let nodes = behind(nodes);
    match length {
        Some(length) if count > 0 => {
            let left = elapsed.as_secs_f64() / count as f64 * length.saturating_sub(count) as f64;
            format!("{done}, {rate:.1}/s, {left:.0} s left{nodes}")
        }
        _ => format!("{done}, {rate:.1}/s{nodes}"),
    }
}

fn over(count: usize, length: Option<usize>, elapsed: Duration, ended: Ended, nodes: Option<ServingNodes>) -> String {
    let done = counted(count, length);
    let (rate, time) = (rate(count, elapsed), elapsed.as_secs_f64());
    match ended {
        Ended::Whole => format!("{done} in {time:.1} s, {rate:.1}/s{}", behind(nodes)),
        Ended::Early => format!("ended at {done} after {time:.1} s"),
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

    #[test]
    fn lines_say_what_is_known() {
        let time = Duration::from_secs(4);
        assert_eq!(running(10, Some(30), time, None), "10/30 tasks, 2.5/s, 8 s left");
        assert_eq!(running(0, Some(30), time, None), "0/30 tasks, 0.0/s");
        assert_eq!(running(10, None, time, None), "10 tasks, 2.5/s");
        assert_eq!(over(30, Some(30), time, Ended::Whole, None), "30/30 tasks in 4.0 s, 7.5/s");
        assert_eq!(over(7, Some(30), time, Ended::Early, None), "ended at 7/30 tasks after 4.0 s");
    }

    #[test]
    fn lines_of_a_cluster_say_who_serves() {
        let time = Duration::from_secs(4);
        let nodes = Some(ServingNodes { nodes: 3, workers: 8 });
        assert_eq!(running(10, Some(30), time, nodes), "10/30 tasks, 2.5/s, 8 s left, 3 nodes, 8 workers");
        assert_eq!(running(10, None, time, nodes), "10 tasks, 2.5/s, 3 nodes, 8 workers");
        assert_eq!(over(30, Some(30), time, Ended::Whole, nodes), "30/30 tasks in 4.0 s, 7.5/s, 3 nodes, 8 workers");
        assert_eq!(over(7, Some(30), time, Ended::Early, nodes), "ended at 7/30 tasks after 4.0 s");
    }
}
