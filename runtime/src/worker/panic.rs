//! The record of a task's panic: its message, place and backtrace, sent at the moment of the panic, because under
//! `panic = "abort"` there is no later one. In a pool in process nobody else is there to be sent it.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::foreign;
use crate::sys;
use crate::transport::{FrameSender, PanicSlot};
use crate::wire::{self, PanicNote};

thread_local! {
    /// Whether this thread is running a task.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
    /// Whether [`LAST`] holds one: looked at before each task, which must not take long.
    static HAS_LAST: Cell<bool> = const { Cell::new(false) };
    /// The last panic of the running task. The thread destroys it at its end, unlike the two above.
    static LAST: RefCell<Option<PanicNote>> = const { RefCell::new(None) };
}

/// How a panic is reported to the parent.
pub(super) enum PanicReporter {
    /// The thread that runs the task is the one that reads it.
    Itself,
    Memory(PanicSlot),
    /// By frames, of so many bytes at most.
    Socket(Arc<FrameSender>, usize),
}

impl PanicReporter {
    fn tell(&self, note: &PanicNote) {
        match self {
            Self::Itself => {}
            // A fork has not got the memory.
            Self::Memory(_) if sys::is_fork() => {}
            Self::Memory(pad) => pad.write(note),
            // The task thread holds no lock of the sender's while it runs a task, and an error means that the parent is gone.
            Self::Socket(sender, bytes_max) => drop(sender.send(&wire::note(note, *bytes_max))),
        }
    }
}

/// Which panics go to the hook that was there before, which prints them as a rule.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PrintedPanics {
    /// Not those of tasks: they are reported in the task's error.
    OfOtherThreads,
    /// All: as of a thread, nobody may ask for the outcome.
    All,
}

/// The hook is installed.
static IS_INSTALLED: AtomicBool = AtomicBool::new(false);

/// Installs the hook, where it is not: that of the program gets the panics that are no task's. It stays, as nobody can know whether
/// another was set on top of it.
pub(super) fn install_hook_once() {
    // A thread that is panicking may change no hook. Its tasks' panics have no place then.
    if IS_INSTALLED.load(Ordering::Relaxed) || std::thread::panicking() {
        return;
    }
    if !IS_INSTALLED.swap(true, Ordering::Relaxed) {
        install_hook(PanicReporter::Itself, PrintedPanics::OfOtherThreads);
    }
}

/// Installs the hook.
pub(super) fn install_hook(reporter: PanicReporter, printed: PrintedPanics) {
    IS_INSTALLED.store(true, Ordering::Relaxed);
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !IN_TASK.get() {
            return previous(info);
        }
        let note = PanicNote {
            message: foreign::message(info.payload()),
            location: info.location().map(ToString::to_string),
            backtrace: backtrace(),
        };
        reporter.tell(&note);
        if LAST.try_with(|last| last.replace(Some(note))).is_ok() {
            HAS_LAST.set(true);
        }
        if printed == PrintedPanics::All {
            previous(info);
        }
    }));
}

/// Runs a task. A panic is its `Err`.
pub(super) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, PanicNote> {
    // A task in process may be run by a task.
    let is_inner = IN_TASK.replace(true);
    if HAS_LAST.replace(false) {
        let _ = LAST.try_with(RefCell::take);
    }
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    IN_TASK.set(is_inner);
    result.map_err(|payload| {
        // A program's own hook, set in a task, takes the place of ours; the payload tells the message all the same.
        let note = LAST.try_with(RefCell::take).ok().flatten();
        let note = note.unwrap_or_else(|| PanicNote { message: foreign::message(&*payload), ..PanicNote::default() });
        foreign::dispose_payload(payload);
        note
    })
}

/// A backtrace where `RUST_BACKTRACE` asks for one, as for panics everywhere.
fn backtrace() -> Option<String> {
    let asked = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    // It opens files, which a sandbox may deny.
    asked.then(|| sys::excused(|| Backtrace::force_capture().to_string()))
}

/// Reads what names are made of, before a sandbox closes the files.
#[cfg(feature = "sandbox")]
pub(super) fn prepare_backtraces() {
    drop(backtrace());
}
