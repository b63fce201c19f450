//! The walk from a signal's handler up the stack that the signal has met with, into the record of it. It knows nothing of why it is made,
//! and where the record goes.
//!
//! 1. One thread of the process walks at a time; another that crashes meanwhile waits until the first has left its word.
//! 2. It walks what may be broken, and so has three ends: it is done; it meets with a fault of its own, whose handler finds that this
//!    thread is walking; or it hangs, and the alarm comes after a second. In the last two the process ends by the signal for which it
//!    walked, with the calls that it had come to.
//! 3. Who finishes the record is who first moves the phase on: the walk, the handler of its fault, or that of the alarm.
//! 4. The handler's own calls are left out: the record begins with the function that the signal has met with.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicUsize, Ordering};

use nix::libc::{self, c_int, c_void};

use super::interrupted::interrupted;
use super::signal_action::{Handler, action_of, block_again, exchange, unblock};
use super::{backtrace, loaded_files, stack, stack_record};

const IDLE: u8 = 0;
const WALKING: u8 = 1;
const FINISHING: u8 = 2;
static PHASE: AtomicU8 = AtomicU8::new(IDLE);
/// The thread that walks; 0 while none does.
static WALKER: AtomicUsize = AtomicUsize::new(0);
/// The signal for which it walks.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// A walk that hangs is given up after so many seconds.
const WALK_SECONDS_MAX: u32 = 1;
/// A thread waits for another for so many times a millisecond.
const WAITS_MAX: u32 = 2000;

/// The walk of this thread.
pub(super) struct StackWalk {
    blocked: libc::sigset_t,
    on_alarm: libc::sigaction,
    alarm: u32,
}

fn this_thread() -> usize {
    // SAFETY: it asks for the number of this thread, and touches no memory of ours.
    unsafe { libc::pthread_self() as usize }
}

/// The signal for which this thread is walking, if it is.
pub(super) fn own_walk() -> Option<c_int> {
    (WALKER.load(Ordering::Relaxed) == this_thread()).then(|| SIGNAL.load(Ordering::Relaxed))
}

/// The signal for which some thread is walking.
pub(super) fn any_walk() -> Option<c_int> {
    (PHASE.load(Ordering::Acquire) != IDLE).then(|| SIGNAL.load(Ordering::Relaxed))
}

/// Waits for what another thread does in its handler, for two seconds at most: longer than a walk that hangs.
pub(super) fn await_other_thread(is_done: impl Fn() -> bool) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    for _ in 0..WAITS_MAX {
        if is_done() {
            return;
        }
        // SAFETY: the time lives through the call, and a null pointer is allowed for the rest of it. nanosleep(2) is allowed in a
        // handler.
        unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
    }
}

/// Whoever it lets through finishes the record.
pub(super) fn begin_to_finish() -> bool {
    PHASE.compare_exchange(WALKING, FINISHING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

impl StackWalk {
    /// Begins a walk for a signal, whose handler this is called in; none if another thread walks, or the handler has no room for
    /// it. `on_alarm` ends the process where the walk hangs.
    pub(super) fn begin(signal: c_int, on_alarm: Handler) -> Option<Self> {
        if !stack::has_room_for_walk() {
            return None;
        }
        PHASE.compare_exchange(IDLE, WALKING, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        SIGNAL.store(signal, Ordering::Relaxed);
        WALKER.store(this_thread(), Ordering::Relaxed);
        stack_record::clear();
        let on_alarm = exchange(libc::SIGALRM, Some(&action_of(on_alarm)));
        let blocked = unblock(&[libc::SIGSEGV, libc::SIGBUS, libc::SIGALRM]);
        // SAFETY: it takes a number, and is allowed in a handler.
        let alarm = unsafe { libc::alarm(WALK_SECONDS_MAX) };
        Some(Self { blocked, on_alarm, alarm })
    }

    /// Records the calls of this thread from where the signal has met with it. Returns whether Rust's handler of failed allocations
    /// is among them, if that is `asked`.
    ///
    /// # Safety
    ///
    /// The context is the one that the handler was given, which has not returned.
    pub(super) unsafe fn record(&mut self, context: *mut c_void, asked: Sought) -> bool {
        // SAFETY: the caller answers for it, and nothing else uses it meanwhile.
        let mut interrupted = unsafe { interrupted(context) };
        let instruction = interrupted.as_ref().map(|interrupted| interrupted.instruction());
        let found = record_calls(instruction, asked, 0);
        let Some(interrupted) = &mut interrupted else {
            return found;
        };
        if stack_record::frames() == 0 {
            stack_record::push_frame(interrupted.instruction() as u64);
        }
        if stack_record::frames() == 1 {
            // No table is of this function, or it is none: a call of a null pointer. Its caller has one.
            interrupted.with_caller(|| record_calls(None, Sought::Nothing, 1));
            if stack_record::frames() == 2 {
                stack_record::keep_frames(1);
            }
        }
        found
    }
}

/// What a walk looks for beside the calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sought {
    Nothing,
    FailedAllocation,
}

/// `back` is how far behind the calling instruction the thread seems to be.
fn record_calls(instruction: Option<usize>, asked: Sought, back: usize) -> bool {
    let (mut has_begun, mut is_found) = (false, false);
    backtrace::walk(|call| {
        has_begun |= call.is_interrupted || Some(call.next) == instruction;
        if !has_begun {
            return ControlFlow::Continue(());
        }
        // The thread began there.
        if call.next == 0 && !call.is_interrupted {
            return ControlFlow::Break(());
        }
        is_found |= asked == Sought::FailedAllocation && !is_found && call.is_allocation_error();
        let address = call.instruction().wrapping_sub(if call.is_interrupted { back } else { 0 });
        if stack_record::push_frame(address as u64) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    is_found
}

/// Adds the files that the recorded calls are in.
pub(super) fn record_files() {
    loaded_files::record_files();
}

impl Drop for StackWalk {
    fn drop(&mut self) {
        // SAFETY: as in `begin`.
        unsafe { libc::alarm(self.alarm) };
        block_again(&self.blocked);
        exchange(libc::SIGALRM, Some(&self.on_alarm));
        WALKER.store(0, Ordering::Relaxed);
        PHASE.store(IDLE, Ordering::Release);
    }
}
