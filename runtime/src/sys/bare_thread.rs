//! A thread that does nothing but wait for a system call's end: it has a small stack and no more. One of std's also has a name, a stack
//! for handlers of signals, a record of where its stack ends, and an arena of the allocator's as soon as it allocates: in a process that
//! lives for one task that is more than the task takes.

use std::io;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

/// More than a few frames and the registers that a handler of the C library's saves (11 KiB with the largest).
const STACK_BYTES: usize = 64 << 10;

/// Starts a thread that runs this, with all signals blocked. It must not panic, and should not allocate.
///
/// # Errors
///
/// The system refused the thread.
pub(crate) fn start_bare_thread<F: FnOnce() + Send + 'static>(run: F) -> io::Result<()> {
    // A handler of the program's needs a larger stack: signals go to the other threads.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let argument = Box::into_raw(Box::new(run));
    // Where the variables of threads take more than that, the system's own size does.
    let started = create(Some(STACK_BYTES), argument).or_else(|refused| match refused {
        Errno::EINVAL => create(None, argument),
        refused => Err(refused),
    });
    let restored = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    if let Err(refused) = started {
        // SAFETY: it came of a box above, and no thread was started that has it.
        drop(unsafe { Box::from_raw(argument) });
        return Err(refused.into());
    }
    Ok(restored?)
}

/// Starts the thread, which takes the argument over if this succeeds.
fn create<F: FnOnce() + Send + 'static>(stack_bytes: Option<usize>, argument: *mut F) -> Result<(), Errno> {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = std::mem::MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the attributes are room of ours, which the first call fills in; they are used no more after they are destroyed. Without a
    // guard the stack is one mapping; what runs on it is known. `enter` takes what the argument is.
    unsafe {
        let checked = |result| if result == 0 { Ok(()) } else { Err(Errno::from_raw(result)) };
        checked(libc::pthread_attr_init(attributes.as_mut_ptr()))?;
        let mut result = libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
        if let Some(bytes) = stack_bytes
            && result == 0
        {
            result = libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), bytes);
            // Not every system's has a declaration in the crate `libc`.
            #[cfg(target_os = "linux")]
            if result == 0 {
                result = libc::pthread_attr_setguardsize(attributes.as_mut_ptr(), 0);
            }
        }
        if result == 0 {
            result = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), enter::<F>, argument.cast());
        }
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        checked(result)
    }
}

extern "C" fn enter<F: FnOnce() + Send + 'static>(argument: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: it is the box that `start_bare_thread` has made for this thread alone.
    let run = unsafe { Box::from_raw(argument.cast::<F>()) };
    run();
    std::ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_thread_runs_what_it_is_given_with_signals_blocked() {
        let (send, received) = std::sync::mpsc::channel();
        start_bare_thread(move || send.send(SigSet::thread_get_mask().unwrap()).unwrap()).unwrap();
        let mask = received.recv().unwrap();
        assert!(mask.contains(nix::sys::signal::SIGTERM) && mask.contains(nix::sys::signal::SIGUSR1));
        assert!(!SigSet::thread_get_mask().unwrap().contains(nix::sys::signal::SIGUSR1), "the mask is put back");
    }
}
