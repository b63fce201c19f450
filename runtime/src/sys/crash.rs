//! The record of a signal that ends a worker: the signal, and what is known of it, written by a handler at the
//! moment of it. The parent finds it there; what it means for the task is decided in `child`.
//!
//! 1. A handler does nothing but what is allowed at any moment (signal-safety(7)), and takes no memory.
//! 2. It then passes the signal on to the handler that was there before: so std's handler reports a stack overflow as ever, and
//!    a program's own handler that fixes the fault returns to the task. Without one, or where that one set the default action
//!    and returned (as std's does), the process ends by the signal: a fault comes again by itself, and a signal that was sent
//!    is raised again. std alone would ignore the first one that is sent. A thread that the program started has so small a
//!    stack for handlers that one inside of another does not fit: there the one that was before is put back, and meets with the
//!    fault when that comes again. Should the process survive even that, ours are set again before the next tasks.
//! 3. The word names the task that ran. A signal that the process survives leaves a word that nobody reads once the task has
//!    a result.
//! 4. Only the worker leaves word. A process that was forked from it, or shares its memory for a moment before it becomes another
//!    program, does not.
//! 5. A program that sets handlers of its own in a task has its way: ours are gone then, and there is no word. Nothing else takes
//!    them away while the worker lives.

use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::libc::{self, c_int, c_void};

use super::memory::Words;
use super::rlimit::MemoryLimit;
use super::{backtrace, stack};

/// The record of the signal that ended a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crash {
    pub(crate) signal: i32,
    pub(crate) reason: Reason,
}

/// The reason of the signal. Addresses are those that were read, written or run.
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
    /// Another process sent it; 0 is one that this process cannot see.
    SentBy(u64),
    /// The process sent it to itself, and not by an abort.
    Raised,
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
            Reason::Raised => (11, 0),
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
            11 => Reason::Raised,
            _ => return None,
        };
        Some(Self { signal: i32::try_from(signal).ok()?, reason })
    }
}

/// Where a worker leaves word of its crash.
pub(crate) enum CrashSlot {
    /// In memory: the number of the running task stands at `running`, and goes to `place`, in front of the word.
    Memory { words: Arc<Words>, running: usize, place: usize },
    /// In a frame of its own, between `head` and `tail`, while `running` is not 0: then no other frame is being sent.
    Socket { stream: UnixStream, running: Arc<AtomicU64>, head: Vec<u8>, tail: Vec<u8> },
}

/// More than a frame with a crash has.
const FRAME_BYTES_MAX: usize = 64;
/// The task of which there was word last.
static NOTED: AtomicU64 = AtomicU64::new(u64::MAX);

impl CrashSlot {
    /// The number of the running task.
    fn running(&self) -> u64 {
        match self {
            Self::Memory { words, running, .. } => words.word(*running).load(Ordering::Relaxed),
            Self::Socket { running, .. } => running.load(Ordering::SeqCst),
        }
    }

    /// Whether word of the running task was left: what comes first is the cause of what comes next.
    fn has_word(&self) -> bool {
        NOTED.load(Ordering::Relaxed) == self.running()
    }

    /// Leaves word, if there is none of the running task.
    fn leave(&self, crash: Crash) {
        let running = self.running();
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

/// The limits of a worker's tasks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskLimits {
    /// The stack of the thread that runs them.
    pub(crate) stack_bytes: u64,
    /// The memory that the worker may take, where it is limited.
    pub(crate) memory: Option<MemoryLimit>,
}

/// SIGABRT is the last.
const SIGNALS: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT];

/// The facts that the handler needs from the start.
struct CrashWatch {
    pid: libc::pid_t,
    /// The handlers of the signals that were there before.
    previous: [libc::sigaction; SIGNALS.len()],
}

/// The facts that it needs to leave a record.
struct Post {
    pad: CrashSlot,
    limits: TaskLimits,
    /// Where what overflows the stack of the thread that runs the tasks ends up.
    guard: Range<usize>,
}

static WATCH: OnceLock<CrashWatch> = OnceLock::new();
static POST: OnceLock<Post> = OnceLock::new();
/// The handler of an abort is walking up the stack, which may be broken.
static WALKING: AtomicBool = AtomicBool::new(false);

/// Handlers that were there before were put back.
static IS_PUT_BACK: AtomicBool = AtomicBool::new(false);

/// Sets the handlers: from now on each of these signals ends this process that would end any, the first time it comes.
pub(crate) fn watch_crashes() {
    let previous = SIGNALS.map(|signal| exchange(signal, None));
    if WATCH.set(CrashWatch { pid: nix::unistd::getpid().as_raw(), previous }).is_ok() {
        set_handlers();
    }
}

