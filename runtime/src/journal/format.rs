//! The bytes of a journal, and how a file is read of which anything may be true. No file is opened here.
//!
//! 1. A file is a header and records. The header has the key under which everything in the file is hashed: random, so nobody who
//!    chooses arguments or outputs can make two digests equal, or an output that passes for a record.
//! 2. A record is a head and a body. The head has the length of the body, a check of the length, and a check of the body.
//! 3. A file grows at its end alone. What a killed program was writing is a part of a record there, and what a machine that lost its
//!    power was writing may be any bytes: both are the *tail*. It is dropped.
//! 4. A record that is not as it was written, and has whole records behind it, was damaged later. Then the file is refused: to go on
//!    behind it might lose what cannot be computed again soon, unseen.

use std::io;

use crate::digest::{Digest, DigestKey};

/// What every journal begins with.
const MAGIC: &[u8; 16] = b"poolmap journal\n";
/// The version of the format.
const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 48;
const KEY_AT: usize = 24;
const HEADER_CHECK_AT: usize = 40;
/// A shorter file may be somebody else's, whatever it begins with.
const HEADER_BYTES_MIN: usize = 8;

pub(super) const HEAD_BYTES: usize = 16;
/// What stands in the body of an output before its payload.
pub(crate) const FRONT_BYTES: usize = 32;
const BUILD: u32 = 1;
/// A build takes no more bytes than this.
const BUILD_BYTES_MAX: usize = 256;

/// A tail that is larger was not written in the moment before a machine lost its power.
const TAIL_BYTES_MAX: u64 = 1 << 30;
/// So much of a body is read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// How the payload of an output is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputForm {
    /// The encoded output.
    Plain = 2,
    /// Behind it stands what the task has printed.
    Captured = 3,
}

/// A body, but for the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecordFront {
    /// The build that has written what follows.
    Build(Vec<u8>),
    Output(OutputFront),
}

/// The front of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutputFront {
    pub(super) form: OutputForm,
    pub(super) occurrence: u32,
    /// A digest of the function alone.
    pub(super) function: u64,
    pub(super) digest: u128,
}

/// Why a file is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    Io(io::Error),
    /// It is no journal.
    Foreign,
    /// It is of another version of the format.
    Version(u32),
    /// It is not as it was written, from this byte on.
    Damaged(u64),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Bytes that are read at any place.
pub(super) trait ReadAt {
    /// Fills the buffer from a place on. There are so many bytes.
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;
}

/// The header of a new file.
pub(super) fn header(key: &DigestKey) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[MAGIC.len()..][..4].copy_from_slice(&VERSION.to_le_bytes());
    header[KEY_AT..HEADER_CHECK_AT].copy_from_slice(key);
    let check = check(key, &[&header[..HEADER_CHECK_AT]]);
    header[HEADER_CHECK_AT..].copy_from_slice(&check.to_le_bytes());
    header
}

/// Reads the header of a file that begins with these bytes; none if the file is new, or was when its header was being written.
pub(super) fn read_header(bytes: &[u8]) -> Result<Option<DigestKey>, Refusal> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        let is_begun = bytes.len() >= HEADER_BYTES_MIN && bytes.iter().zip(MAGIC).all(|(byte, magic)| byte == magic);
        return if bytes.is_empty() || is_begun { Ok(None) } else { Err(Refusal::Foreign) };
    };
    if !header.starts_with(MAGIC) {
        return Err(Refusal::Foreign);
    }
    let version = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
    if version != VERSION {
        return Err(Refusal::Version(version));
    }
    let key: DigestKey = header[KEY_AT..HEADER_CHECK_AT].try_into().expect("a key has its bytes");
    let expected = check(&key, &[&header[..HEADER_CHECK_AT]]).to_le_bytes();
    if header[HEADER_CHECK_AT..] == expected { Ok(Some(key)) } else { Err(Refusal::Damaged(0)) }
}

/// The record of a build.
pub(super) fn build_record(key: &DigestKey, build: &[u8]) -> Vec<u8> {
    let front = BUILD.to_le_bytes();
    let build = &build[..build.len().min(BUILD_BYTES_MAX)];
    let head = head(key, &front, &[build]).expect("a build is short");
    [&head[..], &front, build].concat()
}

/// What stands before the payload of an output in its record, if a record can be so long.
#[inline]
pub(super) fn output_start(
    key: &DigestKey,
    front: &OutputFront,
    payload: &[&[u8]],
) -> Option<[u8; HEAD_BYTES + FRONT_BYTES]> {
    let front = front.to_bytes();
    let mut start = [0; HEAD_BYTES + FRONT_BYTES];
    start[..HEAD_BYTES].copy_from_slice(&head(key, &front, payload)?);
    start[HEAD_BYTES..].copy_from_slice(&front);
    Some(start)
}

impl OutputFront {
    #[inline]
    fn to_bytes(self) -> [u8; FRONT_BYTES] {
        let mut bytes = [0; FRONT_BYTES];
        bytes[..4].copy_from_slice(&(self.form as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&self.occurrence.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.function.to_le_bytes());
        bytes[16..].copy_from_slice(&self.digest.to_le_bytes());
        bytes
    }

    fn of_bytes(form: OutputForm, bytes: &[u8; FRONT_BYTES]) -> Self {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        Self {
            form,
            occurrence: (word(0) >> 32) as u32,
            function: word(8),
            digest: u128::from(word(16)) | u128::from(word(24)) << 64,
        }
    }
}

#[inline]
fn head(key: &DigestKey, front: &[u8], payload: &[&[u8]]) -> Option<[u8; HEAD_BYTES]> {
    let length = front.len() + payload.iter().map(|piece| piece.len()).sum::<usize>();
    let length = u32::try_from(length).ok()?.to_le_bytes();
    let mut body = Digest::narrow(key);
    body.write(front);
    payload.iter().for_each(|piece| body.write(piece));
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&length);
    head[4..8].copy_from_slice(&(check(key, &[&length]) as u32).to_le_bytes());
    head[8..].copy_from_slice(&body.finish_narrow().to_le_bytes());
    Some(head)
}

