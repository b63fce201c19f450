//! A node's own share: the work that it has been given, run by a pool of this machine, and the outcomes on their way back. It knows no
//! engine.
//!
//! 1. Each call of the driver is a call of the pool here, with the same rules: so time limits, attempts and crashes mean what they mean on
//!    one machine.
//! 2. A thread for each call waits for its outcomes, as the caller of a map does, and sends them with the number of the work that they are
//!    of. It ends with the call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::forms::{ChunkForm, OutcomeForm, SharingForm, TaskRulesForm};
use super::messages::{CallTask, Done, FromAgent, Work};
use crate::error::{Error, Result};
use crate::functions;
use crate::locks::{Lock, Rank, Ranked};
use crate::pool::{CallId, OnCancel, PoolShared};
use crate::shared::{Collected, Right, Segment, read_grants};
use crate::sys;
use crate::transport::{Chunk, ChunkHead, CompletedTasks, Sharing};
use crate::wire;

/// Takes messages to the driver, from any thread.
pub(super) type Outbox = Arc<dyn Fn(FromAgent) + Send + Sync>;

/// The work of this machine.
pub(super) struct Node {
    shared: Arc<PoolShared>,
    outbox: Outbox,
    calls: BTreeMap<u64, Arc<NodeCall>>,
    threads: Vec<JoinHandle<()>>,
    /// Calls that have ended: what comes of them late is not begun.
    ended: BTreeSet<u64>,
}

/// Memory that the tasks of this machine may name, by the driver's numbers.
pub(super) type Segments = BTreeMap<u64, Arc<Segment>>;

/// A call of the driver's, as the pool here runs it.
struct NodeCall {
    number: u64,
    call: CallId,
    works: Lock<Works>,
    is_ended: AtomicBool,
    kills: AtomicBool,
}

/// Tasks one behind the other without an outcome, by the index of the first: how many, and the work that they are of.
#[derive(Default)]
struct Works {
    ranges: BTreeMap<usize, (usize, u64)>,
    /// How many tasks of each work have no outcome.
    left: BTreeMap<u64, usize>,
}

impl Ranked for Works {
    const RANK: Rank = Rank::NodeWork;
}

impl Node {
    pub(super) fn new(shared: Arc<PoolShared>, outbox: Outbox) -> Self {
        Self { shared, outbox, calls: BTreeMap::new(), threads: Vec::new(), ended: BTreeSet::new() }
    }

    /// How many workers its pool has.
    pub(super) fn workers(&self) -> usize {
        self.shared.workers()
    }

    /// Begins some work. What cannot be begun is given back.
    pub(super) fn begin(&mut self, work: Work, segments: &Segments) {
        if self.ended.contains(&work.call) {
            return;
        }
        let id = work.id;
        if let Err(error) = self.try_begin(work, segments) {
            (self.outbox)(FromAgent::Failed(error.to_string()));
            (self.outbox)(FromAgent::Returned(vec![id]));
        }
    }

    fn try_begin(&mut self, Work { id, call: number, rules, chunks }: Work, segments: &Segments) -> Result<()> {
        let read = |form| chunk(&self.shared, form, segments);
        let chunks = chunks.into_iter().map(read).collect::<Result<Vec<Chunk>>>()?;
        let call = match self.calls.get(&number) {
            Some(call) => Arc::clone(call),
            None => {
                let call = NodeCall {
                    number,
                    call: self.shared.open(rules.into_rules())?,
                    works: Lock::new(Works::default()),
                    is_ended: AtomicBool::new(false),
                    kills: AtomicBool::new(false),
                };
                self.attend(Arc::new(call))?
            }
        };
        {
            let mut works = call.works.lock();
            for chunk in &chunks {
                works.ranges.insert(chunk.index(0), (chunk.len(), id));
                *works.left.entry(id).or_default() += chunk.len();
            }
        }
        chunks.into_iter().for_each(|chunk| self.shared.push(call.call, chunk));
        Ok(())
    }

    /// Makes memory with these bytes, which workers can map.
    ///
    /// # Errors
    ///
    /// There is none, or the pool's workers cannot share it.
    pub(super) fn segment(&self, bytes: Vec<u8>) -> Result<Arc<Segment>> {
        let failed = |error: &std::io::Error| Error::start(sys::start_error("memory that tasks share", error));
        let block = self.shared.arena().own_block(bytes).map_err(|error| failed(&error))?;
        let segment = block.place().0.cloned();
        segment.ok_or_else(|| failed(&std::io::ErrorKind::Unsupported.into()))
    }

