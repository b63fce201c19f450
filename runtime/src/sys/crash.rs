//! What a signal that ends a worker leaves: word of the signal, and of what is known of it, written by a handler at the moment
//! of it. The parent finds it there; what it means for the task is decided in `death`.
//!
//! 1. A handler does nothing but what is allowed at any moment (signal-safety(7)), and takes no memory.
//! 2. It puts back what was there before, for its signal, and lets the signal come again: so the process ends by the signal
//!    that it would have ended by, and std's handler tells of a stack overflow as ever.
//! 3. The word names the task that ran. A signal that the process survives leaves a word that nobody reads once the task has
//!    a result.
//! 4. Only the worker leaves word. What was forked from it, or shares its memory for a moment before it becomes another
//!    program, does not.
//! 5. A program that sets handlers of its own in a task has its way: ours are gone then, and there is no word.

use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::libc::{self, c_int, c_void};

use super::memory::Words;
use super::{backtrace, limits, stack};

/// What is known of the signal that ended a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crash {
    pub(crate) signal: i32,
    pub(crate) reason: Reason,
}

/// What made the signal. Addresses are those of what was read, written or run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The stack of the thread that runs the tasks, of so many bytes, was at its end.
    StackOverflow(u64),
    /// There was no memory for an allocation.
    AllocationFailed,
    /// There was no memory left of so many bytes, which is the worker's limit.
    MemoryLimit(u64),
    NotMapped(u64),
    Protected(u64),
    /// The processor refused an instruction, or an address that no memory can have.
    Refused,
    Bus(u64),
    Arithmetic(u64),
    Instruction(u64),
    /// Another process sent it.
    SentBy(u64),
}

/// How many words a crash takes.
pub(crate) const CRASH_WORDS: usize = 3;

impl Crash {
    fn to_words(self) -> [u64; CRASH_WORDS] {
        let (kind, value) = match self.reason {
            Reason::StackOverflow(bytes) => (1, bytes),
            Reason::AllocationFailed => (2, 0),
            Reason::MemoryLimit(bytes) => (3, bytes),
            Reason::NotMapped(address) => (4, address),
            Reason::Protected(address) => (5, address),
            Reason::Refused => (6, 0),
            Reason::Bus(address) => (7, address),
            Reason::Arithmetic(address) => (8, address),
            Reason::Instruction(address) => (9, address),
            Reason::SentBy(pid) => (10, pid),
        };
        [u64::from(self.signal.cast_unsigned()), kind, value]
    }

    /// The crash that a worker has written; none if it is none.
    pub(crate) fn from_words([signal, kind, value]: [u64; CRASH_WORDS]) -> Option<Self> {
        let reason = match kind {
            1 => Reason::StackOverflow(value),
            2 => Reason::AllocationFailed,
            3 => Reason::MemoryLimit(value),
            4 => Reason::NotMapped(value),
            5 => Reason::Protected(value),
            6 => Reason::Refused,
            7 => Reason::Bus(value),
            8 => Reason::Arithmetic(value),
            9 => Reason::Instruction(value),
            10 => Reason::SentBy(value),
            _ => return None,
        };
        Some(Self { signal: i32::try_from(signal).ok()?, reason })
    }
}

/// Where a worker leaves word of its crash.
pub(crate) enum CrashPad {
    /// In memory: the number of the running task stands at `running`, and goes to `place`, in front of the word.
    Memory { words: Arc<Words>, running: usize, place: usize },
    /// In a frame of its own, between `head` and `tail`, while `running` is not 0: then no other frame is being sent.
    Socket { stream: UnixStream, running: Arc<AtomicU64>, head: Vec<u8>, tail: Vec<u8> },
}

/// More than a frame with a crash has.
const FRAME_BYTES_MAX: usize = 64;
/// The task of which there was word last.
static NOTED: AtomicU64 = AtomicU64::new(u64::MAX);

impl CrashPad {
    /// Leaves word, if there is none of the running task: what comes first is the cause of what comes next.
    fn leave(&self, crash: Crash) {
        let running = match self {
            Self::Memory { words, running, .. } => words.word(*running).load(Ordering::Relaxed),
            Self::Socket { running, .. } => running.load(Ordering::SeqCst),
        };
        if NOTED.swap(running, Ordering::Relaxed) == running {
            return;
        }
        match self {
            Self::Memory { words, place, .. } => {
                for (word, value) in crash.to_words().into_iter().enumerate() {
                    words.word(place + 8 * (word + 1)).store(value, Ordering::Relaxed);
                }
                words.word(*place).store(running, Ordering::Release);
            }
            Self::Socket { .. } if running == 0 => {}
            Self::Socket { stream, head, tail, .. } => {
                let payload = crash.to_words().map(u64::to_le_bytes);
                let mut frame = [0; FRAME_BYTES_MAX];
                let bytes = head.iter().chain(payload.iter().flatten()).chain(tail);
                let count = frame.iter_mut().zip(bytes).map(|(to, from)| *to = *from).count();
                // So few bytes go as a whole, or not at all where the socket is full: then there is no word.
                let _ = super::send(stream, &frame[..count], super::Wait::No);
            }
        }
    }
}