/// Sets the handlers again, if others were put back.
#[inline]
pub(crate) fn watch_crashes_again() {
    if IS_PUT_BACK.load(Ordering::Relaxed) && IS_PUT_BACK.swap(false, Ordering::Relaxed) {
        forget_word();
        set_handlers();
    }
}

fn set_handlers() {
    let previous = WATCH.get().map(|watch| watch.previous).into_iter().flatten();
    for (signal, previous) in SIGNALS.iter().zip(previous) {
        let mut ours = default_action();
        ours.sa_sigaction = on_signal as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        ours.sa_mask = previous.sa_mask;
        exchange(*signal, Some(&ours));
    }
}

/// From now on a signal that ends this process leaves word of it. It is called once, by the thread that runs the tasks; where the
/// system refuses something, there is no word.
pub(crate) fn install_crash_handlers(pad: CrashSlot, limits: TaskLimits) {
    if stack::use_alternate_stack().is_ok() {
        let _ = POST.set(Post { pad, limits, guard: stack::guard().unwrap_or_default() });
    }
}

fn default_action() -> libc::sigaction {
    // SAFETY: all zeros is a valid value of this C structure: the default action, no flags, an empty mask.
    unsafe { std::mem::zeroed() }
}

/// Sets what a signal does, if that is given, and returns what it did before.
fn exchange(signal: c_int, action: Option<&libc::sigaction>) -> libc::sigaction {
    let action = action.map_or(std::ptr::null(), std::ptr::from_ref);
    let mut previous = default_action();
    // SAFETY: both pointers are to structures that live through the call, or null, which is allowed. An action is the default, or
    // our own handler, which does nothing but what is allowed in one. It fails for numbers that are no signals only.
    unsafe { libc::sigaction(signal, action, &raw mut previous) };
    previous
}

extern "C" fn on_signal(signal: c_int, details: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = Errno::last_raw();
    let Some(watch) = WATCH.get() else {
        return;
    };
    if WALKING.load(Ordering::Relaxed) && signal != libc::SIGABRT {
        go_on_aborting(signal);
        return;
    }
    // SAFETY: the handler was set with SA_SIGINFO, so the system gives details that live through the call.
    let seen = unsafe { &*details };
    // Asked of the system: no memory tells a process from one that shares it for a moment.
    let post = POST.get().filter(|post| nix::unistd::getpid().as_raw() == watch.pid && !post.pad.has_word());
    if let Some(post) = post
        && let Some(reason) = watch.reason(post, signal, seen, errno)
    {
        post.pad.leave(Crash { signal, reason });
    }
    watch.pass_on(signal, details, context);
    Errno::set_raw(errno);
}

/// Ends the process by the abort whose handler has met with another signal.
fn go_on_aborting(signal: c_int) {
    exchange(signal, Some(&default_action()));
    let abort = nix::sys::signal::SigSet::from(nix::sys::signal::Signal::SIGABRT);
    exchange(libc::SIGABRT, Some(&default_action()));
    let _ = abort.thread_unblock();
    raise(libc::SIGABRT);
}

impl CrashWatch {
    /// Gives a signal to the handler that was there before, and ends the process where that one would have it ended (rule 2).
    fn pass_on(&self, signal: c_int, details: *mut libc::siginfo_t, context: *mut c_void) {
        let Some((_, previous)) = SIGNALS.iter().zip(&self.previous).find(|(ours, _)| **ours == signal) else {
            return;
        };
        // SAFETY: as in `on_signal`.
        let is_sent = is_sent(unsafe { &*details });
        match previous.sa_sigaction {
            libc::SIG_IGN if is_sent => forget_word(),
            libc::SIG_DFL | libc::SIG_IGN => end_by(signal, is_sent),
            // std's handler aborts where it meets with a stack overflow: nothing more is to be known of that.
            _ if !is_sent && !stack::has_room_for_handlers() => {
                IS_PUT_BACK.store(true, Ordering::Relaxed);
                exchange(signal, Some(previous));
                exchange(libc::SIGABRT, self.previous.last());
            }
            handler => {
                // SAFETY: the address is that of the handler that was set for this signal, and it is given what the system gave.
                // The flag says which of both forms the handler has.
                unsafe {
                    if previous.sa_flags & libc::SA_SIGINFO == 0 {
                        std::mem::transmute::<usize, extern "C" fn(c_int)>(handler)(signal);
                    } else {
                        type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
                        std::mem::transmute::<usize, Handler>(handler)(signal, details, context);
                    }
                }
                if exchange(signal, None).sa_sigaction == libc::SIG_DFL {
                    end_by(signal, is_sent);
                } else {
                    forget_word();
                }
            }
        }
    }

