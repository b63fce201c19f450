//! The thread that a fork server makes copies of: it becomes the task thread of each copy. So it is made once, with the stack that tasks
//! are to have, and no copy makes one (35 to 80 µs: the stack, an arena of the allocator's, the wake-up of another processor). It has run
//! nothing of the program's: what libraries keep for each thread, such as a generator of random numbers, each copy has by itself.

use std::ffi::CString;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::beside::NoMoreThreads;
use super::placement::set_thread_name;

/// What the task thread of any worker is called.
pub(crate) const TASK_THREAD_NAME: &str = "poolmap-task";

/// Goes on in another thread, with a stack of so many bytes, while this one waits for the end of the process. `go_on` ends the process.
///
/// The system shows the thread under the name of the process, as it is the first of each process that it makes.
///
/// # Errors
///
/// The system refused the thread.
pub(crate) fn go_on_in_thread(
    no_more_threads: NoMoreThreads,
    stack_bytes: usize,
    go_on: impl FnOnce(NoMoreThreads) + Send + 'static,
) -> io::Error {
    /// This thread is done with everything but waiting.
    static IS_WAITING: AtomicBool = AtomicBool::new(false);

    // That of the first thread, which is another one in a test program.
    let name = std::fs::read("/proc/self/comm").unwrap_or_default();
    let name = CString::new(name.trim_ascii_end());
    let thread = std::thread::Builder::new().name(TASK_THREAD_NAME.to_owned()).stack_size(stack_bytes);
    let spawned = thread.spawn(move || {
        if let Ok(name) = name {
            set_thread_name(&name);
        }
        // If this thread made a copy while the other is still in the allocator, then the copy would find a lock taken for ever. So the
        // proof holds here once the other thread waits.
        while !IS_WAITING.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        go_on(no_more_threads);
    });
    match spawned {
        Ok(thread) => drop(thread),
        Err(error) => return error,
    }
    IS_WAITING.store(true, Ordering::Release);
    loop {
        // It takes no lock, and comes back when a signal was handled.
        nix::unistd::pause();
    }
}