/// What a worker's tasks are limited by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskLimits {
    /// The stack of the thread that runs them.
    pub(crate) stack_bytes: u64,
    /// What the worker may allocate, where that is limited.
    pub(crate) memory_bytes: Option<u64>,
}

const SIGNALS: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT];

/// What the handler needs to know.
struct Watch {
    pad: CrashPad,
    limits: TaskLimits,
    pid: libc::pid_t,
    /// Where what overflows the stack of the thread that runs the tasks ends up.
    guard: Range<usize>,
    /// What was there for each of the signals before.
    previous: [libc::sigaction; SIGNALS.len()],
}

static WATCH: OnceLock<Watch> = OnceLock::new();
/// The handler of an abort is walking up the stack, which may be broken.
static WALKING: AtomicBool = AtomicBool::new(false);

/// From now on a signal that ends this process leaves word of it. It is called once, by the thread that runs the tasks; where the
/// system refuses something, there is no word.
pub(crate) fn leave_word_of_crashes(pad: CrashPad, limits: TaskLimits) {
    limits::prepare();
    if stack::use_alternate_stack().is_err() {
        return;
    }
    let watch = Watch {
        pad,
        limits,
        pid: nix::unistd::getpid().as_raw(),
        guard: stack::guard().unwrap_or_default(),
        previous: SIGNALS.map(|signal| exchange(signal, None)),
    };
    if WATCH.set(watch).is_err() {
        return;
    }
    // SAFETY: all zeros is a valid value of this C structure: no flags, an empty mask.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    ours.sa_sigaction = on_signal as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as *const () as usize;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    for signal in SIGNALS {
        exchange(signal, Some(&ours));
    }
}

/// Sets what a signal does, if that is given, and gives what it did before.
fn exchange(signal: c_int, action: Option<&libc::sigaction>) -> libc::sigaction {
    let action = action.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: as above.
    let mut previous: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to structures that live through the call, or null, which is allowed. An action is what was
    // there before, or our own handler, which does nothing but what is allowed in one. It fails for numbers that are no
    // signals only.
    unsafe { libc::sigaction(signal, action, &raw mut previous) };
    previous
}

extern "C" fn on_signal(signal: c_int, details: *mut libc::siginfo_t, _context: *mut c_void) {
    let errno = Errno::last_raw();
    let Some(watch) = WATCH.get() else {
        return;
    };
    if WALKING.load(Ordering::Relaxed) && signal != libc::SIGABRT {
        watch.go_on_aborting(signal);
        return;
    }
    // SAFETY: the handler was set with SA_SIGINFO, so the system gives details that live through the call.
    let details = unsafe { &*details };
    // Asked of the system: no memory tells a process from one that shares it for a moment.
    if nix::unistd::getpid().as_raw() == watch.pid
        && let Some(reason) = watch.reason(signal, details, errno)
    {
        watch.pad.leave(Crash { signal, reason });
    }
    watch.put_back(signal);
    if is_sent(details) {
        // It is blocked while its handler runs, and comes when this returns. A fault comes again by itself.
        raise(signal);
    } else {
        // std's handler tells of a stack overflow, and aborts; of that there is nothing more to say.
        watch.put_back(libc::SIGABRT);
    }
    Errno::set_raw(errno);
}

impl Watch {
    fn put_back(&self, signal: c_int) {
        for (ours, previous) in SIGNALS.iter().zip(&self.previous) {
            if *ours == signal {
                exchange(signal, Some(previous));
            }
        }
    }

    /// Ends the process by the abort whose handler has met with another signal.
    fn go_on_aborting(&self, signal: c_int) {
        self.put_back(signal);
        self.put_back(libc::SIGABRT);
        let abort = nix::sys::signal::SigSet::from(nix::sys::signal::Signal::SIGABRT);
        let _ = abort.thread_unblock();
        raise(libc::SIGABRT);
    }

