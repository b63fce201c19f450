//! Tasks sent together: how their arguments stand one behind the other, and the frame that carries them over a socket.
//!
//! The tasks are, each, the length of its arguments (`u32`, little-endian) and the arguments. A frame has before them: chunk id
//! `u64`, function `u32`, attempt `u32`, index of the first task `u64`, number of tasks `u32`, and a bit for
//! each parameter whose arguments are shared (`u16`), the first the lowest; what the seeds of its call's tasks are made from
//! (`u64`); and who listens to them (`u64`). The indices of a chunk's tasks follow one another.

use super::fields::{CHUNK, FieldReader, Violation, begin, finish, finish_around};

/// The bytes of a length.
pub(crate) const LENGTH_BYTES: usize = 4;

/// The bytes of the first `count` tasks.
pub(crate) fn bytes_of(tasks: &[u8], count: usize) -> usize {
    let mut left = FieldReader(tasks);
    for _ in 0..count {
        let length = left.u32().expect("what this process wrote holds so many tasks");
        left.bytes(length as usize).expect("what this process wrote holds whole tasks");
    }
    tasks.len() - left.0.len()
}

/// Whether these bytes are so many tasks, one behind the other.
pub(crate) fn are_tasks(tasks: &[u8], count: u32) -> bool {
    let mut left = FieldReader(tasks);
    let mut next = || left.u32().and_then(|length| left.bytes(length as usize)).is_ok();
    let are_there = (0..count).all(|_| next());
    are_there && left.0.is_empty()
}

/// The frame of a chunk with these tasks.
pub(crate) fn chunk(header: &ChunkHeader, tasks: &[u8]) -> Vec<u8> {
    let mut frame = begun(header);
    frame.extend_from_slice(tasks);
    finish(&mut frame);
    frame
}

/// Returns the bytes before and behind so many bytes of tasks in their frame.
pub(crate) fn around_chunk(header: &ChunkHeader, tasks_bytes: usize) -> (Vec<u8>, Vec<u8>) {
    let mut head = begun(header);
    let tail = finish_around(&mut head, tasks_bytes);
    (head, tail.to_vec())
}

fn begun(header: &ChunkHeader) -> Vec<u8> {
    let mut frame = Vec::new();
    begin(&mut frame, CHUNK);
    frame.extend_from_slice(&header.id.to_le_bytes());
    frame.extend_from_slice(&header.function.to_le_bytes());
    frame.extend_from_slice(&header.attempt.to_le_bytes());
    frame.extend_from_slice(&header.first_index.to_le_bytes());
    frame.extend_from_slice(&header.count.to_le_bytes());
    frame.extend_from_slice(&header.shared.to_le_bytes());
    frame.extend_from_slice(&header.seed.to_le_bytes());
    frame.extend_from_slice(&header.log.to_le_bytes());
    frame
}

/// The head of a chunk, which a worker reads before its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkHeader {
    pub(crate) id: u64,
    pub(crate) function: u32,
    pub(crate) attempt: u32,
    pub(crate) first_index: u64,
    pub(crate) count: u32,
    /// The parameters whose arguments are shared.
    pub(crate) shared: u16,
    /// The seed of its call.
    pub(crate) seed: u64,
    /// Who listens to its tasks (`trace`).
    pub(crate) log: u64,
}

/// The tasks of a received chunk, one after another.
#[derive(Debug)]
pub(crate) struct TaskFrames<'a>(FieldReader<'a>);

impl<'a> TaskFrames<'a> {
    /// Reads the header of a chunk's payload.
    pub(super) fn parse(payload: &'a [u8]) -> Result<(ChunkHeader, Self), Violation> {
        let mut fields = FieldReader(payload);
        let header = ChunkHeader {
            id: fields.u64()?,
            function: fields.u32()?,
            attempt: fields.u32()?,
            first_index: fields.u64()?,
            count: fields.u32()?,
            shared: fields.u16()?,
            seed: fields.u64()?,
            log: fields.u64()?,
        };
        Ok((header, Self(fields)))
    }

    /// The tasks whose bytes [`rest`](Self::rest) gave.
    #[inline]
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(FieldReader(bytes))
    }

    /// The bytes of the tasks that are left.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0.0
    }

    /// The arguments of the next task.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<&'a [u8], Violation> {
        let length = self.0.u32()? as usize;
        self.0.bytes(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{HEADER_BYTES, TRAILER_BYTES};

    #[test]
    fn a_chunk_comes_back_as_it_went() {
        let header =
            ChunkHeader { id: 9, function: 3, attempt: 1, first_index: 100, count: 3, shared: 0b101, seed: 7, log: 8 };
        let mut tasks = Vec::new();
        for task in [&b"a"[..], b"", b"ccc"] {
            tasks.extend(u32::try_from(task.len()).unwrap().to_le_bytes());
            tasks.extend(task);
        }
        assert_eq!([0, 1, 2, 3].map(|count| bytes_of(&tasks, count)), [0, 5, 9, 16]);
        let frame = chunk(&header, &tasks);
        let payload = &frame[HEADER_BYTES..frame.len() - TRAILER_BYTES];
        let (parsed, mut read) = TaskFrames::parse(payload).unwrap();
        assert_eq!(parsed, header);
        assert_eq!([(); 3].map(|()| read.next().unwrap().to_vec()), [b"a".to_vec(), vec![], b"ccc".to_vec()]);
        assert!(read.next().is_err());
    }
}
