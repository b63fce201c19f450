//! The journals of a process: each file is open once, for all maps that use it, and closed with the last.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::file::{self, FileBlock, FileBlocks, FileId};
use super::format::{HEADER_BYTES, OutputForm, OutputFront, ReadAt, Refusal, build_record, output_start, scan};
use super::memory::{FileMemory, OutputPlace, TaskKey};
use super::report::{FileKind, report};
use super::writer::{LARGE_BYTES, Writer, WrittenFile};
use crate::digest::{Digest, DigestKey};
use crate::error::{Error, Result};
use crate::locks::{Lock, Rank, Ranked};
use crate::sys::{self, ForkMark, PerProcess};

/// Names the journal of all maps that have none of their own.
pub(crate) const VARIABLE: &str = "POOLMAP_JOURNAL";

/// A journal that a map uses.
pub(crate) struct Journal {
    open: Arc<OpenJournal>,
    made_by: ForkMark,
}

/// A file that is open.
struct OpenJournal {
    path: PathBuf,
    file: FileId,
    key: DigestKey,
    memory: Arc<Lock<FileMemory>>,
    block: Lock<ReadBlock>,
    writer: Arc<Writer>,
}

#[derive(Default)]
struct ReadBlock(FileBlock);

impl Ranked for ReadBlock {
    const RANK: Rank = Rank::JournalFile;
}

/// What stays of the files that this process has used.
#[derive(Default)]
struct Journals {
    /// The open ones, and how many maps use each.
    open: HashMap<FileId, (Arc<OpenJournal>, usize)>,
    /// A file that was made anew has another key.
    known: HashMap<(FileId, DigestKey), KnownFile>,
}

struct KnownFile {
    memory: Arc<Lock<FileMemory>>,
    dirty_since: Option<Instant>,
    is_reported: bool,
}

impl Ranked for Journals {
    const RANK: Rank = Rank::Journals;
}

/// A fork has none of its parent's.
static JOURNALS: PerProcess<Lock<Journals>> = PerProcess::new();

impl Journal {
    /// Opens the journal at a path, or makes it.
    ///
    /// # Errors
    ///
    /// It cannot be opened; another process uses it; it is no journal, or is damaged.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let refused =
            |what: &dyn Display| Error::invalid_option(format!("could not use the journal {}: {what}", path.display()));
        let build =
            sys::build_id().map_err(|error| refused(&format_args!("the build of this program is unknown: {error}")))?;
        let mut journals = JOURNALS.get().lock();
        let known = file::id_at(path).map_err(|error| refused(&error))?;
        if let Some((open, users)) = known.and_then(|file| journals.open.get_mut(&file)) {
            *users += 1;
            return Ok(Self::of(Arc::clone(open)));
        }
        let (open, reports) = journals.open(path, build).map_err(|refusal| refused(&Explained(&refusal)))?;
        drop(journals);
        reports.iter().for_each(|text| report(FileKind::Outputs, path, text));
        Ok(Self::of(open))
    }

    fn of(open: Arc<OpenJournal>) -> Self {
        Self { open, made_by: ForkMark::here() }
    }

    /// Whether this process opened it, and not one that it was forked from.
    pub(crate) fn is_here(&self) -> bool {
        self.made_by.is_here()
    }

    /// The key of all digests in it.
    pub(crate) fn key(&self) -> DigestKey {
        self.open.key
    }

    /// The beginning of every digest.
    pub(crate) fn digest(&self) -> Digest {
        Digest::wide(&self.open.key)
    }

    /// Makes room for so many tasks.
    pub(crate) fn reserve(&self, tasks: usize) {
        self.open.memory.lock().reserve(tasks);
    }

    /// Begins the tasks with these digests, in their order: gives the key of each, and where its output stands, if it is there.
    pub(crate) fn begin(&self, digests: impl Iterator<Item = u128>, give: impl FnMut(TaskKey, Option<OutputPlace>)) {
        self.open.memory.lock().begin(digests, give);
    }

    /// Appends the payload that stands at a place.
    pub(crate) fn read(&self, place: OutputPlace, payload: &mut Vec<u8>) -> io::Result<()> {
        let start = payload.len();
        payload.resize(start + place.bytes as usize, 0);
        let mut block = self.open.block.lock();
        FileBlocks::new(self.open.writer.file(), &mut block.0).read_exact_at(&mut payload[start..], place.at)
    }

    /// Whether a function had outputs in the file, and was not reported before.
    pub(crate) fn reports(&self, function: u64) -> bool {
        self.open.memory.lock().reports(function)
    }

    /// Writes a line about this journal on standard error.
    pub(crate) fn report(&self, text: &str) {
        report(FileKind::Outputs, &self.open.path, text);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if !self.made_by.is_here() {
            return;
        }
        let mut journals = JOURNALS.get().lock();
        if let Some((_, users)) = journals.open.get_mut(&self.open.file) {
            *users -= 1;
            if *users == 0 {
                journals.close(&self.open);
            }
        }
    }
}

