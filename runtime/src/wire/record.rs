//! Results one behind the other, as a worker writes them: each is a head and a payload, in the order of the tasks.
//!
//! A head is a `u32`, little-endian: the payload's length, and in its lowest 3 bits what the payload is. A result that is too
//! large for the memory between the two processes comes in parts: its payload is that of all parts and of the record behind
//! them, which says what it is.

mod measured;

use std::fmt;
use std::sync::Arc;

use super::fields::{FieldReader, Violation};
use crate::codec::DirectOutput;
use crate::shared::OutputTable;

/// The kind of a result's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// The encoded output.
    Output = 0,
    /// The encoded error that the function returned.
    Failure = 1,
    /// A text: why the output did not encode.
    Encode = 2,
    /// A text: why the arguments did not decode.
    Decode = 3,
    /// An encoded [`PanicNote`](super::PanicNote).
    Panic = 4,
    /// Nothing: the task was not begun, as its call has ended, or as it was recalled.
    NotRun = 7,
}

/// A part of the result behind it.
const PART: u32 = 5;
/// No result: what stands up to the end of the ring is left out.
const SKIP: u32 = 6;
const STATUS_BITS: u32 = 3;

/// The bytes of a head.
pub(crate) const HEAD_BYTES: usize = 4;
/// The most that one record carries; what is larger comes in parts.
pub(crate) const RECORD_BYTES_MAX: usize = 1 << (u32::BITS - STATUS_BITS - 1);

/// The head of a record with so many bytes of payload, at most [`RECORD_BYTES_MAX`].
#[inline]
pub(crate) fn head(status: Status, payload_bytes: usize) -> [u8; HEAD_BYTES] {
    pack(status as u32, payload_bytes)
}

/// The head of a part.
pub(crate) fn part_head(payload_bytes: usize) -> [u8; HEAD_BYTES] {
    pack(PART, payload_bytes)
}

/// Returns a head that leaves out so many bytes, itself included.
pub(crate) fn skip_head(bytes: usize) -> [u8; HEAD_BYTES] {
    pack(SKIP, bytes - HEAD_BYTES)
}

/// How many bytes are left out, if this is the head of such.
pub(crate) fn skipped(head: [u8; HEAD_BYTES]) -> Option<usize> {
    let head = u32::from_le_bytes(head);
    (head & ((1 << STATUS_BITS) - 1) == SKIP).then(|| (head >> STATUS_BITS) as usize + HEAD_BYTES)
}

#[inline]
fn pack(kind: u32, payload_bytes: usize) -> [u8; HEAD_BYTES] {
    let length = u32::try_from(payload_bytes).ok().filter(|&length| length < 1 << (u32::BITS - STATUS_BITS));
    (length.expect("larger results come in parts") << STATUS_BITS | kind).to_le_bytes()
}

/// A result as a record, with parts before it where it is too large for one.
pub(crate) fn record(status: Status, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + HEAD_BYTES);
    let mut left = payload;
    while left.len() > RECORD_BYTES_MAX {
        let (part, rest) = left.split_at(RECORD_BYTES_MAX);
        push_part(&mut bytes, part);
        left = rest;
    }
    bytes.extend_from_slice(&head(status, left.len()));
    bytes.extend_from_slice(left);
    bytes
}

/// Appends the parts of a result that is not finished.
pub(crate) fn push_parts(bytes: &mut Vec<u8>, payload: &[u8]) {
    payload.chunks(RECORD_BYTES_MAX).for_each(|part| push_part(bytes, part));
}

fn push_part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&part_head(part.len()));
    bytes.extend_from_slice(part);
}

/// Reads a head: the status of its record, none for a part, and the bytes of the payload. None for the head of what is left out.
pub(crate) fn front(head: [u8; HEAD_BYTES]) -> Option<(Option<Status>, usize)> {
    let head = u32::from_le_bytes(head);
    let status = match head & ((1 << STATUS_BITS) - 1) {
        PART => None,
        kind => Some(status(kind).ok()?),
    };
    Some((status, (head >> STATUS_BITS) as usize))
}

/// Received results, to be taken one by one.
#[derive(Default)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    at: usize,
    /// The one output that these are, whose elements are not among the bytes.
    direct: Option<Box<dyn DirectOutput>>,
    /// The memory that outputs may name.
    outputs: Option<Arc<OutputTable>>,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("bytes_left", &self.bytes_left()).finish_non_exhaustive()
    }
}

