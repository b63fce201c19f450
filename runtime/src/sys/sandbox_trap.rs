//! The signal of a system call that the filter of a sandbox does not allow, and what its handler makes of it.
//!
//! 1. The filter has not let the call happen. Whatever the handler does, and whoever overwrites its memory: the call is not made.
//! 2. Some calls are answered, as programs that only compute make them: a look at what a descriptor is (`newfstatat` and `statx` without a
//!    name), whether it is a terminal, and the mask of signals. The mask never has SIGSYS in it, or a denied call would end the process
//!    without a word: the C library blocks all signals while it starts a thread.
//! 3. A call of our own that a task is not to die of (a panic's backtrace opens files) returns an error. So does each where the policy
//!    says so.
//! 4. Any other leaves word of its number and its path, and ends the process by a SIGKILL. The path is read by way of the kernel, as the
//!    pointer may be none.
//! 5. A call by an attacker who has blocked the signal ends the process by SIGSYS, without word of it: the parent knows it by that.
//! 6. The handler may be interrupted by itself: what it calls may be denied.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::libc::{self, c_int, c_void};

use super::crash::record_denial;
use super::crash_record::DENIED_PATH_BYTES_MAX;
use super::sandbox_calls::path_argument;
use super::sandbox_file_facts::{FactsForm, facts};
use super::sandbox_opened::{copy, open_for_sandbox, thread_count};
use super::signal_action::{action_of, exchange};
use super::stack_walk::own_walk;

/// The fate of denied calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeniedCalls {
    /// They return an error.
    pub(crate) is_quiet: bool,
    /// So many threads may be there beside those that were there at the beginning.
    pub(crate) threads_max: u64,
    /// Whether there is a filter.
    pub(crate) has_filter: bool,
}

static IS_QUIET: AtomicBool = AtomicBool::new(false);
static THREADS_MAX: AtomicU64 = AtomicU64::new(0);
static THREADS_BEFORE: AtomicU64 = AtomicU64::new(0);
/// The thread whose denied calls return errors, as they are of ours; 0 if there is none.
static EXCUSED: AtomicUsize = AtomicUsize::new(0);

/// SYS_SECCOMP: the signal is the filter's.
const OF_FILTER: c_int = 1;

/// Opens what is read in the sandbox, and sets the handler.
pub(crate) fn prepare_for_sandbox(denied: DeniedCalls) -> io::Result<()> {
    open_for_sandbox(denied.threads_max > 0)?;
    if denied.threads_max > 0 {
        THREADS_BEFORE.store(thread_count().unwrap_or(u64::MAX), Ordering::Relaxed);
        THREADS_MAX.store(denied.threads_max, Ordering::Relaxed);
    }
    IS_QUIET.store(denied.is_quiet, Ordering::Relaxed);
    if denied.has_filter {
        let mut action = action_of(on_denied);
        action.sa_flags |= libc::SA_NODEFER;
        exchange(libc::SIGSYS, Some(&action));
        super::signal_action::unblock(&[libc::SIGSYS]);
    }
    Ok(())
}

/// Does something of ours in which a denied call is an error, and not the end.
pub(crate) fn excused<T>(run: impl FnOnce() -> T) -> T {
    /// Ends it, also by a panic.
    struct Excuse(usize);

    impl Drop for Excuse {
        fn drop(&mut self) {
            EXCUSED.store(self.0, Ordering::Relaxed);
        }
    }

    let _excuse = Excuse(EXCUSED.swap(this_thread(), Ordering::Relaxed));
    run()
}

fn this_thread() -> usize {
    // SAFETY: it asks for the number of this thread, and touches no memory of ours.
    unsafe { libc::pthread_self() as usize }
}

/// The call that was denied.
pub(super) struct DeniedCall {
    pub(super) number: i64,
    pub(super) arguments: [u64; 6],
}

extern "C" fn on_denied(_signal: c_int, details: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = Errno::last_raw();
    // SAFETY: the handler was set with SA_SIGINFO, so the system gives details and a context that live through the call, and nothing
    // else uses the context.
    let (code, registers) = unsafe { ((*details).si_code, &mut *context.cast::<libc::ucontext_t>()) };
    if code != OF_FILTER {
        // Somebody has sent it, which is no word of the filter's.
        return;
    }
    let call = registers::call(registers);
    match answer(&call, registers) {
        Some(result) => registers::set_result(registers, result),
        None => {
            let path = path_argument(call.number).map(|place| call.arguments[place]);
            let mut text = [0; DENIED_PATH_BYTES_MAX];
            let length = path.map_or(0, |pointer| read_text(pointer, &mut text));
            record_denial(call.number.cast_unsigned(), &text[..length], context);
            end();
        }
    }
    Errno::set_raw(errno);
}

/// Ends this process. A SIGKILL of its own is what the filter allows.
fn end() -> ! {
    // SAFETY: they take numbers, and the second does not return.
    unsafe {
        libc::kill(libc::getpid(), libc::SIGKILL);
        libc::_exit(libc::SIGKILL)
    }
}

