//! The calls of this thread, walked up from a signal's handler, so without memory. It knows nothing of what they are wanted for.
//!
//! The walk reads the tables by which exceptions are thrown, so it needs no frame pointers. It takes no lock where the C library finds
//! these tables without one (glibc 2.35 and later: `_dl_find_object`); elsewhere the loader's lock may be held, and the walk may hang.

use std::ops::ControlFlow;

/// A call of this thread.
pub(super) struct NativeCall {
    /// Where it goes back to; of a function that a signal has met with, the instruction that it was at.
    pub(super) next: usize,
    pub(super) is_interrupted: bool,
}

impl NativeCall {
    /// An address inside of the instruction that the function is at.
    pub(super) fn instruction(&self) -> usize {
        if self.is_interrupted { self.next } else { self.next.wrapping_sub(1) }
    }

    /// Whether it is a call of what Rust calls when an allocation fails. False where the functions in between do not tell how they
    /// are left.
    pub(super) fn is_allocation_error(&self) -> bool {
        let wanted = std::alloc::handle_alloc_error as fn(std::alloc::Layout) -> ! as *const ();
        unwinder::function_of(self.instruction()) == wanted.addr()
    }
}

/// The handler's own calls, those that are recorded, and some that a failed allocation makes.
const CALLS_MAX: u32 = 200;

/// Gives each call of this thread to `on_call`, the innermost first, until that breaks, and at most 200. What the walk reads of a
/// broken stack may be a signal, for which the caller is prepared.
pub(super) fn walk(mut on_call: impl FnMut(&NativeCall) -> ControlFlow<()>) {
    let mut left = CALLS_MAX;
    unwinder::walk(&mut |call| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { on_call(call) }
    });
}

// The library that std itself unwinds with, so it is linked: the base interface of <https://itanium-cxx-abi.github.io/cxx-abi/abi-eh.html>.
#[cfg(not(target_arch = "arm"))]
mod unwinder {
    use std::ops::ControlFlow;

    use nix::libc::{c_int, c_void};

    use super::NativeCall;

    unsafe extern "C" {
        fn _Unwind_Backtrace(
            on_frame: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
            argument: *mut c_void,
        ) -> c_int;
        fn _Unwind_GetIPInfo(frame: *mut c_void, is_interrupted: *mut c_int) -> usize;
        fn _Unwind_FindEnclosingFunction(address: *mut c_void) -> *mut c_void;
    }

    const GO_ON: c_int = 0;
    const STOP: c_int = 4;

    type OnCall<'a> = &'a mut dyn FnMut(&NativeCall) -> ControlFlow<()>;

    pub(super) fn walk(mut on_call: OnCall<'_>) {
        // SAFETY: the function matches the interface, and the pointer is to what it expects, which lives through the call. The walk
        // takes no memory.
        unsafe { _Unwind_Backtrace(on_frame, (&raw mut on_call).cast()) };
    }

    extern "C" fn on_frame(frame: *mut c_void, on_call: *mut c_void) -> c_int {
        let mut is_interrupted = 0;
        // SAFETY: the frame is the one that the walk is at, and the other a place of ours.
        let next = unsafe { _Unwind_GetIPInfo(frame, &raw mut is_interrupted) };
        // SAFETY: it is the pointer that was given to the walk, which nothing else uses meanwhile.
        let on_call = unsafe { &mut *on_call.cast::<OnCall<'_>>() };
        if on_call(&NativeCall { next, is_interrupted: is_interrupted != 0 }).is_break() { STOP } else { GO_ON }
    }

    /// The beginning of the function that an address is in; 0 where that is not known.
    pub(super) fn function_of(address: usize) -> usize {
        // SAFETY: the address is looked up, and not read.
        unsafe { _Unwind_FindEnclosingFunction(std::ptr::without_provenance_mut(address)) }.addr()
    }
}

/// Its interface is another.
#[cfg(target_arch = "arm")]
mod unwinder {
    use std::ops::ControlFlow;

    use super::NativeCall;

    pub(super) fn walk(_on_call: &mut dyn FnMut(&NativeCall) -> ControlFlow<()>) {}

    pub(super) fn function_of(_address: usize) -> usize {
        0
    }
}
