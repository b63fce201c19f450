//! One task that the process of its pool runs itself, on the thread that asks for it: the same from its arguments to its record, without
//! a channel.

use std::sync::atomic::AtomicU64;

use super::current::{OwnTask, enter_own_task};
use super::{panic, run};
use crate::codec::{Encoder, Sink};
use crate::functions::{Flush, TaskCall};
use crate::shared;
use crate::trace;
use crate::transport::Chunk;
use crate::wire::{self, Finished, OversizedResult, Records, TaskFrames, TaskProgress, TimesWords, Violation};

/// Runs the first task of a chunk, whose result takes up to so many bytes; returns its record.
pub(crate) fn run_in_process(chunk: &Chunk, bytes_max: usize) -> Result<Records, Violation> {
    panic::install_hook_once();
    let _granted = shared::enter_own_task(chunk.grants());
    let head = chunk.head();
    let _task = enter_own_task(OwnTask { attempt: head.attempt, index: head.first_index, call_seed: chunk.seed() });
    let _span = trace::enter_task(chunk.log(), head.first_index);
    // Nobody else sees how far the task has come.
    let [begun, begun_nanos, finished, revoked] = [const { AtomicU64::new(0) }; 4];
    let (begun, begun_nanos, finished, revoked) = (&begun, &begun_nanos, &finished, &revoked);
    let progress =
        TaskProgress { begun, begun_nanos, finished, revoked, times: TimesWords::NONE, count: Finished::default() };
    // Without room, the result is given back.
    let mut result = Vec::new();
    let results = Encoder::new(Sink::behind(&mut result), bytes_max);
    let tasks = chunk.tasks();
    // What the task prints is written when the program's own output is.
    let mut call =
        TaskCall::new(TaskFrames::of(tasks), 1, results, progress, Flush::Later).with_shared(chunk.shared_parameters());
    if !chunk.grants().is_empty() {
        call = call.with_grants();
    }
    run::run_in_process(head.function, chunk.merge(), &mut call)?;
    let given = call.into_run(tasks.len())?.oversized.ok_or_else(|| Violation::new("a task gave nothing"))?;
    let OversizedResult { status, bytes, .. } = *given;
    Ok(Records::new(wire::record(status, &bytes)))
}
