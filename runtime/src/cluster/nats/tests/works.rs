//! Works and outcomes to send.

use std::time::Duration;

use crate::cluster::forms::{ChunkForm, OutcomeForm, RulesForm, SharingForm};
use crate::cluster::messages::{Done, Work};

/// A work of chunks, each with its first index and its count.
pub(in crate::cluster::nats) fn work(id: u64, call: u64, chunks: &[(u64, u32)]) -> Work {
    let chunks = chunks.iter().map(|&(first, count)| chunk(first, count, vec![7; 16]));
    Work { id, call, rules: RulesForm::default(), chunks: chunks.collect() }
}

fn chunk(first_index: u64, count: u32, tasks: Vec<u8>) -> ChunkForm {
    ChunkForm {
        function: 0,
        attempt: 1,
        first_index,
        count,
        seed: 0,
        merge: None,
        rules: None,
        tasks,
        sharing: SharingForm::default(),
    }
}

/// A work of one task of so many bytes.
pub(in crate::cluster::nats) fn large_work(id: u64, call: u64, bytes: usize) -> Work {
    let tasks = (0..bytes).map(|index| (index % 251) as u8).collect();
    Work { id, call, rules: RulesForm::default(), chunks: vec![chunk(id & 0xff_ffff, 1, tasks)] }
}

pub(in crate::cluster::nats) fn outcome(first_index: u64, count: u64) -> OutcomeForm {
    OutcomeForm::failed(first_index, count, String::new())
}

/// All the outcomes of a work, each with a note.
pub(in crate::cluster::nats) fn done(work: &Work, note: &str) -> Done {
    let failed = |chunk: &ChunkForm| OutcomeForm::failed(chunk.first_index, u64::from(chunk.count), note.to_owned());
    let outcomes = work.chunks.iter().map(failed).collect();
    Done { work: work.id, call: work.call, per_task: Some(Duration::from_millis(1)), outcomes, is_last: true }
}
