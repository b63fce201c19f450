//! What a call holds to record its tasks: makes facts of outcomes, and gives them to the files.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::clocks::Clocks;
use super::events::{CallEvents, LostExecution};
use super::facts::{ExecutionEnd, Facts, Times};
use super::job_log::JobLog;
use super::timeline::Timeline;
use crate::error::{Result, TaskErrorKind};
use crate::functions::{self, Registration, failed_arguments};
use crate::sys::{self, ForkMark};
use crate::task::{Output, WorkerIdentity};
use crate::transport::{CompletedTasks, Outcomes, Span, TaskArguments};
use crate::wire::{self, Measures, Records, Status};

/// The files of a call.
#[derive(Clone, Copy, Default)]
pub(crate) struct Paths<'a> {
    pub(crate) job_log: Option<&'a Path>,
    pub(crate) timeline: Option<&'a Path>,
}

impl Paths<'_> {
    /// Whether there is one.
    pub(crate) fn is_some(&self) -> bool {
        self.job_log.is_some() || self.timeline.is_some()
    }
}

/// Records the tasks of one call.
pub(crate) struct Recorder {
    made_by: ForkMark,
    function: &'static Registration,
    events: Arc<CallEvents>,
    sinks: Sinks,
    clocks: Clocks,
    host: String,
    /// How the workers' output is treated: where it is captured, it stands behind a result.
    output: Output,
    /// The last execution that is recorded of a task which may be executed again.
    recorded: BTreeMap<usize, u32>,
}

/// The files.
struct Sinks {
    log: Option<JobLog>,
    timeline: Option<Timeline>,
}

/// Where and as what a task was executed.
struct Execution<'a> {
    index: usize,
    attempt: u32,
    worker: Option<WorkerIdentity>,
    machine: Option<&'a Arc<str>>,
    arguments: Option<&'a TaskArguments>,
}

impl Recorder {
    /// Opens the files of a call of a function, which starts now; none if it has none.
    ///
    /// # Errors
    ///
    /// One cannot be made.
    pub(crate) fn open(paths: Paths<'_>, function: &'static Registration, output: Output) -> Result<Option<Box<Self>>> {
        if !paths.is_some() {
            return Ok(None);
        }
        let Paths { job_log, timeline } = paths;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_at = u64::try_from(since_1970.as_nanos()).unwrap_or(0);
        let host = sys::host_name();
        let log = job_log.map(|path| JobLog::create(path, function.path(), started_at)).transpose()?;
        let timeline = timeline.map(|path| Timeline::create(path, function.path(), started_at, &host)).transpose()?;
        Ok(Some(Box::new(Self {
            made_by: ForkMark::here(),
            function,
            events: Arc::default(),
            sinks: Sinks { log, timeline },
            clocks: Clocks::new(sys::monotonic_nanos()),
            host,
            output,
            recorded: BTreeMap::new(),
        })))
    }

    /// Where the pool notes what happens to workers.
    pub(crate) fn events(&self) -> &Arc<CallEvents> {
        &self.events
    }

    /// Records tasks that have an outcome, and takes what was measured of them away from behind their results.
    pub(crate) fn record(&mut self, done: &mut CompletedTasks) {
        self.record_events();
        self.record_earlier(done);
        let (first_index, count, attempt) = (done.first_index, done.count, done.attempts);
        let (worker, machine) = (done.worker, done.machine().cloned());
        let (machine, span) = (machine.as_ref(), done.span());
        let arguments = done.arguments.as_deref();
        match &mut done.outcomes {
            // Only what a worker wrote has measures: these are from a journal.
            Outcomes::Records(_) if worker.is_none() => {
                let ending = ExecutionEnd::of_journal();
                for index in first_index..first_index + count {
                    self.add_unmeasured(&Execution { index, attempt: 0, worker, machine, arguments }, &ending, None);
                }
            }
            Outcomes::Records(records) => {
                let of = Execution { index: first_index, attempt, worker, machine, arguments };
                self.record_results(records, first_index..first_index + count, &of);
            }
            Outcomes::Error(kind) => {
                let ending = ExecutionEnd::of_kind(kind);
                for index in first_index..first_index + count {
                    // No more than one of several was running.
                    let span = span.filter(|_| count == 1);
                    self.add_unmeasured(&Execution { index, attempt, worker, machine, arguments }, &ending, span);
                    self.recorded.insert(index, attempt);
                }
            }
        }
    }

    /// When the caller begins to wait, where that is recorded.
    pub(crate) fn begin_wait(&self) -> Option<u64> {
        self.sinks.timeline.as_ref().map(|_| sys::monotonic_nanos())
    }

    /// Records that the caller has waited since then.
    pub(crate) fn end_wait(&mut self, since_nanos: u64) {
        if let Some(timeline) = &mut self.sinks.timeline {
            timeline.add_wait(self.clocks.here(since_nanos), self.clocks.here(sys::monotonic_nanos()));
        }
    }

    /// Has what was recorded written soon.
    pub(crate) fn flush(&mut self) {
        if let Some(log) = &mut self.sinks.log {
            log.flush();
        }
    }