impl Records {
    /// The results in `bytes`, which are whole ones.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// One output that has come into its own memory. Its record has no payload.
    pub(crate) fn direct(output: Box<dyn DirectOutput>) -> Self {
        Self { bytes: head(Status::Output, 0).to_vec(), direct: Some(output), ..Self::default() }
    }

    /// Lets outputs find memory that the worker has sent.
    pub(crate) fn set_outputs(&mut self, outputs: Arc<OutputTable>) {
        self.outputs = Some(outputs);
    }

    /// Whether outputs may name memory.
    pub(crate) fn has_outputs(&self) -> bool {
        self.outputs.is_some()
    }

    /// The memory that outputs may name.
    pub(crate) fn outputs(&self) -> Option<Arc<OutputTable>> {
        self.outputs.clone()
    }

    /// Whether it is one output that has come into its own memory.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Takes the next result, if it is an output that has come into its own memory.
    pub(crate) fn take_direct(&mut self) -> Option<Box<dyn DirectOutput>> {
        let output = self.direct.take()?;
        (self.bytes, self.at) = (Vec::new(), 0);
        Some(output)
    }

    /// How many bytes were taken so far.
    pub(crate) fn taken(&self) -> usize {
        self.at
    }

    /// Goes back to where so many bytes were taken.
    pub(crate) fn back_to(&mut self, taken: usize) {
        self.at = taken;
    }

    /// Takes the next result, if it is an output in one piece.
    #[inline]
    pub(crate) fn next_output(&mut self) -> Option<&[u8]> {
        debug_assert!(!self.is_direct(), "it is taken by `take_direct`");
        let (head, rest) = self.bytes.get(self.at..)?.split_first_chunk()?;
        let head = u32::from_le_bytes(*head);
        if head & ((1 << STATUS_BITS) - 1) != Status::Output as u32 {
            return None;
        }
        let output = rest.get(..(head >> STATUS_BITS) as usize)?;
        self.at += HEAD_BYTES + output.len();
        Some(output)
    }

