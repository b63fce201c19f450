//! How far one call is, as a bar or as lines.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::bar::Bar;
use super::lines::Lines;
use super::slowest::RunningTasks;
use super::{CountNodes, Ended, RunningTask, Tally};

/// The workers are looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How far a call is.
pub(crate) struct Shown {
    tally: Tally,
    length: Option<usize>,
    running: RunningTasks,
    next_look: Instant,
    form: Option<BarForm>,
}

enum BarForm {
    Bar(Bar),
    Lines(Lines),
}

impl Shown {
    /// Nothing is done yet of so many tasks, if that is known, of the function `module::name`.
    ///
    /// Where a cluster serves the call, `nodes` says which of it do.
    pub(crate) fn new(function: &str, length: Option<usize>, nodes: Option<CountNodes>) -> Self {
        let name = function.rsplit("::").next().unwrap_or(function);
        let form = if draws() {
            BarForm::Bar(Bar::new(name, length, nodes))
        } else {
            BarForm::Lines(Lines::new(name, length, nodes))
        };
        let next_look = Instant::now() + LOOK_INTERVAL;
        Self { tally: Tally::default(), length, running: RunningTasks::default(), next_look, form: Some(form) }
    }

    /// So many more tasks have their outcome, or were executed again.
    pub(crate) fn add(&mut self, more: Tally) {
        self.tally += more;
        if more.done > 0 && self.length == Some(self.tally.done) {
            return self.end(Ended::Whole);
        }
        match &mut self.form {
            Some(BarForm::Bar(bar)) => bar.set(self.tally),
            Some(BarForm::Lines(lines)) => lines.set(self.tally),
            None => {}
        }
    }

    /// When the workers are to be looked at.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.form.as_ref().map(|_| self.next_look)
    }

    /// Shows which of the tasks that run has run longest, if that is long. The workers are looked at if it is time.
    pub(crate) fn look(&mut self, now: Instant, running: impl FnOnce() -> Vec<RunningTask>) {
        if self.form.is_none() || now < self.next_look {
            return;
        }
        self.next_look = now + LOOK_INTERVAL;
        self.running.observe(now, &running());
        let slowest = self.running.slowest(now);
        match &mut self.form {
            Some(BarForm::Bar(bar)) => bar.set_slowest(slowest),
            Some(BarForm::Lines(lines)) => lines.set_slowest(slowest),
            None => {}
        }
    }

    /// Nothing more will come. Only the first time counts.
    pub(crate) fn end(&mut self, ended: Ended) {
        match self.form.take() {
            Some(BarForm::Bar(bar)) => bar.end(self.tally, ended),
            Some(BarForm::Lines(lines)) => lines.end(self.tally, ended),
            None => {}
        }
    }
}

/// Whether standard error is a terminal that one can draw on.
fn draws() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}