    fn record_results(
        &mut self,
        records: &mut Records,
        indices: Range<usize>,
        &Execution { attempt, worker, machine, arguments, .. }: &Execution<'_>,
    ) {
        let now = sys::monotonic_nanos();
        let Self { sinks, clocks, host, output, recorded, function, .. } = self;
        let mut indices = indices;
        records.take_measures(|status, payload, measures| {
            // What is more than was asked for is refused by whoever takes the results.
            let Some(index) = indices.next() else {
                return;
            };
            let failed;
            let ending = match status {
                Status::Output => &ExecutionEnd::OK,
                _ => {
                    failed = ending_of(status, payload, *output);
                    recorded.insert(index, attempt);
                    &failed
                }
            };
            if let Some((machine, measures)) = machine.zip(measures) {
                clocks.heard(machine, measures.begun_nanos.saturating_add(measures.duration_nanos), now);
            }
            let times = measures.and_then(|measures| times_of(clocks, machine, &measures, now)).unwrap_or_default();
            let facts = Facts {
                index,
                attempt,
                worker: measures.map(|measures| measures.worker),
                pid: worker.map(|worker| worker.pid),
                node: Some(machine.map_or(&**host, |machine| machine)),
                times,
                peak_bytes: measures.and_then(|measures| measures.peak_bytes),
                argument_bytes: measures.map(|measures| u64::from(measures.argument_bytes)),
                result_bytes: Some(payload.len() as u64),
                ending,
            };
            sinks.add(&facts, || text_of(function, arguments?, index));
        });
    }

    /// Records the executions before the last of a task that were not seen here: another machine had them.
    fn record_earlier(&mut self, done: &CompletedTasks) {
        if done.earlier.is_empty() {
            return;
        }
        let index = done.first_index;
        let recorded = self.recorded.remove(&index).unwrap_or(0);
        for (attempt, kind) in (1..done.attempts).zip(&done.earlier).filter(|(attempt, _)| *attempt > recorded) {
            let execution = Execution { index, attempt, worker: None, machine: done.machine(), arguments: None };
            self.add_unmeasured(&execution, &ExecutionEnd::of_kind(kind), None);
        }
    }

    fn record_events(&mut self) {
        let noted = self.events.take();
        for LostExecution { index, attempt, worker, kind, span } in noted.lost {
            let execution = Execution { index, attempt, worker: Some(worker), machine: None, arguments: None };
            self.add_unmeasured(&execution, &ExecutionEnd::of_kind(&kind), span);
            self.recorded.insert(index, attempt);
        }
        if let Some(timeline) = &mut self.sinks.timeline {
            for worker in noted.workers {
                let at = self.clocks.here(worker.at_nanos);
                timeline.add_event(worker, at);
            }
        }
    }

    /// Adds an execution of which the worker has measured nothing.
    fn add_unmeasured(&mut self, execution: &Execution<'_>, ending: &ExecutionEnd, span: Option<Span>) {
        let Execution { index, attempt, worker, machine, arguments } = *execution;
        if let Some((machine, span)) = machine.zip(span) {
            self.clocks.heard(machine, span.ended_nanos, sys::monotonic_nanos());
        }
        // Where the task is not measured, there is none.
        let span = span.filter(|span| span.begun_nanos > 0).map(|span| self.clocks.since_start(machine, span));
        let times = Times { start: span.map(|span| span.0), duration: span.map(|span| span.1), cpu: None };
        let facts = Facts {
            index,
            attempt,
            worker: worker.and_then(|worker| u32::try_from(worker.slot).ok()),
            pid: worker.map(|worker| worker.pid),
            node: worker.map(|_| machine.map_or(&*self.host, |machine| machine)),
            times,
            peak_bytes: None,
            argument_bytes: None,
            result_bytes: None,
            ending,
        };
        self.sinks.add(&facts, || text_of(self.function, arguments?, index));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.made_by.is_here() {
            return;
        }
        self.record_events();
        if let Some(log) = &mut self.sinks.log {
            log.close();
        }
        if let Some(timeline) = &mut self.sinks.timeline {
            timeline.close(self.clocks.here(sys::monotonic_nanos()));
        }
    }
}

impl Sinks {
    /// `text` makes a text of the task's arguments, if they are known.
    fn add(&mut self, facts: &Facts<'_>, text: impl FnOnce() -> Option<String>) {
        if let Some(log) = &mut self.log {
            log.add(facts);
        }
        if let Some(timeline) = &mut self.timeline {
            timeline.add(facts, text);
        }
    }
}

/// The arguments of a task, as its error would show them.
fn text_of(function: &'static Registration, arguments: &TaskArguments, index: usize) -> Option<String> {
    Some(failed_arguments(function, arguments.peek(index)?, arguments.shared()).text().into_owned())
}

/// When a task was; none where the worker says what cannot be: that it has not ended by now, or took longer than its call so far.
fn times_of(clocks: &Clocks, machine: Option<&Arc<str>>, measures: &Measures, now_nanos: u64) -> Option<Times> {
    let Measures { begun_nanos, duration_nanos, cpu_nanos, .. } = *measures;
    let ended_nanos = begun_nanos.checked_add(duration_nanos)?;
    if duration_nanos > clocks.here(now_nanos) || (machine.is_none() && ended_nanos > now_nanos) {
        return None;
    }
    let (start, duration) = clocks.since_start(machine, Span { begun_nanos, ended_nanos });
    let cpu = cpu_nanos.filter(|&cpu| cpu <= duration_nanos);
    Some(Times { start: Some(start), duration: Some(duration), cpu })
}

/// How a task ended that has a result and no output.
#[cold]
fn ending_of(status: Status, payload: &[u8], output: Output) -> ExecutionEnd {
    if status == Status::NotRun {
        return ExecutionEnd::of_kind(&TaskErrorKind::Cancelled);
    }
    match functions::failure(Records::new(wire::record(status, payload)), output) {
        Some(kind) => ExecutionEnd::of_kind(&kind),
        None => ExecutionEnd::OK,
    }
}
