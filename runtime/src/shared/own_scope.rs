//! The scope in which a task of this process runs: what it is granted, and the segments that it names.

use std::sync::Arc;

use super::encode_scope::by_value;
use super::grant::{Grant, Right};
use super::grant_table::own_table;
use super::object_table;
use super::own::{self, OWN};
use super::segment::Segment;

/// Segments of this process that its own tasks have, until this is dropped. The drop may run code of the program's: that of a value
/// that was decoded once for all tasks.
#[derive(Default)]
pub(crate) struct OwnMemory(Vec<u64>);

impl OwnMemory {
    /// Lends the segments of some tasks. Before, this thread lets go of the values that it has kept for calls that other threads have
    /// closed, which may run code of the program's too.
    pub(crate) fn lend<'a>(segments: impl Iterator<Item = &'a Arc<Segment>>) -> Self {
        object_table::forget_released();
        let lend = |segment: &Arc<Segment>| {
            own::lend(segment);
            segment.id
        };
        Self(segments.map(lend).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over those that hold a value for every task, which is decoded once. The others go.
    pub(crate) fn keep_values(&mut self, mut other: Self, grants: &[Grant]) {
        let is_value = |id: u64| grants.iter().any(|grant| grant.right == Right::Value && grant.segment == id);
        let new: Vec<u64> = other.0.extract_if(.., |id| is_value(*id) && !self.0.contains(id)).collect();
        self.0.extend(new);
    }
}

impl Drop for OwnMemory {
    fn drop(&mut self) {
        for id in self.0.drain(..) {
            if own::release(id) {
                object_table::forget_value(id | OWN);
            }
        }
    }
}

/// Until what it returns is dropped, this thread runs a task that is granted this, and writes its result.
pub(crate) fn enter_own_task(grants: &[Grant]) -> (impl Drop + use<>, impl Drop + use<>) {
    (by_value(), own_table(grants))
}
