//! Which process this is: whether something was made here, or in a process that this one was forked from.
//!
//! 1. A process has a number, in a place that its copies find empty. On Linux the kernel wipes that page in whatever is forked,
//!    by whatever call (`madvise(2)`, MADV_WIPEONFORK). Elsewhere a handler of `pthread_atfork` empties it, and the process id
//!    is compared too, because a bare system call runs no handler.
//! 2. The count of the numbers is copied, so a copy's number is one that none of its ancestors has had.
//! 3. A type that acts on a process, a socket or memory that processes share has the mark of where it was made. In a copy it is an
//!    error, or nothing, and it takes no lock: a thread that is not there may have held it when the process was forked. Its
//!    Drop lets go of nothing: what stays is memory of the copy alone.

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use nix::libc;

/// The place of the number, once there is one.
static PLACE: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
/// The place where the kernel wipes none.
static UNWIPED: AtomicU64 = AtomicU64::new(0);
/// The last number that was given out to this process or an ancestor.
static LAST: AtomicU64 = AtomicU64::new(0);

/// This process serves as a worker.
static IS_WORKER: AtomicBool = AtomicBool::new(false);
/// This process was forked from one that does.
static IS_FORK: AtomicBool = AtomicBool::new(false);

/// The process in which something was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForkMark {
    number: u64,
    /// Nothing where the number says it all.
    pid: u32,
}

impl ForkMark {
    /// This process.
    pub(crate) fn here() -> Self {
        let place = place();
        let pid = if is_wiped(place) { 0 } else { std::process::id() };
        let mut number = place.load(Ordering::Relaxed);
        if number == 0 {
            let new = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            number = match place.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => new,
                Err(other) => other,
            };
        }
        Self { number, pid }
    }

    /// Whether this is the process, and no copy of it.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        self.number == place().load(Ordering::Relaxed) && (self.pid == 0 || self.pid == std::process::id())
    }
}

#[inline]
fn place() -> &'static AtomicU64 {
    let place = PLACE.load(Ordering::Acquire);
    // SAFETY: it is null, or what `make_place` has stored: the address of a static, or of a page that is never unmapped, aligned
    // and only used as this atomic.
    match unsafe { place.as_ref() } {
        Some(place) => place,
        None => make_place(),
    }
}

fn is_wiped(place: &'static AtomicU64) -> bool {
    !std::ptr::eq(place, &UNWIPED)
}

#[cold]
fn make_place() -> &'static AtomicU64 {
    extern "C" fn forked() {
        UNWIPED.store(0, Ordering::Relaxed);
        if IS_WORKER.load(Ordering::Relaxed) {
            IS_FORK.store(true, Ordering::Relaxed);
        }
    }

    let new = wiped_page().unwrap_or(&UNWIPED);
    let stored = std::ptr::from_ref(new).cast_mut();
    match PLACE.compare_exchange(std::ptr::null_mut(), stored, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            // SAFETY: the handler stores to atomics, which is allowed after a fork at any moment. It fails when memory is out;
            // then the process id tells, and a worker's copy has not got the worker's memory.
            unsafe { libc::pthread_atfork(None, None, Some(forked)) };
            new
        }
        // SAFETY: another thread has stored it: see `place`. The page of this thread stays, and is none the worse for it.
        Err(other) => unsafe { &*other },
    }
}

/// A page that is zeros in whatever is forked from this process; none where the system has no such thing.
#[cfg(poolmap_linux)]
fn wiped_page() -> Option<&'static AtomicU64> {
    const BYTES: usize = size_of::<AtomicU64>();
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a mapping of its own, at an address that the kernel chooses, touches nothing that is there.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), BYTES, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page was mapped above, and nothing is in it yet.
    if unsafe { libc::madvise(page, BYTES, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: nobody knows the page.
        unsafe { libc::munmap(page, BYTES) };
        return None;
    }
    // SAFETY: the page is mapped to be read and written, aligned as pages are, zeros, and never unmapped.
    Some(unsafe { &*page.cast::<AtomicU64>() })
}

#[cfg(not(poolmap_linux))]
fn wiped_page() -> Option<&'static AtomicU64> {
    None
}

