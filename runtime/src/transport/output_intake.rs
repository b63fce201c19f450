//! The descriptors of outputs that a worker has sent, as its parent takes them in: from the socket to the batches of results that may
//! name them. The rules are in `shared::output_memory`.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layout;
use crate::shared::{HeldOutputs, OutputTable};
use crate::sys::Words;
use crate::wire::Records;

/// What one worker has sent.
pub(super) struct OutputIntake {
    words: Arc<Words>,
    held: Arc<HeldOutputs>,
    table: Arc<OutputTable>,
    /// How many the worker said that it had sent when the socket was read last.
    seen: u32,
}

impl OutputIntake {
    pub(super) fn new(words: &Arc<Words>) -> Self {
        let held = HeldOutputs::new(Arc::clone(words), layout::OUTPUTS_HELD);
        Self { words: Arc::clone(words), held, table: Arc::default(), seen: 0 }
    }

    /// Whether the worker says that it has sent more than was there when the socket was read last. It is asked behind the results that
    /// may name them.
    pub(super) fn is_behind(&mut self) -> bool {
        let sent = self.words.word(layout::OUTPUTS_SENT).load(Ordering::Acquire) as u32;
        std::mem::replace(&mut self.seen, sent) != sent
    }

    /// Adds a descriptor, which may be anything.
    pub(super) fn add(&self, descriptor: OwnedFd) {
        self.table.add(descriptor, &self.held);
    }

    /// Publishes what is held, once the socket was read.
    pub(super) fn publish(&self) {
        self.held.has_seen(self.seen);
    }

    /// Lets results find what has come. If the worker has no task without a result, nothing else names it.
    pub(super) fn attach(&mut self, records: &mut Records, is_idle: bool) {
        if self.table.is_empty() {
            return;
        }
        records.set_outputs(Arc::clone(&self.table));
        if is_idle {
            self.table = Arc::default();
        }
    }
}