/// How a call is answered; none where it is denied.
fn answer(call: &DeniedCall, context: &mut libc::ucontext_t) -> Option<i64> {
    let error = |errno: c_int| Some(-i64::from(errno));
    let [first, second, third, fourth, ..] = call.arguments;
    match call.number {
        libc::SYS_rt_sigprocmask => {
            if THREADS_MAX.load(Ordering::Relaxed) > 0 && has_too_many_threads() {
                record_denial(libc::SYS_clone.cast_unsigned(), &[], (&raw mut *context).cast());
                end();
            }
            return Some(set_mask(first, second, third, context));
        }
        libc::SYS_newfstatat if fourth == AT_EMPTY_PATH && is_empty_text(second) => {
            return Some(facts(first, third, FactsForm::Stat));
        }
        libc::SYS_statx if third & AT_EMPTY_PATH != 0 && is_empty_text(second) => {
            return Some(facts(first, call.arguments[4], FactsForm::Statx));
        }
        // The C library asks whether its output is a terminal, and goes on without an answer.
        libc::SYS_ioctl if second & 0xffff_ffff == TCGETS => return error(libc::ENOTTY),
        libc::SYS_clone3 if THREADS_MAX.load(Ordering::Relaxed) > 0 => return error(libc::ENOSYS),
        _ => {}
    }
    let is_excused = EXCUSED.load(Ordering::Relaxed) == this_thread() || own_walk().is_some();
    if is_excused || IS_QUIET.load(Ordering::Relaxed) { error(libc::EPERM) } else { None }
}

/// The number that asks for what a terminal is set to, which has another type with each C library.
const TCGETS: u64 = 0x5401;
const AT_EMPTY_PATH: u64 = libc::AT_EMPTY_PATH as u64;

/// Sets the mask of signals that the thread goes on with (rule 2), as rt_sigprocmask(2) does.
fn set_mask(how: u64, set: u64, old: u64, context: &mut libc::ucontext_t) -> i64 {
    const SIGSYS_BIT: u64 = 1 << (libc::SIGSYS - 1);
    // The kernel's mask has 64 signals, and is the beginning of the C library's.
    let mask: *mut u64 = (&raw mut context.uc_sigmask).cast();
    let pointer = |address: u64| std::ptr::with_exposed_provenance_mut::<u64>(address as usize);
    // SAFETY: the mask is of the context, and as long. A pointer of the caller's that is none makes a fault, which is the caller's, as it
    // would be in any function that it gives it to.
    unsafe {
        let before = mask.read();
        if set != 0 {
            let given = pointer(set).read_unaligned();
            let now = match how as c_int {
                libc::SIG_BLOCK => before | given,
                libc::SIG_UNBLOCK => before & !given,
                libc::SIG_SETMASK => given,
                _ => return -i64::from(libc::EINVAL),
            };
            mask.write(now & !SIGSYS_BIT);
        }
        if old != 0 {
            pointer(old).write_unaligned(before);
        }
    }
    0
}

fn is_empty_text(address: u64) -> bool {
    let mut byte = [1];
    address == 0 || (copy(address, &mut byte) == 1 && byte[0] == 0)
}

/// Reads a text up to its end, as far as there is room; returns its length.
fn read_text(address: u64, room: &mut [u8]) -> usize {
    let count = copy(address, room);
    room[..count].iter().position(|&byte| byte == 0).unwrap_or(count)
}

fn has_too_many_threads() -> bool {
    let most = THREADS_BEFORE.load(Ordering::Relaxed).saturating_add(THREADS_MAX.load(Ordering::Relaxed));
    thread_count().is_some_and(|count| count > most)
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use nix::libc;

    use super::DeniedCall;

    const ARGUMENTS: [libc::c_int; 6] =
        [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10, libc::REG_R8, libc::REG_R9];

    pub(super) fn call(context: &libc::ucontext_t) -> DeniedCall {
        let register = |register: libc::c_int| context.uc_mcontext.gregs[register as usize];
        let arguments = ARGUMENTS.map(|argument| register(argument).cast_unsigned());
        // The kernel reads 32 bits of the register.
        DeniedCall { number: (register(libc::REG_RAX) as i32).into(), arguments }
    }

    pub(super) fn set_result(context: &mut libc::ucontext_t, result: i64) {
        context.uc_mcontext.gregs[libc::REG_RAX as usize] = result;
    }
}

#[cfg(target_arch = "aarch64")]
mod registers {
    use nix::libc;

    use super::DeniedCall;

    pub(super) fn call(context: &libc::ucontext_t) -> DeniedCall {
        let registers = &context.uc_mcontext.regs;
        DeniedCall { number: (registers[8] as i32).into(), arguments: std::array::from_fn(|place| registers[place]) }
    }

    pub(super) fn set_result(context: &mut libc::ucontext_t, result: i64) {
        context.uc_mcontext.regs[0] = result.cast_unsigned();
    }
}
