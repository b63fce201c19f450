//! The memory that tasks share, as stored objects: stored once for all agents, and removed when nobody holds it any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::shared::Segment;

/// The segments that are stored.
#[derive(Default)]
pub(super) struct Shares(BTreeMap<u64, Weak<Segment>>);

impl Shares {
    pub(super) fn has(&self, id: u64) -> bool {
        self.0.contains_key(&id)
    }

    pub(super) fn insert(&mut self, segment: &Arc<Segment>) {
        self.0.insert(segment.id, Arc::downgrade(segment));
    }

    /// Those that somebody holds.
    pub(super) fn living(&self) -> impl Iterator<Item = Arc<Segment>> {
        self.0.values().filter_map(Weak::upgrade)
    }

    /// Takes out those that nobody holds.
    pub(super) fn take_dead(&mut self) -> Vec<u64> {
        self.0.extract_if(.., |_, segment| segment.strong_count() == 0).map(|(id, _)| id).collect()
    }
}

/// The name of the object that a segment is stored as.
pub(super) fn object_name(id: u64) -> String {
    format!("segment.{id}")
}
