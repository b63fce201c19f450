//! Tasks that travel together, as the parent keeps them until each has its outcome: where their arguments stand, and whose they
//! are. It is cut in two without a copy, when what is left of it moves to another worker.

use std::sync::Arc;

use super::arena::{Arena, Block};
use super::arguments::{OfCall, TaskArguments};
use super::completed::{CompletedTasks, Outcomes};
use crate::codec::NewDirect;
use crate::error::TaskErrorKind;
use crate::replay::FailedTasks;
use crate::shared::{self, Collected, GRANT_BYTES, Grant, Segment};
use crate::task::{Origin, TaskRules};
use crate::trace::CallLog;
use crate::wire;

/// Tasks whose arguments stand one behind the other in a block.
#[derive(Clone)]
pub(crate) struct Chunk {
    function: u32,
    attempt: u32,
    first_index: u64,
    count: u32,
    block: Arc<Block>,
    start: usize,
    end: usize,
    sharing: Sharing,
    /// The seed of its call.
    seed: u64,
    /// The index of the function that the outputs are folded by where they are given.
    merge: Option<u32>,
    /// How room is made for a large output, if that is copied into its own memory.
    direct: Option<NewDirect>,
    /// What holds for its task by itself. Such a chunk has one task.
    rules: Option<Arc<TaskRules>>,
    /// The bytes that its tasks without a result count for, against the call's window.
    pub(crate) weight: usize,
    /// Whether it is suspected of ending workers before they begin it. Such a chunk has one task.
    suspicion: Option<Suspicion>,
    /// The errors of the executions before this one; such a chunk has one task.
    earlier: Option<Arc<[TaskErrorKind]>>,
    /// Where its tasks that fail are saved.
    save: Option<Arc<FailedTasks>>,
    /// When its tasks were handed to the pool, in nanoseconds of the clock that processes share.
    handed_nanos: u64,
    /// The listener to its tasks' logs.
    log: CallLog,
}

/// How often workers that held a task alone died before they began it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Suspicion {
    by_itself: u32,
    from_outside: u32,
}

/// A task that so many workers died with by themselves, each alone with it and before it began, is blamed.
pub(crate) const SOLITARY_DEATHS_MAX: u32 = 3;
/// Deaths from outside are no evidence one by one: whoever kills workers may kill any of them. But where they have no end, the
/// task may be what draws them (the memory of its arguments, and the out-of-memory killer).
pub(crate) const SOLITARY_KILLS_MAX: u32 = 100;

/// The memory that the tasks of a chunk have beside their arguments.
#[derive(Clone, Default)]
pub(crate) struct Sharing {
    /// The parameters whose arguments are shared: a bit for each, the first the lowest.
    pub(crate) parameters: u16,
    /// The memory and the grants that the arguments name, if they name any.
    named: Option<Arc<NamedMemory>>,
}

/// The memory and the grants that the arguments of some tasks name.
struct NamedMemory {
    memory: Vec<Arc<Segment>>,
    grants: Vec<Grant>,
    /// The grants again, where workers read them; none where they go over the socket.
    table: Option<Block>,
}

impl Sharing {
    /// Returns the memory of tasks in a pool with this arena, whose arguments name this.
    pub(crate) fn new(parameters: u16, collected: Collected, arena: &Arc<Arena>) -> Self {
        // A table that finds no room is missing: the tasks do not get what they name, which is an error of each.
        let makes_table = arena.memory().is_some() && !collected.grants.is_empty();
        let table = makes_table.then(|| arena.block(shared::write_grants(&collected.grants)).ok()).flatten();
        Self::of(parameters, collected, table)
    }

    /// Returns the memory of a task that goes over the socket.
    pub(crate) fn over_socket(collected: Collected) -> Self {
        Self::of(0, collected, None)
    }

    fn of(parameters: u16, Collected { memory, grants }: Collected, table: Option<Block>) -> Self {
        let named = (!memory.is_empty()).then(|| Arc::new(NamedMemory { memory, grants, table }));
        Self { parameters, named }
    }
}

