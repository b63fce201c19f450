//! The file of a journal: opened, locked, read and grown. It knows nothing of tasks.

use std::cell::RefCell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::format::{HEADER_BYTES, ReadAt, Refusal, header, read_header};
use crate::digest::DigestKey;
use crate::locks::{Rank, Ranked};
use crate::sys;

/// A file, by its device and its number there.
pub(super) type FileId = (u64, u64);

/// So much is read at once: records are small, and are read one behind the other.
const BLOCK_BYTES: usize = 256 * 1024;

/// Which file stands at a path, if there is one.
///
/// # Errors
///
/// It is no regular file; it cannot be looked at.
pub(super) fn id_at(path: &Path) -> io::Result<Option<FileId>> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(Some((found.dev(), found.ino()))),
        Ok(_) => Err(io::Error::other("it is no regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a file, and locks it against other processes; makes it where there is none.
pub(super) fn open(path: &Path) -> io::Result<(File, FileId)> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    match file.try_lock() {
        Ok(()) => Ok((file, (found.dev(), found.ino()))),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            "another program uses it now: wait for its end, or give each program a journal of its own",
        )),
        Err(TryLockError::Error(error)) => Err(io::Error::new(
            error.kind(),
            format!("it could not be locked ({error}): put the journal on a file system that has locks"),
        )),
    }
}

/// Opens a file that is written anew from its beginning, and makes it where there is none.
///
/// # Errors
///
/// It cannot be opened; it is no regular file; another call or another program writes it.
pub(crate) fn open_anew(path: &Path) -> io::Result<File> {
    // A pipe would be waited for.
    id_at(path)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            "another call or program writes it now: give each call a file of its own",
        )),
        // There are file systems without locks. Whoever writes last wins there.
        Ok(()) | Err(TryLockError::Error(_)) => file.set_len(0).map(|()| file),
    }
}

/// Reads the key of an open file, and how many bytes the file has; writes a header where there is none yet.
pub(super) fn read_key(file: &File) -> Result<(DigestKey, u64), Refusal> {
    let bytes = file.metadata()?.len();
    let mut start = vec![0; HEADER_BYTES.min(usize::try_from(bytes).unwrap_or(HEADER_BYTES))];
    FileExt::read_exact_at(file, &mut start, 0)?;
    if let Some(key) = read_header(&start)? {
        return Ok((key, bytes));
    }
    let mut key = DigestKey::default();
    sys::random(&mut key)?;
    let mut growing = Growing { end: 0 };
    file.set_len(0)?;
    growing.append(file, &[&header(&key)])?;
    Ok((key, growing.end))
}

/// A file that grows at its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growing {
    /// Where it ends.
    pub(super) end: u64,
}

impl Ranked for Growing {
    const RANK: Rank = Rank::JournalFile;
}

impl Growing {
    /// Writes pieces behind one another at the end, all of them or none.
    pub(super) fn append(&mut self, file: &File, pieces: &[&[u8]]) -> io::Result<()> {
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        sys::check_file_bytes(self.end + bytes)?;
        let mut at = self.end;
        for piece in pieces {
            if let Err(error) = file.write_all_at(piece, at) {
                // What could be written is no record. Where it stays, the next one is written over it.
                let _ = file.set_len(self.end);
                return Err(error);
            }
            at += piece.len() as u64;
        }
        self.end = at;
        Ok(())
    }
}

/// A file whose last block that was read stays here.
pub(super) struct FileBlocks<'a> {
    file: &'a File,
    block: RefCell<&'a mut FileBlock>,
}

/// Bytes of a file, from a place on.
#[derive(Debug, Default)]
pub(super) struct FileBlock {
    at: u64,
    bytes: Vec<u8>,
}

impl FileBlock {
    /// Whether it has so many bytes from a place on.
    fn range(&self, at: u64, bytes: usize) -> Option<&[u8]> {
        let start = usize::try_from(at.checked_sub(self.at)?).ok()?;
        self.bytes.get(start..start.checked_add(bytes)?)
    }
}

impl<'a> FileBlocks<'a> {
    pub(super) fn new(file: &'a File, block: &'a mut FileBlock) -> Self {
        Self { file, block: RefCell::new(block) }
    }
}

impl ReadAt for FileBlocks<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let mut block = self.block.borrow_mut();
        if buffer.len() >= BLOCK_BYTES {
            return FileExt::read_exact_at(self.file, buffer, at);
        }
        if block.range(at, buffer.len()).is_none() {
            block.at = at;
            block.bytes.resize(BLOCK_BYTES, 0);
            let count = read_at_most(self.file, &mut block.bytes, at);
            block.bytes.truncate(*count.as_ref().unwrap_or(&0));
            count?;
        }
        let found = block.range(at, buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// Fills a buffer from a place of a file on, as far as the file goes.
fn read_at_most(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_give_what_the_file_has_at_any_place() {
        let file = sys::unnamed_file().unwrap();
        let all: Vec<u8> = (0..BLOCK_BYTES + 1000).map(|at| (at % 251) as u8).collect();
        let mut growing = Growing { end: 0 };
        growing.append(&file, &[&all[..10], &all[10..]]).unwrap();
        assert_eq!(growing.end, all.len() as u64);
        let mut block = FileBlock::default();
        let blocks = FileBlocks::new(&file, &mut block);
        for (at, count) in [(0, 7), (3, 9), (BLOCK_BYTES - 2, 500), (BLOCK_BYTES + 990, 10), (1, BLOCK_BYTES), (5, 0)] {
            let mut buffer = vec![0; count];
            blocks.read_exact_at(&mut buffer, at as u64).unwrap();
            assert_eq!(buffer, all[at..at + count], "{count} bytes at {at}");
        }
        let behind = blocks.read_exact_at(&mut [0; 11], BLOCK_BYTES as u64 + 990).unwrap_err();
        assert_eq!(behind.kind(), io::ErrorKind::UnexpectedEof);
    }
}
