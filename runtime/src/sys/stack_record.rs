//! The words of a stack: the addresses of the calls, the innermost first, and the files that they are in. A handler writes them, of a
//! process that is about to end; its parent reads what it finds, and believes nothing of it.
//!
//! 1. The record is of the process, as a thread's stack for handlers may be small. Only the thread that has the walk
//!    (`stack_walk`) touches it.
//! 2. A count is written behind what it counts: a walk that meets with a fault leaves what it had come to.

use std::cell::UnsafeCell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// So many calls of a stack are recorded: the innermost.
pub(crate) const FRAMES_MAX: usize = 128;
/// And so many files, each with a path of so many bytes.
const FILES_MAX: usize = 12;
const PATH_BYTES_MAX: usize = 8 * PATH_WORDS;
const PATH_WORDS: usize = FILE_WORDS - 4;
const FILE_WORDS: usize = 64;

/// The counts, the addresses, the number of the file of each, and the files.
const FRAME_COUNT: usize = 0;
const FILE_COUNT: usize = 1;
const ADDRESSES: usize = 2;
const FILE_OF_FRAMES: usize = ADDRESSES + FRAMES_MAX;
const FILES: usize = FILE_OF_FRAMES + FRAMES_MAX / FRAMES_IN_WORD;
/// The working folder, as a file without code.
const FOLDER: usize = FILES + FILES_MAX * FILE_WORDS;
/// How many words a stack takes.
pub(crate) const STACK_WORDS: usize = FOLDER + FILE_WORDS;
/// The number of a frame's file takes a byte: 0 where it is in no file, and else the file's place, from 1.
const FRAMES_IN_WORD: usize = 8;

/// A page with headers is compared by its first bytes.
pub(crate) const HEADER_BYTES_MAX: usize = 1024;

/// The stack of a thread of another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NativeStack {
    /// The innermost call first. The address of each is inside of the calling instruction.
    pub(crate) frames: Vec<NativeFrame>,
    pub(crate) files: Vec<LoadedFile>,
    /// Whether there were more calls than are recorded.
    pub(crate) is_cut: bool,
    /// The process's working folder.
    pub(crate) folder: Option<PathBuf>,
}

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NativeFrame {
    pub(crate) address: u64,
    /// The place among the files; none where it is in no file.
    pub(crate) file: Option<usize>,
}

/// A file with code that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadedFile {
    /// By how much its addresses in memory are higher than those in the file.
    pub(crate) bias: u64,
    /// How many of its first bytes were hashed, and their hash; 0 where they could not be read.
    pub(crate) header_bytes: usize,
    pub(crate) header_hash: u64,
    pub(crate) path: PathBuf,
}

impl NativeStack {
    /// The stack that a worker has written; none if it is none, or there are no files in it.
    pub(crate) fn from_words(word: impl Fn(usize) -> u64) -> Option<Self> {
        let count = |at: usize, most: usize| usize::try_from(word(at)).ok().filter(|&count| count <= most);
        // One more than there is room for says that there were more.
        let (frames, files) = (count(FRAME_COUNT, FRAMES_MAX + 1)?, count(FILE_COUNT, FILES_MAX)?);
        let is_cut = frames > FRAMES_MAX;
        let files: Option<Vec<_>> =
            (0..files).map(|file| LoadedFile::from_words(&word, FILES + file * FILE_WORDS)).collect();
        let files = files.filter(|files| !files.is_empty())?;
        let frames = (0..frames.min(FRAMES_MAX)).map(|frame| {
            let file = word(FILE_OF_FRAMES + frame / FRAMES_IN_WORD).to_le_bytes()[frame % FRAMES_IN_WORD];
            let file = usize::from(file).checked_sub(1).filter(|&file| file < files.len());
            NativeFrame { address: word(ADDRESSES + frame), file }
        });
        let folder = LoadedFile::from_words(&word, FOLDER).map(|file| file.path).filter(|path| path.is_absolute());
        Some(Self { frames: frames.collect(), files, is_cut, folder })
    }
}

impl LoadedFile {
    fn from_words(word: impl Fn(usize) -> u64, at: usize) -> Option<Self> {
        let length = usize::try_from(word(at + 3)).ok().filter(|&length| length <= PATH_BYTES_MAX)?;
        let mut path: Vec<u8> = (at + 4..at + FILE_WORDS).flat_map(|at| word(at).to_le_bytes()).collect();
        path.truncate(length);
        let header_bytes = usize::try_from(word(at + 1)).ok().filter(|&bytes| bytes <= HEADER_BYTES_MAX)?;
        Some(Self { bias: word(at), header_bytes, header_hash: word(at + 2), path: OsString::from_vec(path).into() })
    }
}

/// The hash of a file's first bytes (FNV-1a): it tells builds apart, and keeps nobody out.
pub(crate) fn header_hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

static RECORD: [AtomicU64; STACK_WORDS] = [const { AtomicU64::new(0) }; STACK_WORDS];

fn set(at: usize, value: u64) {
    RECORD[at].store(value, Ordering::Relaxed);
}

fn get(at: usize) -> usize {
    RECORD[at].load(Ordering::Relaxed) as usize
}

/// Begins anew.
pub(super) fn clear() {
    RECORD.iter().for_each(|word| word.store(0, Ordering::Relaxed));
}

/// Adds a call; false if there is no room for it.
pub(super) fn push_frame(address: u64) -> bool {
    let count = get(FRAME_COUNT);
    if count < FRAMES_MAX {
        set(ADDRESSES + count, address);
    }
    set(FRAME_COUNT, count.min(FRAMES_MAX) as u64 + 1);
    count < FRAMES_MAX
}