/// Records of the outputs of some tasks, to be written together.
#[derive(Default)]
pub(crate) struct NewRecords(Vec<u8>);

impl NewRecords {
    /// Adds the output of a task, in pieces. One that is large is written at once.
    #[inline]
    pub(crate) fn add(&mut self, journal: &Journal, task: TaskKey, function: u64, form: OutputForm, payload: &[&[u8]]) {
        let TaskKey { digest, occurrence } = task;
        let front = OutputFront { form, occurrence, function, digest };
        // A frame has a limit under 4 GiB, so a record has room for it.
        let Some(start) = output_start(&journal.open.key, &front, payload) else {
            return;
        };
        if payload.iter().map(|piece| piece.len()).sum::<usize>() < LARGE_BYTES {
            self.0.extend_from_slice(&start);
            payload.iter().for_each(|piece| self.0.extend_from_slice(piece));
        } else {
            let pieces: Vec<&[u8]> = [&[&start[..]], payload].concat();
            journal.open.writer.write_now(&pieces);
        }
    }

    /// Hands them over.
    pub(crate) fn send(&mut self, journal: &Journal) {
        if !self.0.is_empty() {
            journal.open.writer.add(&self.0);
            self.0.clear();
        }
    }
}

impl Journals {
    /// Opens the file at a path that is not open here; returns what is to be reported.
    fn open(&mut self, path: &Path, build: &[u8]) -> Result<(Arc<OpenJournal>, Vec<String>), Refusal> {
        let (opened, file_id) = file::open(path)?;
        let (key, file_bytes) = file::read_key(&opened)?;
        let known = self.known.entry((file_id, key)).or_insert_with(|| KnownFile {
            memory: Arc::default(),
            dirty_since: None,
            is_reported: false,
        });
        let mut reports = Vec::new();
        let written = {
            let mut memory = known.memory.lock();
            if memory.end() < HEADER_BYTES as u64 || memory.end() > file_bytes {
                memory.forget_records(HEADER_BYTES as u64);
            }
            let (from, others) = (memory.end(), memory.of_others());
            let mut block = FileBlock::default();
            let blocks = FileBlocks::new(&opened, &mut block);
            let end = scan(&blocks, &key, from, file_bytes, |front, at, bytes| memory.add(front, at, bytes, build))
                // It is read from its beginning next time.
                .inspect_err(|_| memory.forget_records(0))?;
            if end < file_bytes {
                opened.set_len(end)?;
                let bytes = file_bytes - end;
                reports.push(format!("it ended within a record, as its program was killed: {bytes} bytes are dropped"));
            }
            if memory.of_others() > others {
                let outputs = memory.of_others() - others;
                reports.push(format!(
                    "{outputs} outputs in it were computed by another build of the program, and are not used: their tasks run again"
                ));
            }
            let is_own = memory.is_own();
            memory.set_end(end, is_own);
            let (dirty_since, is_reported) = (known.dirty_since, known.is_reported);
            WrittenFile { end, is_own, dirty_since, is_reported }
        };
        let writer = Arc::new(Writer::new(path, opened, written, build_record(&key, build)));
        let (memory, block) = (Arc::clone(&known.memory), Lock::default());
        let open = Arc::new(OpenJournal { path: path.to_owned(), file: file_id, key, memory, block, writer });
        self.open.insert(file_id, (Arc::clone(&open), 1));
        Ok((open, reports))
    }

    /// Closes a file that no map uses any more.
    fn close(&mut self, open: &OpenJournal) {
        let WrittenFile { end, is_own, dirty_since, is_reported } = open.writer.close();
        open.memory.lock().set_end(end, is_own);
        if let Some(known) = self.known.get_mut(&(open.file, open.key)) {
            (known.dirty_since, known.is_reported) = (dirty_since, is_reported);
        }
        // Its descriptor is closed a moment later: another thread may open the file before.
        let _ = open.writer.file().unlock();
        self.open.remove(&open.file);
    }
}

/// A refusal, with what to do about it.
struct Explained<'a>(&'a Refusal);

impl Display for Explained<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Refusal::Io(error) => write!(f, "{error}"),
            Refusal::Foreign => f.write_str("the file is no journal. It was not changed: name another file"),
            Refusal::Version(version) => {
                write!(
                    f,
                    "it has version {version} of the format, which this version of poolmap does not read: name another file"
                )
            }
            Refusal::Damaged(0) => f.write_str("its header is damaged. It was not changed: name another file"),
            Refusal::Damaged(at) => write!(
                f,
                "it is damaged at byte {at}, and has whole records behind that. It was not changed: name another file, or keep what \
                 stands before (`truncate --size={at}`)",
            ),
        }
    }
}
