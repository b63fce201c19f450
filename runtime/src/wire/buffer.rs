//! Bytes as they arrive, and the frames in them. It reserves memory for what has arrived, never for what a length claims.

use super::fields::{Violation, check};
use super::{HEADER_BYTES, TRAILER_BYTES};

/// A buffer that is larger than this is given back once it is empty.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// The first buffer: a worker that gets its arguments in shared memory receives less than this by its socket in all its life, and each
/// page of a buffer costs a copied worker a page fault.
const FIRST_BYTES: usize = 4 * 1024;
/// The next one, where the first was filled.
const NEXT_BYTES: usize = 64 * 1024;

/// Received bytes that are not yet taken as frames.
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    frame_bytes_max: usize,
    /// The room was filled to its last byte, so more may have been there.
    is_outgrown: bool,
}

impl FrameBuffer {
    /// A buffer that refuses frames whose payload is larger than `frame_bytes_max`.
    pub(crate) fn new(frame_bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, frame_bytes_max, is_outgrown: false }
    }

    pub(crate) fn set_frame_bytes_max(&mut self, frame_bytes_max: usize) {
        self.frame_bytes_max = frame_bytes_max;
    }

    /// Room for more bytes; [`filled`](Self::filled) says how many came.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.release();
        let is_to_grow = std::mem::take(&mut self.is_outgrown) && self.bytes.len() < NEXT_BYTES;
        let least = self.bytes.len().clamp(FIRST_BYTES, NEXT_BYTES) / 2;
        if is_to_grow || self.bytes.len() - self.end < least {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if is_to_grow || self.bytes.len() - self.end < least {
                // A large buffer grows by a quarter: it is there as a whole while a value is made of it.
                let length = self.bytes.len();
                let grown = match length {
                    0 => FIRST_BYTES,
                    KEPT_BYTES_MAX.. => length + length / 4,
                    _ => (length * 2).max(NEXT_BYTES),
                };
                self.bytes.reserve_exact(grown - length);
                self.bytes.resize(grown, 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// Begins anew if nothing is waiting, and gives back what is too large to be kept.
    pub(crate) fn release(&mut self) {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if self.bytes.len() > KEPT_BYTES_MAX {
                self.bytes = Vec::new();
            }
        }
    }

    /// Drops what is waiting, and gives back the memory that it is in.
    pub(crate) fn empty(&mut self) {
        *self = Self::new(self.frame_bytes_max);
    }

    /// Consumes the first `count` bytes of [`room`](Self::room).
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.bytes.len(), "more was filled than there was room");
        self.is_outgrown = self.end == self.bytes.len();
    }

    /// Whether nothing is waiting, not even a part of a frame.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether a whole frame is waiting.
    pub(crate) fn has_frame(&self) -> Result<bool, Violation> {
        Ok(self.front()?.is_some())
    }

    /// Takes the next whole frame: its kind and its payload.
    pub(crate) fn next(&mut self) -> Result<Option<(u8, &[u8])>, Violation> {
        let Some((kind, length)) = self.front()? else {
            return Ok(None);
        };
        let payload = self.start + HEADER_BYTES;
        self.start = payload + length + TRAILER_BYTES;
        Ok(Some((kind, &self.bytes[payload..payload + length])))
    }

    /// The kind and the payload's length of the frame that stands first, if it is whole.
    fn front(&self) -> Result<Option<(u8, usize)>, Violation> {
        let waiting = &self.bytes[self.start..self.end];
        let Some((header, rest)) = waiting.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [a, b, c, d, checks @ .., kind] = *header;
        let length = u32::from_le_bytes([a, b, c, d]);
        if checks != check(length) {
            return Err(Violation::new("its channel carries bytes that are no frame"));
        }
        let payload = length as usize;
        if payload > self.frame_bytes_max {
            return Err(Violation::new(format!(
                "a frame claims {length} bytes, more than the {} allowed",
                self.frame_bytes_max,
            )));
        }
        let Some(trailer) = rest.get(payload..payload + TRAILER_BYTES) else {
            return Ok(None);
        };
        if trailer != check(length) {
            return Err(Violation::new("a frame has other bytes in it than its own"));
        }
        Ok(Some((kind, payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(buffer: &mut FrameBuffer, bytes: &[u8]) {
        let mut left = bytes;
        while !left.is_empty() {
            let room = buffer.room();
            let count = left.len().min(room.len());
            room[..count].copy_from_slice(&left[..count]);
            buffer.filled(count);
            left = &left[count..];
        }
    }

    #[test]
    fn a_buffer_is_small_until_it_was_filled() {
        let mut buffer = FrameBuffer::new(1 << 20);
        for _ in 0..10 {
            feed(&mut buffer, &frame(1, &[7; FIRST_BYTES / 3]));
            assert!(buffer.next().unwrap().is_some());
        }
        assert_eq!(buffer.room().len(), FIRST_BYTES);
        let whole = frame(1, &vec![7; FIRST_BYTES - frame(1, b"").len()]);
        feed(&mut buffer, &whole);
        assert!(buffer.next().unwrap().is_some());
        buffer.release();
        assert_eq!(buffer.room().len(), NEXT_BYTES, "there may have been more to receive");
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; HEADER_BYTES - 1];
        frame.push(kind);
        frame.extend_from_slice(payload);
        crate::wire::fields::finish(&mut frame);
        frame
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_arrive() {
        let large = vec![7; if cfg!(miri) { 3000 } else { 300_000 }];
        let mut stream = frame(1, b"one");
        stream.extend(frame(2, b""));
        stream.extend(frame(3, &large));
        for step in [1, 3, 5, 4096, usize::MAX] {
            let mut buffer = FrameBuffer::new(1 << 20);
            let mut frames = Vec::new();
            for part in stream.chunks(step.min(stream.len())) {
                feed(&mut buffer, part);
                while let Some((kind, payload)) = buffer.next().unwrap() {
                    frames.push((kind, payload.to_vec()));
                }
            }
            let expected = [(1, b"one".to_vec()), (2, Vec::new()), (3, large.clone())];
            assert_eq!(frames, expected);
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_its_bytes_arrive() {
        let mut buffer = FrameBuffer::new(10);
        feed(&mut buffer, &frame(1, &[0; 11])[..HEADER_BYTES]);
        assert!(buffer.next().is_err());
    }

    #[test]
    fn what_is_no_frame_is_refused_before_and_inside_of_one() {
        for stray in ["x", "hello world, some text", "\0\0\0\0\0\0\0\0\0\0"] {
            for at in [0, HEADER_BYTES, HEADER_BYTES + 50] {
                let mut stream = frame(1, &[7; 100]);
                stream.splice(at..at, stray.bytes());
                stream.extend(frame(2, b"next"));
                let mut buffer = FrameBuffer::new(1 << 20);
                feed(&mut buffer, &stream);
                assert!(buffer.next().is_err(), "{stray:?} at {at}");
            }
        }
    }

    #[test]
    fn memory_follows_what_arrived_and_not_what_is_claimed() {
        let mut buffer = FrameBuffer::new(u32::MAX as usize);
        let claimed = u32::MAX - 1000;
        feed(&mut buffer, &claimed.to_le_bytes());
        feed(&mut buffer, &check(claimed));
        feed(&mut buffer, &[0; 100]);
        assert_eq!(buffer.next(), Ok(None));
        assert!(buffer.bytes.len() <= FIRST_BYTES);
    }
}