/// Takes calls away, but for so many.
pub(super) fn keep_frames(count: usize) {
    set(FRAME_COUNT, frames().min(count) as u64);
}

/// How many calls are recorded.
pub(super) fn frames() -> usize {
    get(FRAME_COUNT).min(FRAMES_MAX)
}

/// The calls that are in memory between these addresses.
pub(super) fn frames_in(start: u64, end: u64) -> impl Iterator<Item = usize> {
    (0..frames()).filter(move |frame| (start..end).contains(&RECORD[ADDRESSES + frame].load(Ordering::Relaxed)))
}

/// Adds a file, and returns its number; none if there is no room for it. A path that is too long is cut.
pub(super) fn push_file(bias: u64, header_bytes: usize, header_hash: u64, path: &[u8]) -> Option<u8> {
    let count = get(FILE_COUNT);
    if count >= FILES_MAX {
        return None;
    }
    set_path(FILES + count * FILE_WORDS, [bias, header_bytes as u64, header_hash], path);
    set(FILE_COUNT, count as u64 + 1);
    u8::try_from(count + 1).ok()
}

fn set_path(at: usize, before: [u64; 3], path: &[u8]) {
    let path = &path[..path.len().min(PATH_BYTES_MAX)];
    for (word, value) in before.into_iter().chain([path.len() as u64]).enumerate() {
        set(at + word, value);
    }
    for (place, part) in path.chunks(8).enumerate() {
        let mut word = [0; 8];
        word.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        set(at + 4 + place, u64::from_le_bytes(word));
    }
}

/// Notes the working folder; one whose path is too long is left out.
pub(super) fn set_folder(path: &[u8]) {
    if path.len() <= PATH_BYTES_MAX {
        set_path(FOLDER, [0; 3], path);
    }
}

/// Notes which file a call is in.
pub(super) fn set_file(frame: usize, file: u8) {
    let at = FILE_OF_FRAMES + frame / FRAMES_IN_WORD;
    let mut word = RECORD[at].load(Ordering::Relaxed).to_le_bytes();
    word[frame % FRAMES_IN_WORD] = file;
    set(at, u64::from_le_bytes(word));
}

/// The record, word by word.
pub(super) fn words() -> impl Iterator<Item = u64> {
    RECORD.iter().map(|word| word.load(Ordering::Relaxed))
}

/// Room for what is read or sent of the record.
pub(super) const SCRATCH_BYTES: usize = 8 * 1024;

struct Scratch {
    bytes: UnsafeCell<[u8; SCRATCH_BYTES]>,
    is_lent: AtomicBool,
}

// SAFETY: `is_lent` lets one thread at a time use the bytes.
unsafe impl Sync for Scratch {}

static SCRATCH: Scratch = Scratch { bytes: UnsafeCell::new([0; SCRATCH_BYTES]), is_lent: AtomicBool::new(false) };

/// Lends room to one at a time; none if it is lent.
pub(super) fn with_scratch<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> Option<T> {
    if SCRATCH.is_lent.swap(true, Ordering::Acquire) {
        return None;
    }
    // SAFETY: nobody else has the bytes until they are given back below. A fault in between leaves them lent.
    let used = use_it(unsafe { &mut *SCRATCH.bytes.get() });
    SCRATCH.is_lent.store(false, Ordering::Release);
    Some(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_comes_back_from_its_words() {
        clear();
        assert!((0..FRAMES_MAX as u64).all(|frame| push_frame(0x1000 + frame)) && !push_frame(0));
        let file = push_file(0x1000, 18, 5, b"/lib/a.so").unwrap();
        let long = [b'x'; PATH_BYTES_MAX + 5];
        assert!((1..FILES_MAX).all(|_| push_file(1, 2, 3, &long).is_some()));
        assert_eq!(push_file(1, 2, 3, b""), None);
        frames_in(0x1009, 0x100b).for_each(|frame| set_file(frame, file));
        set_folder(b"/home");
        let words: Vec<u64> = words().collect();
        let stack = NativeStack::from_words(|word| words[word]).unwrap();
        assert!(stack.is_cut && stack.frames.len() == FRAMES_MAX && stack.files.len() == FILES_MAX);
        let file = LoadedFile { bias: 0x1000, header_bytes: 18, header_hash: 5, path: "/lib/a.so".into() };
        assert_eq!((&stack.files[0], stack.files[1].path.as_os_str().len()), (&file, PATH_BYTES_MAX));
        assert_eq!(stack.folder, Some("/home".into()));
        for (frame, found) in stack.frames.iter().enumerate() {
            let file = [9, 10].contains(&frame).then_some(0);
            assert_eq!(*found, NativeFrame { address: 0x1000 + frame as u64, file });
        }
    }

    #[test]
    fn words_that_are_no_stack_are_none_or_bounded() {
        for value in [0, 1, 12, 13, 128, 129, 130, 256, 1024, u64::MAX] {
            for odd in [0, 1, 2, FILE_OF_FRAMES, FILES + 1, FILES + 3, STACK_WORDS - 1] {
                let word = |at: usize| if at == odd { value } else { 3 };
                let Some(stack) = NativeStack::from_words(word) else { continue };
                assert!(stack.frames.len() <= FRAMES_MAX && (1..=FILES_MAX).contains(&stack.files.len()));
                assert!(stack.frames.iter().all(|frame| frame.file.is_none_or(|file| file < stack.files.len())));
                assert!(stack.files.iter().all(|file| file.header_bytes <= HEADER_BYTES_MAX));
            }
        }
    }
}