/// This process is a worker from now on: whatever is forked from it is none.
pub(super) fn mark_worker() {
    ForkMark::here();
    IS_WORKER.store(true, Ordering::Relaxed);
}

/// Whether this process was forked from a worker. Asked for each task, so it is one load.
#[inline]
pub(crate) fn is_fork() -> bool {
    IS_FORK.load(Ordering::Relaxed)
}

/// Ends this process without anything of the program's being run: it was forked by code that a thread of this crate's ran, in a
/// process where that thread belongs to a worker or a pool.
pub(crate) fn exit_fork() -> ! {
    // SAFETY: it takes a number, and does not come back.
    unsafe { libc::_exit(0) }
}

/// A value that each process has its own of: a copy of the process makes it anew, and never touches that of its parent, whose
/// locks may be held by threads that the copy has not got.
pub(crate) struct PerProcess<T: 'static> {
    made: AtomicPtr<Made<T>>,
}

struct Made<T> {
    mark: ForkMark,
    value: T,
}

impl<T: Default + Send + Sync + 'static> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { made: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// That of this process. It lives as long as the process.
    pub(crate) fn get(&self) -> &'static T {
        let made = self.made.load(Ordering::Acquire);
        if let Some(value) = here(made) {
            return value;
        }
        let new = Box::into_raw(Box::new(Made { mark: ForkMark::here(), value: T::default() }));
        match self.made.compare_exchange(made, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it was made above, is shared from now on, and never freed.
            Ok(_) => unsafe { &(*new).value },
            Err(other) => {
                // SAFETY: nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
                here(other).expect("what another thread of this process has just made")
            }
        }
    }
}

/// Returns the value, if it was made in this process.
fn here<T>(made: *mut Made<T>) -> Option<&'static T> {
    // SAFETY: it is null, or what `get` has stored: a box that is never freed, and never borrowed mutably.
    let made: Option<&'static Made<T>> = unsafe { made.as_ref() };
    made.filter(|made| made.mark.is_here()).map(|made| &made.value)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Runs something in a copy of this process; returns what it returns. It must not allocate: another thread's lock is held.
    fn in_copy(raw: bool, run: impl FnOnce() -> bool) -> bool {
        // SAFETY: the copy runs `run`, which takes no lock that a thread of this process may hold, and ends.
        let pid = unsafe { if raw { raw_fork() } else { libc::fork() } };
        if pid == 0 {
            let code = i32::from(!run());
            // SAFETY: it takes a number, and does not come back.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: the pointer is to a number of ours.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
    }

    /// A fork that runs no handlers.
    #[cfg(target_os = "linux")]
    unsafe fn raw_fork() -> libc::pid_t {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: the caller's; the call takes numbers and null pointers.
        unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, none, none, none, none) as libc::pid_t }
    }

    #[cfg(not(target_os = "linux"))]
    unsafe fn raw_fork() -> libc::pid_t {
        // SAFETY: the caller's.
        unsafe { libc::fork() }
    }

    #[test]
    fn a_mark_is_of_one_process() {
        let mark = ForkMark::here();
        assert!(mark.is_here() && ForkMark::here() == mark);
        for raw in [false, true] {
            let is_told = in_copy(raw, || {
                let is_copy = !mark.is_here();
                let own = ForkMark::here();
                let in_third = in_copy(raw, || !mark.is_here() && !own.is_here() && ForkMark::here() != own);
                is_copy && own != mark && own.is_here() && !mark.is_here() && in_third
            });
            assert!(is_told);
        }
        assert!(mark.is_here() && ForkMark::here() == mark);
    }

    #[test]
    fn a_copy_has_its_own_of_what_each_process_has() {
        static VALUE: PerProcess<Mutex<u32>> = PerProcess::new();

        let value = VALUE.get();
        assert!(std::ptr::eq(value, VALUE.get()));
        let mut locked = value.lock().unwrap();
        *locked = 7;
        let is_new = in_copy(false, || VALUE.get().try_lock().is_ok_and(|value| *value == 0));
        drop(locked);
        assert!(is_new && *value.lock().unwrap() == 7);
    }
}
