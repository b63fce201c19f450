//! Writes records behind one another, on a thread of its own: the maps go on meanwhile. It knows what a record is, and not what is in
//! it.
//!
//! 1. A map leaves records in the queue, and the thread writes them at once, then waits for [`PAUSE`]: so short tasks cost a system call
//!    now and then, and the output of a long one is in the file when its successor begins.
//! 2. The thread asks for a journal to be on the disk [`SYNC_INTERVAL`] after it was written, while maps go on writing to it.
//! 3. Records of more than [`LARGE_BYTES`] are written by the map's thread, so they are in memory once. Their order does not matter.
//! 4. A file that cannot grow (the disk is full, RLIMIT_FSIZE) is no reason to end a map: its outputs are all right. One line on standard
//!    error says so, records are dropped, and after [`RETRY_INTERVAL`] it is tried again.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::file::Growing;
use super::report::{FileKind, report};
use crate::locks::{Condition, Lock, Rank, Ranked};

const PAUSE: Duration = Duration::from_millis(5);
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
pub(super) const LARGE_BYTES: usize = 1 << 20;
/// A map waits while so much is in the queue: the disk is slower than the tasks.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// A buffer of more than this is given back when it was written.
const SPARE_BYTES_MAX: usize = 1 << 20;

/// Writes the records of one file.
pub(crate) struct Writer {
    kept: FileKind,
    path: PathBuf,
    file: File,
    output: Lock<Output>,
    queue: Lock<Queue>,
    /// Woken when there is something in the queue, or it is to end.
    has_work: Condition,
    /// Woken when the queue was taken.
    has_room: Condition,
    /// The record that says whose the records are.
    build_record: Vec<u8>,
}

/// The file, as it grows.
pub(super) struct Output {
    growing: Growing,
    /// Its last build is this one.
    is_own: bool,
    /// Since when it has what may not be on the disk.
    dirty_since: Option<Instant>,
    /// When it could not be written, or brought to the disk.
    failed_at: Option<Instant>,
    is_reported: bool,
}

impl Ranked for Output {
    const RANK: Rank = Rank::JournalFile;
}

/// What waits to be written.
#[derive(Default)]
struct Queue {
    records: Vec<u8>,
    /// The thread waits for records. It is woken by whoever adds some, and not while it pauses.
    is_idle: bool,
    /// A map's thread has written to the file.
    is_dirty: bool,
    is_closing: bool,
    thread: Option<JoinHandle<()>>,
    /// No thread can be had: maps write by themselves.
    has_no_thread: bool,
}

impl Ranked for Queue {
    const RANK: Rank = Rank::JournalQueue;
}

/// What is known of a file when it is closed, and holds when it is opened next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenFile {
    pub(super) end: u64,
    pub(super) is_own: bool,
    pub(super) dirty_since: Option<Instant>,
    pub(super) is_reported: bool,
}

impl Writer {
    /// Writes lines into an empty file, from its beginning.
    pub(crate) fn of_log(path: &Path, file: File) -> Self {
        let written = WrittenFile { end: 0, is_own: true, dirty_since: None, is_reported: false };
        Self { kept: FileKind::Log, ..Self::new(path, file, written, Vec::new()) }
    }