    /// Takes the next results, `most` at most, up to one that is not an output in one piece of so many bytes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn outputs_of(&mut self, bytes: usize, most: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        let rest = &self.bytes[self.at..];
        let head = head(Status::Output, bytes);
        let records = rest.chunks_exact(HEAD_BYTES + bytes).take(most);
        let count = records.take_while(|record| record[..HEAD_BYTES] == head).count();
        let run = &rest[..count * (HEAD_BYTES + bytes)];
        self.at += run.len();
        run.chunks_exact(HEAD_BYTES + bytes).map(|record| &record[HEAD_BYTES..])
    }

    /// Takes the next result.
    pub(crate) fn next(&mut self) -> Result<(Status, &[u8]), Violation> {
        debug_assert!(!self.is_direct(), "it is taken by `take_direct`");
        let (mut kind, start, mut end) = self.step()?;
        while kind == PART {
            // Parts are brought together where they stand: a large result is not there twice.
            let (next_kind, next_start, next_end) = self.step()?;
            self.bytes.copy_within(next_start..next_end, end);
            (kind, end) = (next_kind, end + (next_end - next_start));
        }
        Ok((status(kind)?, &self.bytes[start..end]))
    }

    /// Visits the results that are left, with the payload of each in the pieces that it came in, up to one that is not whole. Nothing is
    /// taken.
    pub(crate) fn visit(&self, mut visit: impl FnMut(Status, &[&[u8]])) {
        if self.is_direct() {
            return;
        }
        let mut left = FieldReader(&self.bytes[self.at..]);
        let mut parts: Vec<&[u8]> = Vec::new();
        while let Ok(head) = left.u32()
            && let Ok(payload) = left.bytes((head >> STATUS_BITS) as usize)
        {
            match status(head & ((1 << STATUS_BITS) - 1)) {
                Ok(status) if parts.is_empty() => visit(status, &[payload]),
                Ok(status) => {
                    parts.push(payload);
                    visit(status, &parts);
                    parts.clear();
                }
                Err(_) if head & ((1 << STATUS_BITS) - 1) == PART => parts.push(payload),
                Err(_) => return,
            }
        }
    }

    /// Whether the next result is an output.
    pub(crate) fn begins_with_output(&self) -> bool {
        self.is_direct() || self.next_kind() == Some(Status::Output as u32)
    }

    /// Whether each result that is left is an output.
    pub(crate) fn are_outputs(&self) -> bool {
        let mut are_outputs = true;
        self.visit(|status, _| are_outputs &= status == Status::Output);
        are_outputs
    }

    /// What the next result is, behind its parts.
    fn next_kind(&self) -> Option<u32> {
        let (mut at, mut kind) = (self.at, PART);
        while kind == PART {
            let head = u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?);
            kind = head & ((1 << STATUS_BITS) - 1);
            at = at.checked_add(HEAD_BYTES + (head >> STATUS_BITS) as usize)?;
        }
        Some(kind)
    }

    /// A copy of the results that are left, if the next is an error that the function returned, or a panic.
    pub(crate) fn copy_of_failure(&self) -> Option<Self> {
        if self.is_direct() {
            return None;
        }
        let is_failure = matches!(status(self.next_kind()?), Ok(Status::Failure | Status::Panic));
        is_failure.then(|| Self::new(self.bytes[self.at..].to_vec()))
    }

    /// Takes out the next `count` results.
    pub(crate) fn split(&mut self, count: usize) -> Result<Self, Violation> {
        let start = self.at;
        self.pass(count)?;
        let direct = self.direct.take_if(|_| count > 0);
        Ok(Self { bytes: self.bytes[start..self.at].to_vec(), at: 0, direct, outputs: self.outputs.clone() })
    }

    /// Keeps the results up to where so many bytes were taken, from the first on.
    pub(crate) fn rewound(mut self, taken: usize) -> Self {
        self.bytes.truncate(taken);
        Self { at: 0, direct: self.direct.filter(|_| taken > 0), ..self }
    }

    /// The results that are left, without the memory of those before them.
    pub(crate) fn into_rest(mut self) -> Self {
        if self.at == 0 {
            return self;
        }
        Self { bytes: self.bytes.split_off(self.at), outputs: self.outputs, ..Self::default() }
    }

    /// Copies the results that are left where their buffer is much larger than they are; returns that buffer.
    pub(crate) fn compact(&mut self) -> Option<Vec<u8>> {
        let left = self.bytes_left();
        (self.bytes.capacity() / 2 > left.max(1 << 10)).then(|| {
            let rest = self.bytes[self.at..].to_vec();
            self.at = 0;
            std::mem::replace(&mut self.bytes, rest)
        })
    }

    /// Takes the first `count` results, and the parts behind them of one that is not finished, apart.
    pub(crate) fn split_parts(mut self, count: usize) -> Result<(Self, Vec<u8>), Violation> {
        debug_assert_eq!(self.at, 0, "none has been taken");
        self.pass(count)?;
        let parts = self.bytes.split_off(self.at);
        Ok((Self { at: 0, ..self }, parts))
    }

    /// Steps over the next result; returns what it is.
    pub(crate) fn pass_one(&mut self) -> Result<Status, Violation> {
        loop {
            let (kind, ..) = self.step()?;
            if kind != PART {
                return status(kind);
            }
        }
    }

    fn pass(&mut self, count: usize) -> Result<(), Violation> {
        let mut left = count;
        while left > 0 {
            let before = self.at;
            self.pass_one()?;
            left -= 1;
            // Many of one size stand one behind the other.
            let (whole, rest) = self.bytes.split_at(self.at);
            let (head, bytes) = (&whole[before..before + HEAD_BYTES], self.at - before);
            if head[0] & ((1 << STATUS_BITS) - 1) != PART as u8 {
                let alike =
                    rest.chunks_exact(bytes).take(left).take_while(|record| record[..HEAD_BYTES] == *head).count();
                self.at += alike * bytes;
                left -= alike;
            }
        }
        Ok(())
    }

    /// Drops what is left; returns how many bytes it was.
    pub(crate) fn drop_rest(&mut self) -> usize {
        let left = self.bytes_left();
        self.at = self.bytes.len();
        self.direct = None;
        left
    }

    /// The buffer that they are in.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// The bytes of the results that are left.
    pub(crate) fn bytes_left(&self) -> usize {
        self.bytes.len() - self.at + self.direct.as_ref().map_or(0, |output| output.bytes())
    }

    /// Takes a record: its kind, and where its payload stands.
    #[inline]
    fn step(&mut self) -> Result<(u32, usize, usize), Violation> {
        let mut fields = FieldReader(&self.bytes[self.at..]);
        let head = fields.u32()?;
        let length = (head >> STATUS_BITS) as usize;
        fields.bytes(length)?;
        let start = self.at + HEAD_BYTES;
        self.at = start + length;
        Ok((head & ((1 << STATUS_BITS) - 1), start, self.at))
    }
}

