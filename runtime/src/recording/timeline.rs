//! The timeline of a call: what is known of its tasks and workers, over time, and the file that shows it. The file is written as a whole
//! when the call ends.

mod page;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::events::{NotedWorker, WorkerEvent};
use super::facts::{Facts, OutcomeName};
use crate::error::{Error, Result};
use crate::journal::open_anew;

/// The form of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TimelineForm {
    Page,
    Trace,
}

/// What is shown of one call. Times are in nanoseconds since it started.
pub(super) struct Timeline {
    path: PathBuf,
    file: File,
    form: TimelineForm,
    function: &'static str,
    /// When the call started, in nanoseconds since 1970.
    started_at: u64,
    machines: Vec<String>,
    tracks: Vec<Track>,
    /// The track of each worker by its machine and place, and of each process by its machine and number.
    of_worker: BTreeMap<(usize, u32), usize>,
    of_process: BTreeMap<(usize, u32), usize>,
    bars: Vec<ExecutionBar>,
    /// The texts of failures, by the bar.
    details: BTreeMap<usize, String>,
    /// The bars that took longest, by their duration, and the arguments of their tasks, by the bar.
    slowest: BTreeSet<(u64, usize)>,
    arguments: BTreeMap<usize, String>,
    starts: Vec<WorkerStart>,
    deaths: Vec<WorkerDeath>,
    /// When the caller waited, from and to.
    waits: Vec<(u64, u64)>,
    /// Executions of which it is not known when they were, and how many of them failed.
    unplaced: u64,
    unplaced_failures: u64,
}

/// A worker: whatever process has its place.
struct Track {
    machine: usize,
    /// The place in its pool; none of a process of which only its number is known.
    worker: Option<u32>,
    pid: u32,
}

/// One execution.
struct ExecutionBar {
    track: usize,
    index: usize,
    attempt: u32,
    outcome: OutcomeName,
    start: u64,
    duration: u64,
    cpu: Option<u64>,
    sent: u64,
    received: u64,
}

/// A process that has become a worker.
struct WorkerStart {
    track: usize,
    pid: u32,
    begun: u64,
    ready: u64,
}

/// A worker that has died.
struct WorkerDeath {
    track: usize,
    pid: u32,
    at: u64,
    cause: String,
}

/// A wait of the caller that is shorter is not shown.
const WAIT_MIN: u64 = 20_000;
/// Waits with less than this between them are shown as one.
const WAIT_GAP: u64 = 20_000;
/// So many of the slowest executions are shown with their arguments.
const SLOWEST_MAX: usize = 25;

impl Timeline {
    /// Opens the file of a call of a function on this machine, and empties it.
    ///
    /// # Errors
    ///
    /// There can be no such file, or another call writes it.
    pub(super) fn create(path: &Path, function: &'static str, started_at: u64, host: &str) -> Result<Self> {
        let file = open_anew(path).map_err(|error| {
            Error::invalid_option(format!("could not write the `timeline` {}: {error}", path.display()))
        })?;
        let is_page = path.extension().is_some_and(|extension| extension == "html");
        Ok(Self {
            path: path.to_owned(),
            file,
            form: if is_page { TimelineForm::Page } else { TimelineForm::Trace },
            function,
            started_at,
            machines: vec![host.to_owned()],
            tracks: Vec::new(),
            of_worker: BTreeMap::new(),
            of_process: BTreeMap::new(),
            bars: Vec::new(),
            details: BTreeMap::new(),
            slowest: BTreeSet::new(),
            arguments: BTreeMap::new(),
            starts: Vec::new(),
            deaths: Vec::new(),
            waits: Vec::new(),
            unplaced: 0,
            unplaced_failures: 0,
        })
    }

    /// Adds an execution. `text` makes a text of the task's arguments, if they are known.
    pub(super) fn add(&mut self, facts: &Facts<'_>, text: impl FnOnce() -> Option<String>) {
        let is_failure = facts.ending.outcome != OutcomeName::Ok;
        let (Some(pid), Some(start), Some(duration)) = (facts.pid, facts.times.start, facts.times.duration) else {
            self.unplaced += 1;
            self.unplaced_failures += u64::from(is_failure);
            return;
        };
        let track = self.track(facts.node, facts.worker, pid);
        if is_failure {
            self.details.insert(self.bars.len(), facts.ending.detail.clone());
        }
        self.add_slow(duration, text);
        self.bars.push(ExecutionBar {
            track,
            index: facts.index,
            attempt: facts.attempt,
            outcome: facts.ending.outcome,
            start,
            duration,
            cpu: facts.times.cpu,
            sent: facts.argument_bytes.unwrap_or(0),
            received: facts.result_bytes.unwrap_or(0),
        });
    }