    fn reason(&self, post: &Post, signal: c_int, details: &libc::siginfo_t, errno: c_int) -> Option<Reason> {
        match sender(details) {
            Some(sender) if sender != self.pid => return Some(Reason::SentBy(u64::try_from(sender).ok()?)),
            // An abort is raised, too.
            Some(_) if signal != libc::SIGABRT => return Some(Reason::Raised),
            _ => {}
        }
        if signal == libc::SIGABRT {
            return post.reason_of_abort(errno);
        }
        if is_sent(details) {
            return None;
        }
        // SAFETY: each of the signals that come here has an address when a fault made it.
        let address = unsafe { details.si_addr() }.addr();
        let shown = address as u64;
        match (signal, details.si_code) {
            (libc::SIGSEGV, _) if post.guard.contains(&address) => Some(Reason::StackOverflow(post.limits.stack_bytes)),
            (libc::SIGSEGV, NOT_MAPPED) if address < NULL_BYTES && post.is_out_of_memory(errno) => post.out_of_memory(),
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
}

/// Ends the process by a signal that is being handled, once its handler returns: by the default action. A fault comes again by
/// itself.
fn end_by(signal: c_int, is_sent: bool) {
    exchange(signal, Some(&default_action()));
    if is_sent {
        raise(signal);
    }
}

/// The process survives its signal: what is left of that is no word of a later one.
fn forget_word() {
    NOTED.store(u64::MAX, Ordering::Relaxed);
}

impl Post {
    /// Rust ends a process in which an allocation fails by an abort, and C++ so does.
    fn reason_of_abort(&self, errno: c_int) -> Option<Reason> {
        WALKING.store(true, Ordering::Relaxed);
        let failed = backtrace::is_in_allocation_error();
        WALKING.store(false, Ordering::Relaxed);
        if failed || self.is_out_of_memory(errno) { self.out_of_memory() } else { None }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what its callers return")]
    fn out_of_memory(&self) -> Option<Reason> {
        Some(self.limits.memory.map_or(Reason::AllocationFailed, |limit| Reason::MemoryLimit(limit.bytes)))
    }

    /// Whether what the thread asked the system for last was refused for want of memory, and the worker has come to its limit.
    /// It is what is left to see of an allocation in C.
    fn is_out_of_memory(&self, errno: c_int) -> bool {
        errno == libc::ENOMEM && self.limits.memory.is_some_and(MemoryLimit::is_near)
    }
}

/// Addresses that are used through a null pointer lie below this.
const NULL_BYTES: usize = 64 << 10;
/// SEGV_MAPERR, SEGV_ACCERR (POSIX has the names, and all systems these numbers), and the kernel's word for what the
/// processor did not tell more of.
const NOT_MAPPED: c_int = 1;
const PROTECTED: c_int = 2;
const REFUSED: c_int = 0x80;
/// The codes of signals that name their sender: those of `kill`, and on Linux also of `sigqueue` and `tgkill`.
const WITH_SENDER: &[c_int] =
    if cfg!(any(target_os = "linux", target_os = "android")) { &[0, -1, -6] } else { &[0x10001, 0] };

/// Whether a process sent the signal, and no fault made it.
fn is_sent(details: &libc::siginfo_t) -> bool {
    details.si_code <= 0 || WITH_SENDER.contains(&details.si_code)
}

/// The process that sent the signal, where that is known; 0 is one that this process cannot see.
fn sender(details: &libc::siginfo_t) -> Option<libc::pid_t> {
    // SAFETY: a signal of these codes has a sender.
    WITH_SENDER.contains(&details.si_code).then(|| unsafe { details.si_pid() })
}

/// Sends a signal to this thread; where the system refuses that, to this process; and ends it where that is refused too.
fn raise(signal: c_int) {
    // SAFETY: both send a signal to this process, whose default action was set, and touch no memory of ours; the third takes a
    // number, and does not return. All three are allowed in a handler.
    unsafe {
        if libc::raise(signal) != 0 && libc::kill(libc::getpid(), signal) != 0 {
            libc::_exit(SHELL_SIGNALED + signal);
        }
    }
}

/// A shell adds this to the number of a signal that ended a program.
const SHELL_SIGNALED: c_int = 128;

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
            Reason::Raised,
        ];
        for reason in reasons {
            let crash = Crash { signal: libc::SIGSEGV, reason };
            assert_eq!(Crash::from_words(crash.to_words()), Some(crash));
        }
        assert_eq!(Crash::from_words([12, 0, 0]), None);
        assert_eq!(Crash::from_words([u64::MAX, 1, 0]), None);
    }
}