    pub(super) fn new(path: &Path, file: File, written: WrittenFile, build_record: Vec<u8>) -> Self {
        let WrittenFile { end, is_own, dirty_since, is_reported } = written;
        let output = Output { growing: Growing { end }, is_own, dirty_since, failed_at: None, is_reported };
        Self {
            kept: FileKind::Outputs,
            path: path.to_owned(),
            file,
            output: Lock::new(output),
            queue: Lock::default(),
            has_work: Condition::new(),
            has_room: Condition::new(),
            build_record,
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Adds whole records to the queue.
    pub(crate) fn add(self: &Arc<Self>, records: &[u8]) {
        let mut queue = self.queue.lock();
        if queue.thread.is_none() && !queue.has_no_thread {
            let writer = Arc::clone(self);
            let thread = std::thread::Builder::new().name(self.kept.thread().to_owned());
            match thread.spawn(move || writer.run()) {
                Ok(thread) => queue.thread = Some(thread),
                Err(_) => queue.has_no_thread = true,
            }
        }
        if queue.has_no_thread {
            drop(queue);
            return self.write(&[records]);
        }
        while !queue.records.is_empty() && queue.records.len() + records.len() > QUEUE_BYTES_MAX {
            queue = self.has_room.wait(queue);
        }
        queue.records.extend_from_slice(records);
        self.wake(&mut queue);
    }

    /// Writes a large record at once.
    pub(super) fn write_now(&self, pieces: &[&[u8]]) {
        self.write(pieces);
        let mut queue = self.queue.lock();
        queue.is_dirty = true;
        self.wake(&mut queue);
    }

    /// Ends the thread, and writes all that is left.
    pub(crate) fn close(&self) -> WrittenFile {
        let thread = {
            let mut queue = self.queue.lock();
            queue.is_closing = true;
            self.has_work.notify_all();
            queue.thread.take()
        };
        if let Some(thread) = thread {
            // It does not panic; if it did, what is left is written below.
            let _ = thread.join();
        }
        let left = std::mem::take(&mut self.queue.lock().records);
        if !left.is_empty() {
            self.write(&[&left]);
        }
        if self.output.lock().dirty_since.is_some_and(|since| since.elapsed() >= SYNC_INTERVAL) {
            self.sync();
        }
        if self.kept == FileKind::Log {
            // A process that is being started has the file too, up to its exec: the next call must not wait for that.
            let _ = self.file.unlock();
        }
        let Output { growing, is_own, dirty_since, is_reported, .. } = *self.output.lock();
        WrittenFile { end: growing.end, is_own, dirty_since, is_reported }
    }

    fn wake(&self, queue: &mut Queue) {
        if std::mem::take(&mut queue.is_idle) {
            self.has_work.notify_all();
        }
    }

    /// Writes what comes, until it is to end.
    fn run(&self) {
        let mut sync_at = None;
        let mut records = Vec::new();
        loop {
            let is_closing = self.take_work(&mut records, sync_at);
            if !records.is_empty() {
                self.write(&[&records]);
                records.clear();
                records.shrink_to(SPARE_BYTES_MAX);
            }
            if is_closing {
                return;
            }
            sync_at = self.sync_if_due();
            let queue = self.queue.lock();
            if !queue.is_closing {
                drop(self.has_work.wait_timeout(queue, PAUSE));
            }
        }
    }

    /// Waits until there are records, the file is to be brought to the disk, or the end; takes the records, and returns whether it is
    /// the end.
    fn take_work(&self, records: &mut Vec<u8>, sync_at: Option<Instant>) -> bool {
        let mut queue = self.queue.lock();
        while queue.records.is_empty() && !queue.is_dirty && !queue.is_closing {
            queue.is_idle = true;
            queue = match sync_at.map(|at| at.saturating_duration_since(Instant::now())) {
                None => self.has_work.wait(queue),
                Some(Duration::ZERO) => break,
                Some(left) => self.has_work.wait_timeout(queue, left),
            };
        }
        queue.is_idle = false;
        queue.is_dirty = false;
        std::mem::swap(records, &mut queue.records);
        self.has_room.notify_all();
        queue.is_closing
    }

    /// Brings the file to the disk if that is due; returns when it will be next.
    fn sync_if_due(&self) -> Option<Instant> {
        let at = self.output.lock().dirty_since? + SYNC_INTERVAL;
        if Instant::now() < at {
            return Some(at);
        }
        self.sync();
        None
    }

    /// The file is not locked meanwhile: maps may write to it.
    fn sync(&self) {
        self.output.lock().dirty_since = None;
        if let Err(error) = self.file.sync_data() {
            self.failed(&error, "could not be brought to the disk");
        }
    }

    fn write(&self, pieces: &[&[u8]]) {
        let mut output = self.output.lock();
        if output.failed_at.is_some_and(|at| at.elapsed() < RETRY_INTERVAL) {
            return;
        }
        let build: &[u8] = if output.is_own { &[] } else { &self.build_record };
        let all: Vec<&[u8]> = [&[build], pieces].concat();
        match output.growing.append(&self.file, &all) {
            Ok(()) => {
                (output.is_own, output.failed_at) = (true, None);
                if self.kept == FileKind::Outputs {
                    output.dirty_since.get_or_insert_with(Instant::now);
                }
            }
            Err(error) => {
                output.failed_at = Some(Instant::now());
                drop(output);
                self.failed(&error, "could not be written");
            }
        }
    }

    #[cold]
    fn failed(&self, error: &io::Error, what: &str) {
        if !std::mem::replace(&mut self.output.lock().is_reported, true) {
            let lost = self.kept.lost();
            report(self.kept, &self.path, &format!("{what}: {error}. The map goes on. {lost}"));
        }
    }
}
