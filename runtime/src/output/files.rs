//! The files of one worker, and what the parent reads of them once it has ended.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::captured::{KEPT_BYTES_MAX, text};
use super::lines::{Open, piece, tag};
use crate::error::Printed;
use crate::sys;
use crate::task::Output;

/// So much of a dead worker's standard error is in the note of its death: the last.
const TAIL_BYTES_MAX: u64 = 2 * 1024;
/// Where files must not have so many bytes, what workers print is not kept: that of a task and what is kept of those before it find
/// no room.
const FILE_BYTES_MIN: u64 = 4 * KEPT_BYTES_MAX as u64;
/// The output of a dead worker is written for this long at most, once it cannot be written at once: nobody may be reading.
const PATIENCE: Duration = Duration::from_secs(1);

/// The files that a worker prints to, and the marks.
pub(crate) struct Files {
    pub(super) output: Output,
    pub(super) stdout: File,
    pub(super) stderr: File,
    marks: File,
}

/// Where the running task's output begins, how far it was written, and whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) begin: [u64; 2],
    pub(super) written: [u64; 2],
    /// The place of its function in the table, from 1; 0 before the first task.
    pub(super) function: u64,
    pub(super) index: u64,
}

const MARKS_BYTES: usize = 48;

impl Files {
    /// Those of a new worker; none where it prints to what the parent does.
    pub(crate) fn new(output: Output) -> io::Result<Option<Self>> {
        if output == Output::Inherited {
            return Ok(None);
        }
        sys::check_file_bytes(FILE_BYTES_MIN)?;
        let (stdout, stderr) = (sys::appended_file()?, sys::appended_file()?);
        Ok(Some(Self { output, stdout, stderr, marks: sys::unnamed_file()? }))
    }

    /// Those whose descriptors have come.
    pub(crate) fn from_descriptors(output: Output, [stdout, stderr, marks]: [std::os::fd::OwnedFd; 3]) -> Self {
        Self { output, stdout: sys::file(stdout), stderr: sys::file(stderr), marks: sys::file(marks) }
    }

    /// Returns the descriptors that the worker gets.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 3] {
        [self.stdout.as_fd(), self.stderr.as_fd(), self.marks.as_fd()]
    }

    pub(super) fn both(&self) -> [&File; 2] {
        [&self.stdout, &self.stderr]
    }

    pub(super) fn set_marks(&self, marks: &Marks) {
        let Marks { begin, written, function, index } = *marks;
        let words = [begin[0], begin[1], written[0], written[1], function, index];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        // A task may have closed every descriptor: then there is nothing to report.
        let _ = self.marks.write_all_at(&bytes, 0);
    }

    fn marks(&self) -> Marks {
        let mut bytes = [0; MARKS_BYTES];
        if self.marks.read_exact_at(&mut bytes, 0).is_err() {
            return Marks::default();
        }
        let mut words = [0; MARKS_BYTES / 8];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        }
        let [begin_out, begin_err, written_out, written_err, function, index] = words;
        Marks { begin: [begin_out, begin_err], written: [written_out, written_err], function, index }
    }

    /// Returns the output of the task that a worker was running when it ended. `name` gives the name of a function.
    pub(crate) fn last_words(&self, name: impl FnOnce(u32) -> Option<&'static str>) -> FinalOutput {
        let marks = self.marks();
        let end = size(&self.stderr);
        let tail = text(&read(&self.stderr, marks.begin[1].max(end.saturating_sub(TAIL_BYTES_MAX)), end));
        let mut words = FinalOutput { tail, printed: None, rest: None };
        if self.output == Output::Captured {
            let [stdout, stderr] = [0, 1].map(|stream| text(&kept(self.both()[stream], marks.begin[stream])));
            words.printed = Some(Box::new(Printed { stdout, stderr }));
        } else {
            let function = marks.function.checked_sub(1).and_then(|function| name(u32::try_from(function).ok()?));
            let tag = function.map_or_else(|| "[worker] ".to_owned(), |name| tag(name, marks.index));
            let texts = [0, 1].map(|stream| kept(self.both()[stream], marks.written[stream]));
            words.rest = Some(PendingOutput { tag, texts });
        }
        words
    }
}

/// The output of a worker's last task.
pub(crate) struct FinalOutput {
    /// The end of its standard error.
    pub(crate) tail: String,
    /// All of it, where it is captured.
    pub(crate) printed: Option<Box<Printed>>,
    /// The output that is still to be written, where it is tagged.
    pub(crate) rest: Option<PendingOutput>,
}

/// The output of a worker that is still to be written.
pub(crate) struct PendingOutput {
    tag: String,
    texts: [Vec<u8>; 2],
}

impl PendingOutput {
    /// Writes what can be written without waiting; returns what cannot.
    pub(crate) fn write_now(self) -> Option<Self> {
        self.write(Duration::ZERO)
    }

    /// Writes it, and leaves it if nobody reads.
    pub(crate) fn write_patiently(self) {
        self.write(PATIENCE);
    }

    fn write(mut self, patience: Duration) -> Option<Self> {
        if self.texts.iter().all(Vec::is_empty) {
            return None;
        }
        let (stdout, stderr) = sys::own_output().ok()?;
        for (file, text) in [&stdout, &stderr].into_iter().zip(&mut self.texts) {
            while let Some(piece) = piece(&self.tag, text, Open::Ends, sys::WHOLE_BYTES_MAX) {
                if sys::write_within(file, &piece.tagged, Some(patience)) == 0 {
                    break;
                }
                text.drain(..piece.taken);
            }
        }
        self.texts.iter().any(|text| !text.is_empty()).then_some(self)
    }
}

pub(super) fn size(file: &File) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

/// Returns the bytes from `start` up to `end`, as far as they are there.
pub(super) fn read(file: &File, start: u64, end: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], start + filled as u64) {
            Ok(count @ 1..) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    bytes.truncate(filled);
    bytes
}

/// Returns the text from a place on: the last of it, and before that how much was left out.
pub(super) fn kept(file: &File, start: u64) -> Vec<u8> {
    let end = size(file);
    let from = start.max(end.saturating_sub(KEPT_BYTES_MAX as u64));
    let mut bytes = read(file, from, end);
    if from > start {
        bytes.splice(0..0, format!("[{} bytes were left out]\n", from - start).into_bytes());
    }
    bytes
}
