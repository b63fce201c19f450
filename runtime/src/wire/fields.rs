//! The head and the end of a frame, numbers in a payload, and what is wrong with one that breaks the rules. It knows no message.

use super::HEADER_BYTES;

/// The kind of the frame that carries a chunk: `message` has the others.
pub(super) const CHUNK: u8 = 2;

/// How a sender broke the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

impl Violation {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Returns the check of a length: no text, no zeros and no number of a small program match it.
pub(super) fn check(length: u32) -> [u8; 4] {
    (length ^ 0x9e37_79b9).rotate_left(16).to_le_bytes()
}

/// Begins a frame of this kind in the place of what `buffer` holds.
pub(super) fn begin(buffer: &mut Vec<u8>, kind: u8) {
    buffer.clear();
    buffer.extend_from_slice(&[0; HEADER_BYTES - 1]);
    buffer.push(kind);
}

/// Ends the one frame that `frame` holds: writes its length and its checks.
pub(super) fn finish(frame: &mut Vec<u8>) {
    let tail = finish_around(frame, 0);
    frame.extend_from_slice(&tail);
}

/// The same where so many bytes follow what `frame` holds; returns what stands behind them.
pub(super) fn finish_around(frame: &mut [u8], bytes: usize) -> [u8; 4] {
    let length = u32::try_from(frame.len() - HEADER_BYTES + bytes)
        .expect("every frame is bounded by its limit, which is under 4 GiB");
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[4..8].copy_from_slice(&check(length));
    check(length)
}

/// Takes numbers off the front of a payload.
#[derive(Debug)]
pub(super) struct FieldReader<'a>(pub(super) &'a [u8]);

impl<'a> FieldReader<'a> {
    pub(super) fn u8(&mut self) -> Result<u8, Violation> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Violation> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, Violation> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Violation> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Violation> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or_else(|| Violation::new("a frame ends too soon"))?;
        self.0 = rest;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Violation> {
        let (array, rest) = self.0.split_first_chunk().ok_or_else(|| Violation::new("a frame ends too soon"))?;
        self.0 = rest;
        Ok(*array)
    }
}
