//! Memory with a number: what a process sends, and what it got. And other descriptors with one, which travel the same way.

use std::any::Any;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::copied;
use super::waiting::wait_until;
use crate::sys::{self, Pages};

/// Memory with a number that no other of this process has, which a worker gets once.
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) memory: Arc<OwnedFd>,
    /// 0 for a descriptor that is not mapped to be read, but kept open for whoever asks for it by its number.
    pub(crate) bytes: usize,
    /// What must not end while a task that has not run yet names this.
    _kept: Option<Arc<Kept>>,
}

/// What a segment keeps.
pub(crate) type Kept = dyn Any + Send + Sync + UnwindSafe + RefUnwindSafe;

impl Segment {
    /// Gives memory a number. 0 is none: it stands for a pool's arena.
    pub(crate) fn new(memory: OwnedFd, bytes: usize) -> Arc<Self> {
        Self::numbered(Arc::new(memory), bytes, None)
    }

    /// Gives a descriptor a number, and keeps something as long as anyone holds this.
    pub(crate) fn open(descriptor: Arc<OwnedFd>, kept: Option<Arc<Kept>>) -> Arc<Self> {
        Self::numbered(descriptor, 0, kept)
    }

    fn numbered(memory: Arc<OwnedFd>, bytes: usize, kept: Option<Arc<Kept>>) -> Arc<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self { id: LAST.fetch_add(1, Ordering::Relaxed) + 1, memory, bytes, _kept: kept })
    }
}

/// Memory that is filled, and mapped in this process.
pub(crate) struct Memory {
    pages: Pages,
    /// What the workers of this process get of it; none where they cannot share it.
    segment: Option<Arc<Segment>>,
    populated: Once,
}

/// Larger memory is not mapped as a whole: its pages would take a part of a second.
const POPULATE_BYTES_MAX: usize = 1 << 30;
/// For less, the pages are made as they are touched.
const POPULATE_BYTES_MIN: usize = 1 << 20;

impl Memory {
    /// New memory that `fill` writes, for workers to share where the system has such memory.
    pub(crate) fn fill<R>(bytes: usize, fill: impl FnOnce(&mut Pages) -> R) -> io::Result<(Self, R)> {
        let (mut pages, descriptor) = match shared(bytes) {
            Ok((pages, memory)) => (pages, Some(memory)),
            Err(_) => (Pages::private(bytes)?, None),
        };
        if bytes >= POPULATE_BYTES_MIN && descriptor.is_some() {
            pages.populate();
        }
        let filled = fill(&mut pages);
        let segment = descriptor.map(|memory| Segment::new(memory, bytes));
        Ok((Self { pages, segment, populated: Once::new() }, filled))
    }

    /// Memory that was written, and is not written any more: itself, once nobody can write to it, or a copy where somebody still
    /// could.
    ///
    /// # Errors
    ///
    /// There is no memory for the copy.
    pub(crate) fn written(pages: Pages, segment: &Segment) -> io::Result<Self> {
        let bytes = pages.len();
        // A mapping that can be written keeps the memory from being sealed.
        drop(pages);
        let sealed = wait_until_sealed(&segment.memory);
        if sealed && let Ok(pages) = Pages::filled(&segment.memory, bytes) {
            // Under a new number: under the old one workers have been lent the memory to be written.
            let segment = Segment::numbered(Arc::clone(&segment.memory), bytes, None);
            return Ok(Self { pages, segment: Some(segment), populated: Once::new() });
        }
        let file = File::from(segment.memory.try_clone()?);
        copied::copy_of(&file, bytes)
    }

    /// A file that is mapped, and does not change.
    pub(super) fn of_file(pages: Pages, file: File) -> Self {
        let segment = Segment::new(file.into(), pages.len());
        Self { pages, segment: Some(segment), populated: Once::new() }
    }

    /// Memory that another process has filled.
    pub(crate) fn filled(memory: OwnedFd, bytes: usize) -> io::Result<Self> {
        let pages = Pages::filled(&memory, bytes)?;
        Ok(Self { pages, segment: Some(Segment::new(memory, bytes)), populated: Once::new() })
    }

    pub(crate) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// What the workers of this process get of it; none where they cannot share it.
    pub(crate) fn segment(&self) -> Option<&Arc<Segment>> {
        self.segment.as_ref()
    }

    /// Maps its pages, once: memory that this process got is about to be read, and again by later tasks.
    pub(crate) fn populate(&self) {
        if (POPULATE_BYTES_MIN..=POPULATE_BYTES_MAX).contains(&self.pages.len()) {
            self.populated.call_once(|| self.pages.populate());
        }
    }
}

/// Seals memory against all writers; tells whether that was possible in a moment.
fn wait_until_sealed(memory: &OwnedFd) -> bool {
    let mut is_sealed = false;
    wait_until(SEAL_WAIT_MAX, || {
        let sealed = sys::seal_against_all_writers(memory);
        is_sealed = sealed.is_ok();
        sealed.err().is_none_or(|error| error.kind() != io::ErrorKind::ResourceBusy)
    });
    is_sealed
}

/// A worker unmaps its parts right behind its last result, but on a busy machine it may be kept from that.
const SEAL_WAIT_MAX: Duration = Duration::from_millis(20);

/// New memory that processes share, and nobody but this mapping can write.
fn shared(bytes: usize) -> io::Result<(Pages, OwnedFd)> {
    let memory = sys::shared_memory(bytes)?;
    let pages = Pages::shared(memory.as_fd(), bytes)?;
    sys::seal_against_writers(&memory)?;
    Ok((pages, memory))
}
