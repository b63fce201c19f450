//! Tasks sent together: built by the parent task by task, kept until every task has its outcome, and split when what is
//! left of it moves to another worker.
//!
//! Payload: chunk id `u64`, function `u32`, attempt `u32`, index of the first task `u64`, number of tasks `u32`; then for
//! each task the length of its arguments `u32` and the arguments. The indices of a chunk's tasks follow one another.

use super::HEADER_BYTES;
use super::fields::{Fields, Violation, finish};
use super::message::CHUNK;
use std::sync::Arc;

const ID: usize = HEADER_BYTES;
const FUNCTION: usize = ID + 8;
const ATTEMPT: usize = FUNCTION + 4;
const FIRST_INDEX: usize = ATTEMPT + 4;
const COUNT: usize = FIRST_INDEX + 8;
const TASKS: usize = COUNT + 4;
const LENGTH_BYTES: usize = 4;

/// A chunk as its frame.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    frame: Vec<u8>,
    /// Where each task ends in the frame.
    ends: Vec<usize>,
    function: u32,
    attempt: u32,
    first_index: u64,
    /// How often it was sent to a worker that died before it began it.
    moves: u32,
}

impl Chunk {
    /// A chunk without tasks; the first that is added has this index.
    pub(crate) fn new(function: u32, attempt: u32, first_index: u64) -> Self {
        let mut frame = vec![0; TASKS];
        frame[HEADER_BYTES - 1] = CHUNK;
        frame[FUNCTION..ATTEMPT].copy_from_slice(&function.to_le_bytes());
        frame[ATTEMPT..FIRST_INDEX].copy_from_slice(&attempt.to_le_bytes());
        frame[FIRST_INDEX..COUNT].copy_from_slice(&first_index.to_le_bytes());
        Self { frame, ends: Vec::new(), function, attempt, first_index, moves: 0 }
    }

    /// Adds a task whose arguments `encode` appends to the buffer. If it fails, the chunk stays as it was.
    pub(crate) fn push<E>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.frame.len();
        self.frame.extend_from_slice(&[0; LENGTH_BYTES]);
        if let Err(error) = encode(&mut self.frame) {
            self.frame.truncate(start);
            return Err(error);
        }
        let length = u32::try_from(self.frame.len() - start - LENGTH_BYTES)
            .expect("arguments are encoded with a limit under 4 GiB");
        self.frame[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        self.ends.push(self.frame.len());
        Ok(())
    }

    /// The number of tasks.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of the whole frame.
    pub(crate) fn bytes(&self) -> usize {
        self.frame.len()
    }

    /// The index of the task at a position.
    pub(crate) fn index(&self, position: usize) -> usize {
        usize::try_from(self.first_index).expect("an index was a usize before") + position
    }

    /// How many times its tasks are executed with this one.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Notes that a worker died before it began the chunk, and tells how often that was.
    pub(crate) fn moved(&mut self) -> u32 {
        self.moves += 1;
        self.moves
    }

    /// The bytes of the arguments of the task at a position.
    pub(crate) fn argument_bytes(&self, position: usize) -> usize {
        let (start, end) = self.range(position);
        end - start - LENGTH_BYTES
    }

    /// Takes the tasks from `position` on out of it, as a chunk of their own.
    pub(crate) fn split_off(&mut self, position: usize) -> Self {
        let mut rest = Self::new(self.function, self.attempt, self.first_index + position as u64);
        let Some(&last) = self.ends.last().filter(|_| position < self.ends.len()) else {
            return rest;
        };
        let (start, _) = self.range(position);
        rest.frame.extend_from_slice(&self.frame[start..last]);
        rest.ends = self.ends.split_off(position);
        for end in &mut rest.ends {
            *end = *end - start + TASKS;
        }
        self.frame.truncate(start);
        rest
    }

    /// The frame, to be sent under this id.
    pub(crate) fn seal(&mut self, id: u64) -> Arc<[u8]> {
        let count = u32::try_from(self.ends.len()).expect("a chunk's bytes are under 4 GiB");
        self.frame[ID..FUNCTION].copy_from_slice(&id.to_le_bytes());
        self.frame[COUNT..TASKS].copy_from_slice(&count.to_le_bytes());
        let tasks_end = self.frame.len();
        finish(&mut self.frame);
        let sealed = Arc::from(&*self.frame);
        // The chunk may be split, and sent again, so it goes on without the trailer.
        self.frame.truncate(tasks_end);
        sealed
    }

    fn range(&self, position: usize) -> (usize, usize) {
        let start = match position.checked_sub(1) {
            Some(before) => self.ends[before],
            None => TASKS,
        };
        (start, self.ends[position])
    }
}

/// What a worker reads of a chunk before its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkHeader {
    pub(crate) id: u64,
    pub(crate) function: u32,
    pub(crate) attempt: u32,
    pub(crate) first_index: u64,
    pub(crate) count: u32,
}

/// The tasks of a received chunk, one after another.
#[derive(Debug)]
pub(crate) struct TaskFrames<'a>(Fields<'a>);

impl<'a> TaskFrames<'a> {
    /// Reads the header of a chunk's payload.
    pub(super) fn parse(payload: &'a [u8]) -> Result<(ChunkHeader, Self), Violation> {
        let mut fields = Fields(payload);
        let header = ChunkHeader {
            id: fields.u64()?,
            function: fields.u32()?,
            attempt: fields.u32()?,
            first_index: fields.u64()?,
            count: fields.u32()?,
        };
        Ok((header, Self(fields)))
    }

    /// The tasks whose bytes [`rest`](Self::rest) gave.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(Fields(bytes))
    }

    /// The bytes of the tasks that are left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0.0
    }

    /// The arguments of the next task.
    pub(crate) fn next(&mut self) -> Result<&'a [u8], Violation> {
        let length = self.0.u32()? as usize;
        self.0.bytes(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(tasks: &[&[u8]]) -> Chunk {
        let mut chunk = Chunk::new(3, 1, 100);
        for task in tasks {
            let pushed: Result<(), ()> = chunk.push(|buffer| {
                buffer.extend_from_slice(task);
                Ok(())
            });
            pushed.unwrap();
        }
        chunk
    }

    fn read(chunk: &mut Chunk) -> (ChunkHeader, Vec<Vec<u8>>) {
        let frame = chunk.seal(9);
        let payload = &frame[HEADER_BYTES..frame.len() - crate::wire::TRAILER_BYTES];
        let (header, mut tasks) = TaskFrames::parse(payload).unwrap();
        let tasks = (0..header.count).map(|_| tasks.next().unwrap().to_vec()).collect();
        (header, tasks)
    }

    #[test]
    fn a_split_chunk_holds_each_task_once() {
        let tasks: [&[u8]; 4] = [b"a", b"", b"ccc", b"dd"];
        for position in 0..=4 {
            let mut first = chunk(&tasks);
            let mut rest = first.split_off(position);
            let (first_header, mut all) = read(&mut first);
            let (rest_header, rest_tasks) = read(&mut rest);
            all.extend(rest_tasks);
            assert_eq!(all, tasks);
            assert_eq!(first_header.first_index, 100);
            assert_eq!(rest_header.first_index, 100 + position as u64);
            assert_eq!(first_header.count as usize, position);
        }
    }

    #[test]
    fn a_task_that_does_not_encode_leaves_the_chunk_as_it_was() {
        let mut chunk = chunk(&[b"a"]);
        let failed = chunk.push(|buffer| {
            buffer.push(1);
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!(read(&mut chunk).1, [b"a"]);
    }
}