    fn reason(&self, signal: c_int, details: &libc::siginfo_t, errno: c_int) -> Option<Reason> {
        if let Some(sender) = sender(details).filter(|sender| *sender != self.pid) {
            return Some(Reason::SentBy(u64::try_from(sender).ok()?));
        }
        if signal == libc::SIGABRT {
            return self.reason_of_abort(errno);
        }
        if is_sent(details) {
            return None;
        }
        // SAFETY: each of the signals that come here has an address when a fault made it.
        let address = unsafe { details.si_addr() }.addr();
        let shown = address as u64;
        match (signal, details.si_code) {
            (libc::SIGSEGV, _) if self.guard.contains(&address) => Some(Reason::StackOverflow(self.limits.stack_bytes)),
            (libc::SIGSEGV, NOT_MAPPED) if address < NULL_BYTES && self.is_out_of_memory(errno) => self.out_of_memory(),
            (libc::SIGSEGV, NOT_MAPPED) => Some(Reason::NotMapped(shown)),
            (libc::SIGSEGV, PROTECTED) => Some(Reason::Protected(shown)),
            // The second is a stack's: the address is reckoned from a stack register (#SS).
            (libc::SIGSEGV | libc::SIGBUS, REFUSED) => Some(Reason::Refused),
            (libc::SIGBUS, _) => Some(Reason::Bus(shown)),
            (libc::SIGFPE, _) => Some(Reason::Arithmetic(shown)),
            (libc::SIGILL, _) => Some(Reason::Instruction(shown)),
            _ => None,
        }
    }

    /// Rust ends a process in which an allocation fails by an abort, and C++ so does.
    fn reason_of_abort(&self, errno: c_int) -> Option<Reason> {
        WALKING.store(true, Ordering::Relaxed);
        let failed = backtrace::is_in_allocation_error();
        WALKING.store(false, Ordering::Relaxed);
        if failed || self.is_out_of_memory(errno) { self.out_of_memory() } else { None }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what its callers return")]
    fn out_of_memory(&self) -> Option<Reason> {
        Some(self.limits.memory_bytes.map_or(Reason::AllocationFailed, Reason::MemoryLimit))
    }

    /// Whether what the thread asked the system for last was refused for want of memory, and the worker has come to its limit.
    /// It is what is left to see of an allocation in C.
    fn is_out_of_memory(&self, errno: c_int) -> bool {
        errno == libc::ENOMEM && self.limits.memory_bytes.is_some_and(limits::is_near)
    }
}

/// What is read or written through a null pointer lies below this.
const NULL_BYTES: usize = 64 << 10;
/// SEGV_MAPERR, SEGV_ACCERR (POSIX has the names, and all systems these numbers), and the kernel's word for what the
/// processor did not tell more of.
const NOT_MAPPED: c_int = 1;
const PROTECTED: c_int = 2;
const REFUSED: c_int = 0x80;
/// The code of a signal that `kill` sent.
const SENT_BY_KILL: c_int = if cfg!(target_vendor = "apple") { 0x10001 } else { 0 };

/// Whether a process sent the signal, and no fault made it.
fn is_sent(details: &libc::siginfo_t) -> bool {
    details.si_code <= 0 || details.si_code == SENT_BY_KILL
}

/// Who sent the signal, where that is told; 0 stands for a process that this one cannot see.
fn sender(details: &libc::siginfo_t) -> Option<libc::pid_t> {
    if details.si_code != SENT_BY_KILL {
        return None;
    }
    // SAFETY: a signal that `kill` sent has a sender.
    Some(unsafe { details.si_pid() }).filter(|pid| *pid > 0)
}

fn raise(signal: c_int) {
    // SAFETY: it sends a signal to this thread, and touches no memory of ours. What the signal does is what the program, or
    // std, has set.
    unsafe { libc::raise(signal) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_comes_back_from_its_words() {
        let reasons = [
            Reason::StackOverflow(8 << 20),
            Reason::AllocationFailed,
            Reason::MemoryLimit(1 << 30),
            Reason::NotMapped(0),
            Reason::Protected(0x1000),
            Reason::Refused,
            Reason::Bus(u64::MAX),
            Reason::Arithmetic(1),
            Reason::Instruction(2),
            Reason::SentBy(42),
        ];
        for reason in reasons {
            let crash = Crash { signal: libc::SIGSEGV, reason };
            assert_eq!(Crash::from_words(crash.to_words()), Some(crash));
        }
        assert_eq!(Crash::from_words([11, 0, 0]), None);
        assert_eq!(Crash::from_words([u64::MAX, 1, 0]), None);
    }
}