#[inline]
fn status(kind: u32) -> Result<Status, Violation> {
    Ok(match kind {
        0 => Status::Output,
        1 => Status::Failure,
        2 => Status::Encode,
        3 => Status::Decode,
        4 => Status::Panic,
        7 => Status::NotRun,
        other => return Err(Violation::new(format!("a result of unknown status {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (head, payload) in [
            (head(Status::Output, 3), &b"one"[..]),
            (part_head(2), b"tw"),
            (part_head(1), b"o"),
            (head(Status::Failure, 1), b"!"),
            (head(Status::Panic, 0), b""),
        ] {
            bytes.extend(head);
            bytes.extend(payload);
        }
        bytes
    }

    #[test]
    fn results_come_out_whole() {
        let mut records = Records::new(written());
        assert_eq!(records.next(), Ok((Status::Output, &b"one"[..])));
        assert_eq!(records.next(), Ok((Status::Failure, &b"two!"[..])));
        assert_eq!(records.next(), Ok((Status::Panic, &b""[..])));
        assert!(records.next().is_err());
    }

    #[test]
    fn a_run_of_outputs_of_one_size_ends_before_any_other_result() {
        let mut bytes = Vec::new();
        for status in [Status::Output, Status::Output, Status::Output, Status::Failure, Status::Output] {
            bytes.extend(head(status, 2));
            bytes.extend([bytes.len() as u8, 0]);
        }
        let mut records = Records::new(bytes);
        let run = |records: &mut Records, most| records.outputs_of(2, most).map(|output| output[0]).collect::<Vec<_>>();
        assert_eq!(run(&mut records, 2), [4, 10]);
        assert_eq!(records.outputs_of(1, 9).len(), 0);
        assert_eq!(run(&mut records, 9), [16]);
        assert_eq!(records.next(), Ok((Status::Failure, &[22, 0][..])));
        assert_eq!(run(&mut records, 9), [28]);
        assert_eq!(records.bytes_left(), 0);
    }

    #[test]
    fn a_visit_sees_whole_results_in_their_pieces_and_takes_none() {
        let mut written = written();
        written.extend(head(Status::Output, 9));
        let mut records = Records::new(written);
        assert_eq!(records.next(), Ok((Status::Output, &b"one"[..])));
        let mut seen = Vec::new();
        records.visit(|status, pieces| seen.push((status, pieces.concat(), pieces.len())));
        assert_eq!(seen, [(Status::Failure, b"two!".to_vec(), 3), (Status::Panic, Vec::new(), 1)]);
        assert_eq!(records.next(), Ok((Status::Failure, &b"two!"[..])));
    }

    #[test]
    fn results_split_between_two() {
        for count in 0..=3 {
            let mut records = Records::new(written());
            let mut first = records.split(count).unwrap();
            let statuses = |records: &mut Records| {
                std::iter::from_fn(|| records.next().ok().map(|(status, _)| status)).collect::<Vec<_>>()
            };
            let mut all = statuses(&mut first);
            assert_eq!(all.len(), count);
            all.extend(statuses(&mut records));
            assert_eq!(all, [Status::Output, Status::Failure, Status::Panic]);
        }
    }

    #[test]
    fn a_record_that_claims_more_than_is_there_is_refused() {
        let whole = written();
        for cut in [1, 3, 6, whole.len() - 1] {
            let mut records = Records::new(whole[..cut].to_vec());
            assert!((0..3).any(|_| records.next().is_err()), "cut at {cut}");
        }
        assert!(Records::new(vec![0xff; 4]).next().is_err());
        assert!(Records::new(vec![6, 0, 0, 0]).next().is_err());
        assert_eq!(skipped(skip_head(100)), Some(100));
        assert_eq!(skipped(head(Status::Output, 5)), None);
    }
}