/// The fields that all tasks of a chunk have in common, and the first one's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkHead {
    pub(crate) function: u32,
    pub(crate) attempt: u32,
    pub(crate) first_index: u64,
}

impl Chunk {
    /// A chunk of the `count` tasks in the first `bytes` of a block.
    pub(crate) fn new(head: ChunkHead, count: u32, block: Block, bytes: usize) -> Self {
        let ChunkHead { function, attempt, first_index } = head;
        Self {
            function,
            attempt,
            first_index,
            count,
            block: Arc::new(block),
            start: 0,
            end: bytes,
            sharing: Sharing::default(),
            seed: 0,
            merge: None,
            direct: None,
            rules: None,
            weight: bytes,
            suspicion: None,
            earlier: None,
            save: None,
            handed_nanos: 0,
            log: CallLog::default(),
        }
    }

    /// The chunk, whose tasks are saved there if they fail.
    pub(crate) fn saving(self, save: Option<Arc<FailedTasks>>) -> Self {
        Self { save, ..self }
    }

    /// The chunk, whose tasks are handed to the pool at this moment.
    pub(crate) fn handed(self, handed_nanos: u64) -> Self {
        Self { handed_nanos, ..self }
    }

    /// When its tasks were handed to the pool.
    pub(crate) fn handed_nanos(&self) -> u64 {
        self.handed_nanos
    }

    /// The chunk, to whose tasks somebody listens, or nobody.
    pub(crate) fn logged(self, log: CallLog) -> Self {
        Self { log, ..self }
    }

    /// The listener to its tasks' logs.
    pub(crate) fn log(&self) -> &CallLog {
        &self.log
    }

    /// The chunk, with what its tasks share.
    pub(crate) fn sharing(self, sharing: Sharing) -> Self {
        Self { sharing, ..self }
    }

    /// The chunk, whose function's number says this too.
    pub(crate) fn flagged(self, flags: u32) -> Self {
        Self { function: self.function | flags, ..self }
    }

