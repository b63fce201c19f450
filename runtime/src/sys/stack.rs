//! The stacks of the thread that runs the tasks: where its own ends, and another for the handlers of signals, which run also
//! when the first is full.

use std::io;
use std::ops::Range;

use nix::libc;
use nix::sys::mman::{ProtFlags, mprotect};

use super::memory::Mapping;
use super::page::page_bytes;

/// Room for a frame with all registers (3 to 11 KiB on x86-64), and for a walk up the stack. std's own has 8 KiB.
const ALTERNATE_BYTES: usize = 64 << 10;

/// Gives this thread another stack for handlers. It stays for as long as the process lives.
pub(super) fn use_alternate_stack() -> io::Result<()> {
    let guard_bytes = page_bytes();
    let memory = Mapping::private(guard_bytes + ALTERNATE_BYTES)?;
    let lowest = std::ptr::NonNull::new(memory.address(0).cast()).ok_or(io::ErrorKind::Other)?;
    // SAFETY: the page is the first of a mapping that was just made, and that nothing else knows.
    unsafe { mprotect(lowest, guard_bytes, ProtFlags::PROT_NONE) }?;
    let stack = libc::stack_t { ss_sp: memory.address(guard_bytes).cast(), ss_flags: 0, ss_size: ALTERNATE_BYTES };
    // SAFETY: the memory is mapped, nothing else knows it, and it is never unmapped once this has succeeded. std, which gave
    // the thread a stack like this, takes it away when the thread ends, whichever it is then.
    let result = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    nix::errno::Errno::result(result)?;
    std::mem::forget(memory);
    Ok(())
}

/// Whether the handler that calls this may call another: not on the small stack that std gives a thread for handlers.
pub(super) fn has_room_for_handlers() -> bool {
    let mut stack = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: it writes to a place of ours, and a null pointer is allowed for the stack that is not to be changed.
    let result = unsafe { libc::sigaltstack(std::ptr::null(), &raw mut stack) };
    result == 0 && (stack.ss_flags & libc::SS_ONSTACK == 0 || stack.ss_size >= ALTERNATE_BYTES)
}

/// Whether the handler that calls this may walk up the stack: on the small stack that std gives a thread for handlers, its registers may
/// have left too little.
pub(super) fn has_room_for_walk() -> bool {
    let mut stack = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: as above.
    let result = unsafe { libc::sigaltstack(std::ptr::null(), &raw mut stack) };
    let here = (&raw const stack).addr();
    result == 0 && (stack.ss_flags & libc::SS_ONSTACK == 0 || here.saturating_sub(stack.ss_sp.addr()) >= WALK_BYTES)
}

/// A walk takes some 2 KiB (measured with libgcc of GCC 12 on x86-64).
const WALK_BYTES: usize = 3 << 10;

/// Where what overflows this thread's stack ends up: the pages around its lower end, of which those that belong to the stack
/// make no fault.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn guard() -> Option<Range<usize>> {
    let mut attributes = std::mem::MaybeUninit::uninit();
    // SAFETY: the thread is this one, and the attributes are room of ours.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let (mut lowest, mut bytes, mut guard_bytes) = (std::ptr::null_mut(), 0, 0);
    // SAFETY: the attributes were written by the call above, and are used no more after they are destroyed; the other pointers
    // are to places of ours.
    let failed = unsafe {
        let failed = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut lowest, &raw mut bytes)
            | libc::pthread_attr_getguardsize(attributes.as_ptr(), &raw mut guard_bytes);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        failed
    };
    // glibc has counted the guard as a part of the stack, and as none (pthread_attr_getguardsize(3)).
    (failed == 0).then(|| lowest.addr().saturating_sub(guard_bytes)..lowest.addr().saturating_add(guard_bytes))
}

#[cfg(target_vendor = "apple")]
pub(super) fn guard() -> Option<Range<usize>> {
    // SAFETY: both ask for what belongs to this thread, and touch no memory of ours.
    let (highest, bytes) = unsafe {
        let thread = libc::pthread_self();
        (libc::pthread_get_stackaddr_np(thread), libc::pthread_get_stacksize_np(thread))
    };
    let lowest = highest.addr().checked_sub(bytes)?;
    Some(lowest.saturating_sub(page_bytes())..lowest)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(super) fn guard() -> Option<Range<usize>> {
    None
}