    /// Notes the arguments of the execution that is added next, if it is among the slowest so far.
    fn add_slow(&mut self, duration: u64, text: impl FnOnce() -> Option<String>) {
        if self.slowest.len() == SLOWEST_MAX {
            if self.slowest.first().is_some_and(|&(shortest, _)| duration <= shortest) {
                return;
            }
            if let Some((_, bar)) = self.slowest.pop_first() {
                self.arguments.remove(&bar);
            }
        }
        let bar = self.bars.len();
        self.slowest.insert((duration, bar));
        if let Some(text) = text().filter(|text| !text.is_empty()) {
            self.arguments.insert(bar, text);
        }
    }

    /// Adds what has happened to a worker of this machine, at this time.
    pub(super) fn add_event(&mut self, noted: NotedWorker, at: u64) {
        let NotedWorker { worker, pid, event, .. } = noted;
        let track = self.track(None, u32::try_from(worker).ok(), pid);
        match event {
            WorkerEvent::Ready(after) => {
                let after = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
                self.starts.push(WorkerStart { track, pid, begun: at.saturating_sub(after), ready: at });
            }
            WorkerEvent::Ended => {}
            WorkerEvent::Died(cause) => self.deaths.push(WorkerDeath { track, pid, at, cause }),
        }
    }

    /// Adds a wait of the caller.
    pub(super) fn add_wait(&mut self, from: u64, to: u64) {
        match self.waits.last_mut() {
            Some(last) if from.saturating_sub(last.1) < WAIT_GAP => last.1 = to,
            _ if to.saturating_sub(from) >= WAIT_MIN => self.waits.push((from, to)),
            _ => {}
        }
    }

    /// Writes the file of a call that took so long.
    pub(super) fn close(&mut self, wall: u64) {
        let ends = self.bars.iter().map(|bar| bar.start.saturating_add(bar.duration));
        let wall = ends.chain(self.deaths.iter().map(|death| death.at)).fold(wall, u64::max);
        let bytes = match self.form {
            TimelineForm::Page => page::page(self, wall),
            TimelineForm::Trace => trace::trace(self, wall),
        };
        if let Err(error) = self.file.write_all(&bytes) {
            let text = format!("poolmap: timeline {}: could not be written: {error}\n", self.path.display());
            // There may be no standard error.
            let _ = io::stderr().write_all(text.as_bytes());
        }
        // A process that is being started has the file too, up to its exec: the next call must not wait for that.
        let _ = self.file.unlock();
    }

    /// The track of a worker. One of another machine whose place is not known is found by its process.
    fn track(&mut self, node: Option<&str>, worker: Option<u32>, pid: u32) -> usize {
        let machine = match node.map(|node| (node, self.machines.iter().position(|known| known == node))) {
            None => 0,
            Some((_, Some(known))) => known,
            Some((node, None)) => {
                self.machines.push(node.to_owned());
                self.machines.len() - 1
            }
        };
        let known = match worker {
            Some(worker) => self.of_worker.get(&(machine, worker)),
            None => self.of_process.get(&(machine, pid)),
        };
        let track = known.copied().unwrap_or_else(|| {
            self.tracks.push(Track { machine, worker, pid });
            self.tracks.len() - 1
        });
        worker.and_then(|worker| self.of_worker.insert((machine, worker), track));
        self.of_process.insert((machine, pid), track);
        track
    }

    /// The tracks in the order in which they are shown, each with the place that it has there.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.tracks.len()).collect();
        let key = |&track: &usize| {
            let Track { machine, worker, pid } = self.tracks[track];
            (machine, worker.unwrap_or(u32::MAX), pid)
        };
        order.sort_by_key(key);
        order
    }

    /// The bars in the order of their tracks and of time.
    fn sorted_bars(&self, order: &[usize]) -> Vec<usize> {
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, &track)| place[track] = at);
        let mut sorted: Vec<usize> = (0..self.bars.len()).collect();
        sorted.sort_by_key(|&bar| (place[self.bars[bar].track], self.bars[bar].start));
        sorted
    }

    /// The function without its modules.
    fn short_name(&self) -> &'static str {
        self.function.rsplit("::").next().unwrap_or(self.function)
    }
}
