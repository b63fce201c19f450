//! Without the feature `progress` nothing is ever shown.

use std::time::Instant;

use super::{CountNodes, Ended, RunningTask, Tally};

pub(crate) enum Shown {}

impl Shown {
    /// It is never called: the option does not compile without the feature.
    pub(crate) fn new(_function: &str, _length: Option<usize>, _nodes: Option<CountNodes>) -> Self {
        unreachable!("the option `progress` needs the feature `progress`")
    }

    pub(crate) fn add(&mut self, _more: Tally) {
        match *self {}
    }

    pub(crate) fn next_look(&self) -> Option<Instant> {
        match *self {}
    }

    pub(crate) fn look(&mut self, _now: Instant, _running: impl FnOnce() -> Vec<RunningTask>) {
        match *self {}
    }

    pub(crate) fn end(&mut self, _ended: Ended) {
        match *self {}
    }
}