#[inline]
fn check(key: &DigestKey, pieces: &[&[u8]]) -> u64 {
    let mut hash = Digest::narrow(key);
    pieces.iter().for_each(|piece| hash.write(piece));
    hash.finish_narrow()
}

/// What stands at a place where a record should begin.
enum LookedAt {
    /// A whole record, and how many bytes its body has.
    Record(RecordFront, u32),
    /// A record that goes on behind the end of the file.
    Cut,
    /// A record up to the end of the file, whose body is not what was written.
    Unwritten,
    /// None.
    Nothing,
}

/// Visits the records from a place on, with where the body of each begins and how many bytes that has; returns where the tail begins,
/// which is the end of the file if there is none.
pub(super) fn scan(
    file: &impl ReadAt,
    key: &DigestKey,
    from: u64,
    file_bytes: u64,
    mut visit: impl FnMut(RecordFront, u64, u32),
) -> Result<u64, Refusal> {
    let mut at = from;
    let mut buffer = Vec::new();
    while at < file_bytes {
        match look(file, key, at, file_bytes, &mut buffer)? {
            LookedAt::Record(front, body_bytes) => {
                visit(front, at + HEAD_BYTES as u64, body_bytes);
                at += HEAD_BYTES as u64 + u64::from(body_bytes);
            }
            LookedAt::Cut | LookedAt::Unwritten => return Ok(at),
            LookedAt::Nothing if file_bytes - at > TAIL_BYTES_MAX => return Err(Refusal::Damaged(at)),
            LookedAt::Nothing if has_record(file, key, at + 1, file_bytes)? => return Err(Refusal::Damaged(at)),
            LookedAt::Nothing => return Ok(at),
        }
    }
    Ok(at)
}

/// Rule 4: whether a whole record stands anywhere from a place on.
#[cold]
fn has_record(file: &impl ReadAt, key: &DigestKey, from: u64, file_bytes: u64) -> Result<bool, Refusal> {
    let (mut at, mut window, mut buffer) = (from, vec![0; PIECE_BYTES], Vec::new());
    while at + (HEAD_BYTES as u64) <= file_bytes {
        let count = usize::try_from(file_bytes - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        let window = &mut window[..count];
        file.read_exact_at(window, at)?;
        let starts = count - HEAD_BYTES + 1;
        for place in 0..starts {
            if length_of(key, &window[place..]).is_some()
                && let LookedAt::Record(..) = look(file, key, at + place as u64, file_bytes, &mut buffer)?
            {
                return Ok(true);
            }
        }
        at += starts as u64;
    }
    Ok(false)
}

/// The length that a head says, if that is what was written.
fn length_of(key: &DigestKey, head: &[u8]) -> Option<u32> {
    let (length, rest) = head.split_first_chunk::<4>()?;
    let known = u32::from_le_bytes(*rest.first_chunk()?);
    // Zeros, which a file may end with, are no head under any key: a body has at least its kind.
    (check(key, &[length]) as u32 == known && *length != [0; 4]).then(|| u32::from_le_bytes(*length))
}

fn look(
    file: &impl ReadAt,
    key: &DigestKey,
    at: u64,
    file_bytes: u64,
    buffer: &mut Vec<u8>,
) -> Result<LookedAt, Refusal> {
    let left = file_bytes - at;
    if left < HEAD_BYTES as u64 {
        return Ok(LookedAt::Cut);
    }
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, at)?;
    let Some(body_bytes) = length_of(key, &head) else {
        return Ok(LookedAt::Nothing);
    };
    let end = HEAD_BYTES as u64 + u64::from(body_bytes);
    if left < end {
        return Ok(LookedAt::Cut);
    }
    let mut hash = Digest::narrow(key);
    let mut front = Vec::new();
    let (mut place, behind) = (at + HEAD_BYTES as u64, at + end);
    while place < behind {
        let count = usize::try_from(behind - place).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        buffer.resize(count, 0);
        file.read_exact_at(buffer, place)?;
        hash.write(buffer);
        if front.is_empty() {
            front.extend_from_slice(&buffer[..count.min(BUILD_BYTES_MAX + 4)]);
        }
        place += count as u64;
    }
    if hash.finish_narrow().to_le_bytes() != head[8..] {
        return Ok(if left == end { LookedAt::Unwritten } else { LookedAt::Nothing });
    }
    // Under its check a body is what a poolmap has written.
    read_front(&front).map(|front| LookedAt::Record(front, body_bytes)).ok_or(Refusal::Damaged(at))
}

fn read_front(body: &[u8]) -> Option<RecordFront> {
    let (kind, rest) = body.split_first_chunk::<4>()?;
    let form = match u32::from_le_bytes(*kind) {
        BUILD => return Some(RecordFront::Build(rest.to_vec())),
        2 => OutputForm::Plain,
        3 => OutputForm::Captured,
        _ => return None,
    };
    Some(RecordFront::Output(OutputFront::of_bytes(form, body.first_chunk()?)))
}

#[cfg(test)]
mod tests;
