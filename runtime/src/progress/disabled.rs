//! Without the feature `progress` nothing is ever shown.

use super::{CountNodes, Ended};

pub(crate) enum Shown {}

impl Shown {
    /// It is never called: the option does not compile without the feature.
    pub(crate) fn new(_function: &str, _length: Option<usize>, _nodes: Option<CountNodes>) -> Self {
        unreachable!("the option `progress` needs the feature `progress`")
    }

    pub(crate) fn add(&mut self, _count: usize) {
        match *self {}
    }

    pub(crate) fn end(&mut self, _ended: Ended) {
        match *self {}
    }
}
