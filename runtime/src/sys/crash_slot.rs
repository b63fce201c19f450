//! Where a worker leaves word of its crash, and of the stack that it was at. It knows nothing of why.
//!
//! 1. Word is left once for each task: what comes first is the cause of what comes next. A handler takes the right to it, and then
//!    leaves the crash, the stack, or both. Another thread that crashes meanwhile must not end the process before that.
//! 2. It names the task that ran, and that is written last: so what names it is whole.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::crash_record::Crash;
#[cfg(poolmap_sandbox)]
use super::crash_record::{DENIED_PATH_WORDS, path_words};
use super::memory::Words;
use super::stack_record::{self, SCRATCH_BYTES, STACK_WORDS};

/// Where a worker leaves word of its crash.
#[cfg_attr(not(poolmap_sandbox), allow(dead_code, reason = "nothing is denied"))]
pub(crate) enum CrashSlot {
    /// In memory: the number of the running task stands at `running`, and goes to `crash`, `stack` and `path`, in front of the words.
    Memory { words: Arc<Words>, running: usize, crash: usize, stack: usize, path: usize },
    /// In frames of their own, while `running` is not 0: then no other frame is being sent.
    Socket {
        stream: UnixStream,
        running: Arc<AtomicU64>,
        crash: AroundWords,
        stack: Option<AroundWords>,
        path: AroundWords,
    },
}

/// The bytes of a frame before and behind its words.
pub(crate) struct AroundWords {
    pub(crate) head: Vec<u8>,
    pub(crate) tail: Vec<u8>,
}

/// More than a frame with a crash has.
const CRASH_BYTES_MAX: usize = 64;
/// One with a stack fits into the room that the record lends.
const _: () = assert!(8 * STACK_WORDS + 64 <= SCRATCH_BYTES);
/// The task of which there was word last.
static NOTED: AtomicU64 = AtomicU64::new(u64::MAX);
/// The task of which all word has been left.
static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);

/// The process survives its signal: what is left of that is no word of a later one.
pub(super) fn forget_word() {
    NOTED.store(u64::MAX, Ordering::Relaxed);
    LEFT.store(u64::MAX, Ordering::Relaxed);
}

impl CrashSlot {
    /// The number of the running task.
    fn running(&self) -> u64 {
        match self {
            Self::Memory { words, running, .. } => words.word(*running).load(Ordering::Relaxed),
            Self::Socket { running, .. } => running.load(Ordering::SeqCst),
        }
    }

    /// Takes the right to leave word of the running task, if nobody has it.
    pub(super) fn claim(&self) -> bool {
        let running = self.running();
        NOTED.swap(running, Ordering::Relaxed) != running
    }

    /// All word of the running task that there will be has been left.
    pub(super) fn close(&self) {
        LEFT.store(self.running(), Ordering::Release);
    }

    /// Whether all word of the running task has been left.
    pub(super) fn is_closed(&self) -> bool {
        LEFT.load(Ordering::Acquire) == self.running()
    }

    /// Leaves word of a signal.
    pub(super) fn leave(&self, crash: Crash) {
        match self {
            Self::Memory { words, crash: place, .. } => self.write(words, *place, crash.to_words().into_iter()),
            Self::Socket { stream, crash: around, .. } => {
                self.send(stream, around, crash.to_words().into_iter(), &mut [0; CRASH_BYTES_MAX]);
            }
        }
    }

    /// Leaves the stack that was recorded. The caller alone uses the record.
    pub(super) fn leave_stack(&self) {
        match self {
            Self::Memory { words, stack: place, .. } => self.write(words, *place, stack_record::words()),
            Self::Socket { stack: None, .. } => {}
            Self::Socket { stream, stack: Some(around), .. } => {
                stack_record::with_scratch(|frame| self.send(stream, around, stack_record::words(), frame));
            }
        }
    }

    /// Leaves the path of a denied system call.
    #[cfg(poolmap_sandbox)]
    pub(super) fn leave_path(&self, path: &[u8]) {
        match self {
            Self::Memory { words, path: place, .. } => self.write(words, *place, path_words(path)),
            Self::Socket { stream, path: around, .. } => {
                self.send(stream, around, path_words(path), &mut [0; 8 * DENIED_PATH_WORDS + CRASH_BYTES_MAX]);
            }
        }
    }

    fn write(&self, to: &Words, place: usize, values: impl Iterator<Item = u64>) {
        for (word, value) in values.enumerate() {
            to.word(place + 8 * (word + 1)).store(value, Ordering::Relaxed);
        }
        to.word(place).store(self.running(), Ordering::Release);
    }

    fn send(&self, stream: &UnixStream, around: &AroundWords, words: impl Iterator<Item = u64>, frame: &mut [u8]) {
        if self.running() == 0 {
            return;
        }
        let bytes =
            around.head.iter().copied().chain(words.flat_map(u64::to_le_bytes)).chain(around.tail.iter().copied());
        let count = frame.iter_mut().zip(bytes).map(|(to, from)| *to = from).count();
        // So few bytes go as a whole, or not at all where the socket is full: then there is no word.
        let _ = super::send(stream, &frame[..count], super::Wait::No);
    }
}