    /// Starts the thread of a call.
    fn attend(&mut self, call: Arc<NodeCall>) -> Result<Arc<NodeCall>> {
        let (shared, outbox, of_thread) = (Arc::clone(&self.shared), Arc::clone(&self.outbox), Arc::clone(&call));
        let spawned = std::thread::Builder::new()
            .name("poolmap-node".to_owned())
            .spawn(move || of_thread.serve(&shared, &outbox))
            .map_err(|error| Error::start(sys::start_error("a node's thread", &error)));
        match spawned {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                self.shared.close(call.call, OnCancel::Kill);
                return Err(error);
            }
        }
        self.threads.retain(|thread| !thread.is_finished());
        self.calls.insert(call.number, Arc::clone(&call));
        Ok(call)
    }

    /// Ends a call: what runs of it is killed, or finished.
    pub(super) fn end(&mut self, number: u64, kills: bool) {
        self.ended.insert(number);
        let Some(call) = self.calls.remove(&number) else {
            return;
        };
        call.kills.store(kills, Ordering::Relaxed);
        call.is_ended.store(true, Ordering::Release);
        self.shared.wake_callers();
    }

    /// Ends a task, and what runs of it.
    pub(super) fn abort(&self, task: &CallTask) {
        let Some(call) = self.calls.get(&task.call) else {
            return;
        };
        let Ok(index) = usize::try_from(task.index) else {
            return;
        };
        // Where it has its outcome, that is on its way.
        if self.shared.abort_task(call.call, index) {
            let taken = call.works.lock().take(index, 1);
            if let Some((work, is_last)) = taken {
                let done = Done { work, call: call.number, per_task: None, outcomes: Vec::new(), is_last };
                (self.outbox)(FromAgent::Done(done));
            }
        }
    }

    /// The work that it has.
    pub(super) fn held(&self) -> Vec<u64> {
        self.calls.values().flat_map(|call| call.works.lock().left.keys().copied().collect::<Vec<_>>()).collect()
    }

    /// Gives back what no worker has begun; returns whether anything is left.
    pub(super) fn give_back(&mut self) -> bool {
        let mut back = Vec::new();
        let mut is_left = false;
        for call in self.calls.values() {
            let mut works = call.works.lock();
            for id in works.left.keys().copied().collect::<Vec<_>>() {
                let of_work: Vec<(usize, usize)> = works.of(id);
                let waits = |&(first, count): &(usize, usize)| self.shared.withdraw_waiting(call.call, first, count);
                // What is withdrawn of work that has begun in part is given back with the rest, once that has ended.
                let withdrawn = of_work.iter().filter(|range| waits(range)).count();
                if withdrawn == of_work.len() {
                    works.forget(id);
                    back.push(id);
                }
            }
            is_left |= !works.left.is_empty();
        }
        if !back.is_empty() {
            (self.outbox)(FromAgent::Returned(back));
        }
        is_left
    }

    /// Ends every call, and waits for their threads.
    pub(super) fn close(mut self) {
        for number in self.calls.keys().copied().collect::<Vec<_>>() {
            self.end(number, true);
        }
        for thread in self.threads.drain(..) {
            // It has no panic of its own: what it runs is the pool's.
            let _ = thread.join();
        }
    }
}

impl NodeCall {
    /// Sends outcomes until the call ends.
    fn serve(&self, shared: &PoolShared, outbox: &Outbox) {
        let is_ended = || self.is_ended.load(Ordering::Acquire);
        while !is_ended() {
            match shared.outcomes(self.call, is_ended) {
                Ok((done, per_task)) => self.send(done, per_task, outbox),
                Err(failure) => {
                    outbox(FromAgent::Failed(Error::from(failure).to_string()));
                    let works = std::mem::take(&mut *self.works.lock());
                    outbox(FromAgent::Returned(works.left.into_keys().collect()));
                    break;
                }
            }
        }
        let on_cancel = if self.kills.load(Ordering::Relaxed) { OnCancel::Kill } else { OnCancel::Finish };
        shared.close(self.call, on_cancel);
    }

    fn send(&self, done: Vec<CompletedTasks>, per_task: Option<Duration>, outbox: &Outbox) {
        let mut of_works: BTreeMap<u64, (Vec<OutcomeForm>, bool)> = BTreeMap::new();
        {
            let mut works = self.works.lock();
            for done in done {
                if let Some((work, is_last)) = works.take(done.first_index, done.count) {
                    let (outcomes, last) = of_works.entry(work).or_default();
                    outcomes.push(done.into());
                    *last |= is_last;
                }
            }
        }
        for (work, (outcomes, is_last)) in of_works {
            outbox(FromAgent::Done(Done { work, call: self.number, per_task, outcomes, is_last }));
        }
    }
}

