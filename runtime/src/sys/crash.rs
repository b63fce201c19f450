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
//! 6. The calls that the signal has met with are recorded behind the reason of a fault, as the walk to them may not come back
//!    (`stack_walk`), and before that of an abort, which is found among them. While it walks, SIGALRM is the walk's.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::libc::{self, c_int, c_void};

use super::crash_record::{Crash, Reason};
use super::crash_slot::{CrashSlot, forget_word};
use super::rlimit::MemoryLimit;
use super::signal_action::{action_of, end_at_once_by, end_by, exchange};
use super::stack;
use super::stack_request::{AskedThread, STACK_REQUEST};
use super::stack_walk::{self, Sought, StackWalk};

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
    /// The thread that runs the tasks.
    thread: AskedThread,
}

static WATCH: OnceLock<CrashWatch> = OnceLock::new();
static POST: OnceLock<Post> = OnceLock::new();
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
        let mut ours = action_of(on_signal);
        ours.sa_mask = previous.sa_mask;
        exchange(*signal, Some(&ours));
    }
}

/// From now on a signal that ends this process leaves word of it. It is called once, by the thread that runs the tasks; where the
/// system refuses something, there is no word.
pub(crate) fn install_crash_handlers(pad: CrashSlot, limits: TaskLimits) {
    if stack::use_alternate_stack().is_ok() {
        let (guard, thread) = (stack::guard().unwrap_or_default(), AskedThread::this());
        if POST.set(Post { pad, limits, guard, thread }).is_ok() {
            answer_requests();
        }
    }
}

/// Sets the handler of the parent's question where this process is, if the program has not taken its signal.
fn answer_requests() {
    if let Some(signal) = STACK_REQUEST {
        let previous = exchange(signal, Some(&action_of(on_request)));
        if previous.sa_sigaction != libc::SIG_DFL {
            exchange(signal, Some(&previous));
        }
    }
}

/// The parent ends this process, and asks where it is.
extern "C" fn on_request(signal: c_int, details: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = Errno::last_raw();
    // SAFETY: the handler was set with SA_SIGINFO, so the system gives details that live through the call; a signal of this number
    // is sent, and has a sender, or says that it has none.
    let sender = unsafe { (*details).si_pid() };
    let own = nix::unistd::getpid();
    let is_asked = sender == nix::unistd::getppid().as_raw() || sender == own.as_raw();
    let post = POST.get().filter(|_| is_asked && WATCH.get().is_some_and(|watch| watch.pid == own.as_raw()));
    match post {
        None => end_at_once_by(signal),
        Some(post) if !post.thread.is_this() => post.thread.pass_on(signal),
        Some(post) => {
            if post.pad.claim() {
                record_stack(post, signal, context);
            } else {
                stack_walk::await_other_thread(|| post.pad.is_closed());
            }
            end_at_once_by(libc::SIGKILL);
        }
    }
    Errno::set_raw(errno);
}

/// Records the calls of this thread, and leaves word of them.
fn record_stack(post: &Post, signal: c_int, context: *mut c_void) {
    if let Some(mut walk) = StackWalk::begin(signal, on_alarm) {
        // SAFETY: it is the context of the handler that this is called in.
        unsafe { walk.record(context, Sought::Nothing) };
        finish_walk(post);
    }
}

/// Leaves word of a system call that was denied, of its path if it has one, and of where it was made; the handler that calls this ends the
/// process then.
#[cfg(poolmap_sandbox)]
pub(super) fn record_denial(call: u64, path: &[u8], context: *mut c_void) {
    let is_own = WATCH.get().is_some_and(|watch| watch.pid == nix::unistd::getpid().as_raw());
    let Some(post) = POST.get().filter(|_| is_own) else {
        return;
    };
    if post.pad.claim() {
        post.pad.leave_path(path);
        post.pad.leave(Crash { signal: libc::SIGSYS, reason: Reason::Denied(call) });
        record_stack(post, libc::SIGSYS, context);
        post.pad.close();
    } else {
        stack_walk::await_other_thread(|| post.pad.is_closed());
    }
}

/// Leaves word of the calls that were recorded, if nobody else does.
fn finish_walk(post: &Post) {
    if stack_walk::begin_to_finish() {
        stack_walk::record_files();
        post.pad.leave_stack();
        post.pad.close();
    }
}

extern "C" fn on_signal(signal: c_int, details: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = Errno::last_raw();
    let Some(watch) = WATCH.get() else {
        return;
    };
    if let Some(walked_for) = stack_walk::own_walk() {
        give_up_walk(walked_for);
        return;
    }
    // SAFETY: the handler was set with SA_SIGINFO, so the system gives details that live through the call.
    let seen = unsafe { &*details };
    // Sought of the system: no memory tells a process from one that shares it for a moment.
    if let Some(post) = POST.get().filter(|_| nix::unistd::getpid().as_raw() == watch.pid) {
        if post.pad.claim() {
            watch.leave_word(post, signal, seen, context, errno);
        } else {
            stack_walk::await_other_thread(|| post.pad.is_closed());
        }
    }
    watch.pass_on(signal, details, context);
    Errno::set_raw(errno);
}

/// The walk hangs.
extern "C" fn on_alarm(_signal: c_int, _details: *mut libc::siginfo_t, _context: *mut c_void) {
    if let Some(walked_for) = stack_walk::any_walk() {
        give_up_walk(walked_for);
    }
}

/// Ends the process by the signal for which a walk was made that goes no further, with the calls that it has come to.
fn give_up_walk(signal: c_int) {
    POST.get().into_iter().for_each(finish_walk);
    end_at_once_by(signal);
}

impl CrashWatch {
    /// Leaves word of a signal, and of the stack that it has met with.
    fn leave_word(&self, post: &Post, signal: c_int, details: &libc::siginfo_t, context: *mut c_void, errno: c_int) {
        let is_abort = signal == libc::SIGABRT;
        let leave =
            |reason: Option<Reason>| reason.into_iter().for_each(|reason| post.pad.leave(Crash { signal, reason }));
        if !is_abort {
            leave(self.reason(post, signal, details, errno, false));
        }
        let asked = if is_abort { Sought::FailedAllocation } else { Sought::Nothing };
        let mut walk = StackWalk::begin(signal, on_alarm);
        // SAFETY: it is the context of this handler.
        let has_failed = walk.as_mut().is_some_and(|walk| unsafe { walk.record(context, asked) });
        if is_abort {
            leave(self.reason(post, signal, details, errno, has_failed));
        }
        if walk.is_some() {
            finish_walk(post);
        }
        post.pad.close();
    }

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

    /// The reason of a signal; `has_failed` says whether an allocation has, up the stack.
    fn reason(
        &self,
        post: &Post,
        signal: c_int,
        details: &libc::siginfo_t,
        errno: c_int,
        has_failed: bool,
    ) -> Option<Reason> {
        match sender(details) {
            Some(sender) if sender != self.pid => return Some(Reason::SentBy(u64::try_from(sender).ok()?)),
            // An abort is raised, too.
            Some(_) if signal != libc::SIGABRT => return Some(Reason::Raised),
            _ => {}
        }
        if signal == libc::SIGABRT {
            return post.reason_of_abort(errno, has_failed);
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

impl Post {
    /// Rust ends a process in which an allocation fails by an abort, and C++ so does.
    fn reason_of_abort(&self, errno: c_int, has_failed: bool) -> Option<Reason> {
        if has_failed || self.is_out_of_memory(errno) { self.out_of_memory() } else { None }
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
