//! Whether this thread is in the middle of a failed allocation: walked up from a signal's handler, so without memory and locks.

use nix::libc::{c_int, c_void};

/// Between the handler and what called it lie the abort, and what std puts around it: some ten frames.
const FRAMES_MAX: u32 = 64;

const GO_ON: c_int = 0;
const STOP: c_int = 4;

// The library that std itself unwinds with, so it is linked: the base interface of <https://itanium-cxx-abi.github.io/cxx-abi/abi-eh.html>.
#[cfg(not(target_arch = "arm"))]
unsafe extern "C" {
    fn _Unwind_Backtrace(on_frame: extern "C" fn(*mut c_void, *mut c_void) -> c_int, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIP(frame: *mut c_void) -> usize;
    fn _Unwind_FindEnclosingFunction(address: *mut c_void) -> *mut c_void;
}

struct Walk {
    frames: u32,
    is_found: bool,
}

/// Whether this was called, however far down, by what Rust calls when an allocation fails. False where the functions in between
/// do not tell how they are left.
#[cfg(not(target_arch = "arm"))]
pub(super) fn is_in_allocation_error() -> bool {
    let mut walk = Walk { frames: 0, is_found: false };
    // SAFETY: the function matches the interface, and the pointer is to what it expects, which lives through the call. The walk
    // takes no memory, and what it reads of a broken stack is a signal, for which the caller is prepared.
    unsafe { _Unwind_Backtrace(on_frame, (&raw mut walk).cast()) };
    walk.is_found
}

/// Its interface is another.
#[cfg(target_arch = "arm")]
pub(super) fn is_in_allocation_error() -> bool {
    false
}

#[cfg(not(target_arch = "arm"))]
extern "C" fn on_frame(frame: *mut c_void, walk: *mut c_void) -> c_int {
    // SAFETY: it is the pointer that was given to the walk, which nothing else uses meanwhile.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    // SAFETY: the frame is the one that the walk is at. The address is one to go back to, so the call is the one before it; it
    // is looked up, and not read.
    let function = unsafe {
        let call = _Unwind_GetIP(frame).wrapping_sub(1);
        _Unwind_FindEnclosingFunction(std::ptr::without_provenance_mut(call))
    };
    let wanted = std::alloc::handle_alloc_error as fn(std::alloc::Layout) -> ! as *const ();
    walk.is_found = function.addr() == wanted.addr();
    walk.frames += 1;
    if walk.is_found || walk.frames >= FRAMES_MAX { STOP } else { GO_ON }
}