    /// The chunk, with what the seeds of its call's tasks are made from.
    pub(crate) fn seeded(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The seed of its call.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The chunk, of which a worker folds the outputs by this function.
    pub(crate) fn folded(self, merge: Option<u32>) -> Self {
        Self { merge, ..self }
    }

    /// The index of the function that the outputs are folded by.
    pub(crate) fn merge(&self) -> Option<u32> {
        self.merge
    }

    /// The chunk, whose large outputs are copied into memory that is made so.
    pub(crate) fn direct(self, direct: Option<NewDirect>) -> Self {
        Self { direct, ..self }
    }

    /// The chunk of one task, for which these hold if there are some.
    pub(crate) fn ruled(self, rules: Option<TaskRules>) -> Self {
        Self { rules: rules.map(Arc::new), ..self }
    }

    /// What holds for its task, if that is not what holds for its call.
    pub(crate) fn rules(&self) -> Option<&TaskRules> {
        self.rules.as_deref()
    }

    /// How room is made for a large output, if a worker writes that and nothing else behind it.
    pub(super) fn new_direct(&self) -> Option<NewDirect> {
        self.direct.filter(|_| self.merge.is_none())
    }

    /// The parameters whose arguments are shared.
    pub(crate) fn shared_parameters(&self) -> u16 {
        self.sharing.parameters
    }

    /// The memory beside the arena that a worker must have to run its tasks.
    pub(crate) fn memory(&self) -> impl Iterator<Item = &Arc<Segment>> {
        let named = self.sharing.named.as_deref();
        let of_table = named.and_then(|named| named.table.as_ref()).and_then(|table| table.place().0);
        self.block.place().0.into_iter().chain(of_table).chain(named.into_iter().flat_map(|named| &named.memory))
    }

    /// The grants of its tasks.
    pub(crate) fn grants(&self) -> &[Grant] {
        self.sharing.named.as_deref().map_or(&[], |named| &named.grants)
    }

    /// Where that is in the workers' memory: its bytes, its segment if it is not the arena, and where it begins there.
    pub(crate) fn table(&self) -> (usize, Option<&Arc<Segment>>, usize) {
        match self.sharing.named.as_deref().and_then(|named| named.table.as_ref()) {
            Some(table) => {
                let (segment, offset) = table.place();
                (self.grants().len() * GRANT_BYTES, segment, offset)
            }
            None => (0, None, 0),
        }
    }

    /// The bytes of the table, if there is one.
    pub(super) fn table_bytes(&self) -> Option<&[u8]> {
        let table = self.sharing.named.as_deref().and_then(|named| named.table.as_ref())?;
        Some(&table[..self.grants().len() * GRANT_BYTES])
    }

    /// Whether the arguments have memory in which there is nothing else.
    pub(super) fn has_memory_for_itself(&self) -> bool {
        self.block.place().0.is_some() && self.start == 0 && self.end == self.block.len()
    }

    /// The part of that memory that a worker maps: it may be written there until the worker has ended. The rest stands for
    /// handles, which the worker holds itself once it has decoded them.
    pub(crate) fn mapped_memory(&self) -> Vec<Arc<Segment>> {
        self.memory().filter(|segment| segment.bytes > 0).cloned().collect()
    }

    pub(crate) fn head(&self) -> ChunkHead {
        ChunkHead { function: self.function, attempt: self.attempt, first_index: self.first_index }
    }

    /// The number of tasks.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// The number of tasks, as it travels.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The index of the task at a position.
    pub(crate) fn index(&self, position: usize) -> usize {
        usize::try_from(self.first_index).expect("an index was a usize before") + position
    }

    /// How many times its tasks are executed with this one.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The errors of the executions before this one, the oldest first.
    pub(crate) fn earlier(&self) -> &[TaskErrorKind] {
        self.earlier.as_deref().unwrap_or_default()
    }

    /// The same task to be executed again, after it died of this.
    pub(crate) fn again(self, cause: TaskErrorKind) -> Self {
        let earlier = self.earlier().iter().cloned().chain([cause]).collect();
        Self { attempt: self.attempt + 1, earlier: Some(earlier), suspicion: None, ..self }
    }

    /// The task at a position alone, to be executed again after executions that ended like this.
    pub(crate) fn alone_again(&self, position: usize, attempts: u32, causes: Arc<[TaskErrorKind]>) -> Self {
        let mut alone = self.clone().split_off(position);
        alone.split_off(1);
        Self { attempt: attempts + 1, earlier: Some(causes), suspicion: None, ..alone }
    }

    /// Its tasks, which end with this error before they have begun.
    pub(crate) fn not_begun(&self, error: TaskErrorKind) -> CompletedTasks {
        CompletedTasks {
            first_index: self.index(0),
            count: self.len(),
            outcomes: Outcomes::Error(error),
            attempts: self.attempt - 1,
            earlier: self.earlier().to_vec(),
            worker: None,
            argument_bytes: self.weight,
            printed: None,
            native: None,
            is_late: false,
            ran: None,
            arguments: Some(Box::new(self.arguments())),
        }
    }

    /// The arguments of its tasks. Nothing is looked for here: most tasks have outputs.
    pub(crate) fn arguments(&self) -> TaskArguments {
        let of_call = OfCall {
            shared: self.sharing.parameters,
            seed: self.seed,
            has_names: self.sharing.named.is_some(),
            save: self.save.as_ref(),
        };
        TaskArguments::new(Arc::clone(&self.block), (self.start, self.end), self.index(0), of_call)
    }

    /// The same of tasks that may have begun: this execution counts.
    pub(crate) fn begun(&self, error: TaskErrorKind) -> CompletedTasks {
        CompletedTasks { attempts: self.attempt, ..self.not_begun(error) }
    }

    /// The memory that the arguments name.
    pub(crate) fn named_memory(&self) -> &[Arc<Segment>] {
        self.sharing.named.as_deref().map_or(&[], |named| &named.memory)
    }

    /// The arguments of its tasks.
    pub(crate) fn tasks(&self) -> &[u8] {
        &self.block[self.start..self.end]
    }

    /// The memory that the arguments are in, if it is not the arena, and where they begin there.
    pub(crate) fn place(&self) -> (Option<&Arc<Segment>>, usize) {
        let (segment, offset) = self.block.place();
        (segment, offset + self.start)
    }

    /// Suspects the chunk, which must be one task, of ending workers before they begin it.
    pub(crate) fn suspect(&mut self) {
        self.suspicion.get_or_insert_default();
    }

    /// Whether the chunk is a suspect: it is given to a worker that has nothing else, and nothing is given behind it.
    pub(crate) fn is_suspect(&self) -> bool {
        self.suspicion.is_some()
    }

    /// Counts the death of a worker that was alone with the suspect and had not begun it; returns whether the task is blamed.
    pub(crate) fn died_alone(&mut self, origin: Origin) -> bool {
        let Some(suspicion) = &mut self.suspicion else {
            return false;
        };
        match origin {
            Origin::Itself => suspicion.by_itself += 1,
            Origin::Outside => suspicion.from_outside += 1,
        }
        suspicion.by_itself >= SOLITARY_DEATHS_MAX || suspicion.from_outside >= SOLITARY_KILLS_MAX
    }

    /// Takes the tasks from `position` on out of it, with their share of the weight.
    pub(crate) fn split(&mut self, position: usize) -> Self {
        let weight = self.weight * (self.len() - position) / self.len().max(1);
        let mut rest = self.split_off(position);
        self.weight -= weight;
        rest.weight = weight;
        rest
    }

    /// Takes the tasks from `position` on out of it, as a chunk of their own without weight.
    pub(crate) fn split_off(&mut self, position: usize) -> Self {
        let position = position.min(self.len());
        let cut = self.start + wire::bytes_of(self.tasks(), position);
        let rest = Self {
            first_index: self.first_index + position as u64,
            count: self.count - position as u32,
            start: cut,
            block: Arc::clone(&self.block),
            sharing: self.sharing.clone(),
            earlier: self.earlier.clone(),
            rules: self.rules.clone(),
            save: self.save.clone(),
            log: self.log.clone(),
            weight: 0,
            suspicion: self.suspicion.filter(|_| position == 0),
            ..*self
        };
        self.count = position as u32;
        self.end = cut;
        rest
    }
}

/// Takes tasks one behind the other out of those of some chunks; none if one of them is not among these.
pub(crate) fn take_tasks(chunks: &mut Vec<Chunk>, first_index: usize, count: usize) -> Option<Chunk> {
    let has_first = |chunk: &Chunk| chunk.index(0) <= first_index && first_index < chunk.index(chunk.len());
    let place = chunks.iter().position(has_first)?;
    let before = first_index - chunks[place].index(0);
    if count == 0 || chunks[place].len() - before < count {
        return None;
    }
    let mut chunk = chunks.remove(place);
    let mut taken = chunk.split(before);
    let rest = taken.split(count);
    chunks.extend([chunk, rest].into_iter().filter(|part| part.len() > 0));
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_chunk_holds_each_task_once() {
        let mut tasks = Vec::new();
        for task in [&b"a"[..], b"", b"ccc", b"dd"] {
            tasks.extend(u32::try_from(task.len()).unwrap().to_le_bytes());
            tasks.extend(task);
        }
        let arena = Arc::new(Arena::private().unwrap());
        for position in 0..=4 {
            let head = ChunkHead { function: 3, attempt: 1, first_index: 100 };
            let mut first = Chunk::new(head, 4, arena.own_block(tasks.clone()).unwrap(), tasks.len());
            let rest = first.split_off(position);
            assert_eq!((first.len(), rest.len(), rest.index(0)), (position, 4 - position, 100 + position));
            assert_eq!([first.tasks(), rest.tasks()].concat(), tasks);
        }
    }
}