impl Works {
    /// Takes these tasks out; returns the work that they are of, and whether they are its last.
    fn take(&mut self, first_index: usize, count: usize) -> Option<(u64, bool)> {
        let (&start, &(length, work)) = self.ranges.range(..=first_index).next_back()?;
        let before = first_index - start;
        if before + count > length {
            return None;
        }
        self.ranges.remove(&start);
        if before > 0 {
            self.ranges.insert(start, (before, work));
        }
        if before + count < length {
            self.ranges.insert(first_index + count, (length - before - count, work));
        }
        let left = self.left.get_mut(&work)?;
        *left = left.saturating_sub(count);
        let is_last = *left == 0;
        if is_last {
            self.left.remove(&work);
        }
        Some((work, is_last))
    }

    /// The tasks of some work without an outcome.
    fn of(&self, work: u64) -> Vec<(usize, usize)> {
        self.ranges.iter().filter(|(_, range)| range.1 == work).map(|(&first, &(count, _))| (first, count)).collect()
    }

    fn forget(&mut self, work: u64) {
        self.ranges.retain(|_, range| range.1 != work);
        self.left.remove(&work);
    }
}

/// The chunk that these bytes are.
///
/// # Errors
///
/// They are no tasks of a function of this program; there is no memory for them.
fn chunk(shared: &PoolShared, form: ChunkForm, segments: &Segments) -> Result<Chunk> {
    let refuse = |what: &str| Error::start(format!("the driver sent {what}"));
    check_tasks(&form).map_err(refuse)?;
    let ChunkForm { function, attempt, first_index, count, seed, merge, rules, tasks, sharing } = form;
    if functions::function(function & !functions::FUNCTION_FLAGS).is_none() {
        return Err(refuse("tasks of a function that this program does not have"));
    }
    let sharing = shared_memory(shared, sharing, segments)
        .ok_or_else(|| refuse("tasks that name memory which it did not send"))?;
    let bytes = tasks.len();
    let block = shared
        .arena()
        .block_of_row(tasks)
        .map_err(|error| Error::start(sys::start_error("the arguments of tasks", &error)))?;
    let head = ChunkHead { function, attempt: attempt.max(1), first_index };
    let rules = rules.map(TaskRulesForm::into_rules);
    Ok(Chunk::new(head, count, block, bytes).sharing(sharing).seeded(seed).folded(merge).ruled(rules))
}

/// Checks that the tasks are as many as the form says, and that this machine can count them; else says what they are.
pub(super) fn check_tasks(form: &ChunkForm) -> std::result::Result<(), &'static str> {
    if form.count == 0 || !wire::are_tasks(&form.tasks, form.count) {
        return Err("tasks whose bytes are not as many as it says");
    }
    let end = usize::try_from(form.first_index).ok().and_then(|first| first.checked_add(form.count as usize));
    end.map(drop).ok_or("tasks of a higher index than this machine counts")
}

/// What the tasks of a chunk share, with the numbers that the memory has here.
fn shared_memory(shared: &PoolShared, form: SharingForm, segments: &Segments) -> Option<Sharing> {
    let SharingForm { parameters, segments: named, grants } = form;
    let memory = named.iter().map(|id| segments.get(id).cloned()).collect::<Option<Vec<_>>>()?;
    let mut grants = read_grants(&grants)?;
    for grant in &mut grants {
        let segment = segments.get(&grant.segment).filter(|_| named.contains(&grant.segment))?;
        let is_inside = grant.offset.checked_add(grant.bytes).is_some_and(|end| end <= segment.bytes as u64);
        if !is_inside || !matches!(grant.right, Right::Value | Right::Read) {
            return None;
        }
        grant.segment = segment.id;
    }
    Some(Sharing::new(parameters, Collected { memory, grants }, shared.arena()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_are_not_there_or_cannot_be_counted_are_refused() {
        let form = |first_index, count, tasks: &[u8]| ChunkForm {
            function: 0,
            attempt: 1,
            first_index,
            count,
            seed: 0,
            merge: None,
            rules: None,
            tasks: tasks.to_vec(),
            sharing: SharingForm::default(),
        };
        assert_eq!(check_tasks(&form(7, 2, &[0; 8])), Ok(()));
        for (count, tasks) in [(0, &[][..]), (2, &[0; 4]), (1, &[0; 8]), (1, &[9, 0, 0, 0, 1]), (u32::MAX, &[0; 8])] {
            assert!(
                check_tasks(&form(7, count, tasks)).unwrap_err().contains("as many as it says"),
                "{count} {tasks:?}"
            );
        }
        assert_eq!(check_tasks(&form(usize::MAX as u64 - 2, 2, &[0; 8])), Ok(()));
        assert!(check_tasks(&form(usize::MAX as u64 - 1, 2, &[0; 8])).unwrap_err().contains("a higher index"));
    }
}
