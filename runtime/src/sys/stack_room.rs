//! How much of its stack a thread has left. It knows nothing of who asks.

use std::cell::Cell;
use std::ops::Range;

thread_local! {
    /// Where this thread's stack lies: found once, and empty at [`UNKNOWN`] where the system does not report. It has no destructor,
    /// so it is there in other destructors too.
    static BOUNDS: Cell<(usize, usize)> = const { Cell::new(NOT_ASKED) };
}

const NOT_ASKED: (usize, usize) = (0, 0);
const UNKNOWN: (usize, usize) = (1, 1);

/// The rest of a stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackRoom {
    /// Where the frame that asked lies.
    pub(crate) here: usize,
    /// The bytes below the frame that asked.
    pub(crate) left: usize,
    /// The bytes of the whole stack.
    pub(crate) whole: usize,
}

/// Measures what is left of this thread's stack. `None` where the system does not report, and on a stack that the program has made
/// and switched to itself.
pub(crate) fn stack_room() -> Option<StackRoom> {
    let local = 0u8;
    let here = (&raw const local).addr();
    let mut bounds = BOUNDS.get();
    if bounds == NOT_ASKED {
        bounds = bounds_of_this_thread().map_or(UNKNOWN, |bounds| (bounds.start, bounds.end));
        BOUNDS.set(bounds);
    }
    let (lowest, highest) = bounds;
    (lowest..highest).contains(&here).then(|| StackRoom { here, left: here - lowest, whole: highest - lowest })
}

#[cfg(all(any(target_os = "linux", target_os = "android", target_os = "freebsd"), not(miri)))]
fn bounds_of_this_thread() -> Option<Range<usize>> {
    use nix::libc;

    // SAFETY: the value is valid as zeroes (on Linux plain numbers, on FreeBSD a null pointer), and is used only once one of the
    // calls below has made it attributes.
    let mut attributes: libc::pthread_attr_t = unsafe { std::mem::zeroed() };
    // SAFETY: the thread is this one, and the attributes are room of ours.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let failed = unsafe { libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) };
    // SAFETY: the attributes are room of ours; the second call is made only after the first has made them attributes.
    #[cfg(target_os = "freebsd")]
    let failed = unsafe {
        match libc::pthread_attr_init(&raw mut attributes) {
            0 => match libc::pthread_attr_get_np(libc::pthread_self(), &raw mut attributes) {
                0 => 0,
                failed => {
                    libc::pthread_attr_destroy(&raw mut attributes);
                    failed
                }
            },
            failed => failed,
        }
    };
    if failed != 0 {
        return None;
    }
    let (mut lowest, mut bytes, mut guard_bytes) = (std::ptr::null_mut(), 0, 0);
    // SAFETY: the attributes were made by the calls above, and are used no more after they are destroyed; the other pointers are
    // to places of ours.
    let failed = unsafe {
        let failed = libc::pthread_attr_getstack(&raw const attributes, &raw mut lowest, &raw mut bytes)
            | libc::pthread_attr_getguardsize(&raw const attributes, &raw mut guard_bytes);
        libc::pthread_attr_destroy(&raw mut attributes);
        failed
    };
    if failed != 0 {
        return None;
    }
    let highest = lowest.addr().checked_add(bytes)?;
    // glibc has counted the guard as a part of the stack, and as none (pthread_attr_getguardsize(3)).
    let mut lowest = lowest.addr().saturating_add(guard_bytes);
    if let Some(limit) = first_thread_stack_bytes() {
        // The first thread's stack grows up to that, and musl tells only how far it has grown. glibc tells the limit, but no more
        // than there is address space for.
        let by_limit = highest.saturating_sub(limit);
        lowest = if cfg!(target_env = "gnu") { lowest.max(by_limit) } else { by_limit };
    }
    Some(lowest..highest)
}

/// The bytes that the first thread's stack may grow to, if this is the first thread and they are limited.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
fn first_thread_stack_bytes() -> Option<usize> {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

    if nix::unistd::gettid() != nix::unistd::getpid() || super::beside::is_copy() {
        return None;
    }
    let (soft, _) = getrlimit(Resource::RLIMIT_STACK).ok()?;
    (soft != RLIM_INFINITY).then(|| usize::try_from(soft).ok()).flatten()
}

/// FreeBSD reserves the first thread's stack as a whole.
#[cfg(target_os = "freebsd")]
fn first_thread_stack_bytes() -> Option<usize> {
    None
}

#[cfg(all(target_vendor = "apple", not(miri)))]
fn bounds_of_this_thread() -> Option<Range<usize>> {
    use nix::libc;

    // SAFETY: both ask for what belongs to this thread, and touch no memory of ours.
    let (highest, bytes) = unsafe {
        let thread = libc::pthread_self();
        (libc::pthread_get_stackaddr_np(thread), libc::pthread_get_stacksize_np(thread))
    };
    let highest = highest.addr();
    Some(highest.checked_sub(bytes)?..highest)
}

/// An interpreter has no stack of the system's.
#[cfg(any(miri, not(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_vendor = "apple"))))]
fn bounds_of_this_thread() -> Option<Range<usize>> {
    None
}

#[cfg(test)]
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "the interpreter has no stack of the system's")]
    fn a_thread_has_the_stack_that_it_was_given_and_less_of_it_inside_a_call() {
        #[inline(never)]
        fn inside() -> StackRoom {
            let room = black_box([0u8; 16 << 10]);
            let inside = stack_room().unwrap();
            black_box(room);
            inside
        }
        for bytes in [256 << 10, 1 << 20] {
            let measured = std::thread::Builder::new().stack_size(bytes).spawn(|| (stack_room().unwrap(), inside()));
            let (outside, inside) = measured.unwrap().join().unwrap();
            assert!(outside.whole >= bytes - (16 << 10) && outside.left <= outside.whole, "{bytes}: {outside:?}");
            assert!(outside.left - inside.left >= 16 << 10, "{outside:?} {inside:?}");
        }
    }
}
