//! The place at which a signal has met with a thread. Where the processor is not known, it is the walk up the stack that finds it.

use nix::libc::c_void;

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) use known::interrupted;

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod known {
    use nix::libc;

    use super::c_void;

    /// The registers of a thread that a signal has met with, which are set when its handler returns.
    pub(in crate::sys) struct Interrupted<'a>(&'a mut libc::mcontext_t);

    /// What the system gave to a handler.
    ///
    /// # Safety
    ///
    /// The pointer is the third argument of a handler that was set with SA_SIGINFO, and the handler has not returned. Nothing else
    /// uses what it points to while the registers are held.
    pub(in crate::sys) unsafe fn interrupted<'a>(context: *mut c_void) -> Option<Interrupted<'a>> {
        // SAFETY: the caller answers for it.
        let context = unsafe { context.cast::<libc::ucontext_t>().as_mut() }?;
        Some(Interrupted(&mut context.uc_mcontext))
    }

    #[cfg(target_arch = "x86_64")]
    impl Interrupted<'_> {
        /// The address of the instruction.
        pub(in crate::sys) fn instruction(&self) -> usize {
            self.0.gregs[libc::REG_RIP as usize].cast_unsigned() as usize
        }

        /// Walks from where the running function was called, as if that had just returned to it: the address to go back to is on
        /// top of the stack.
        pub(in crate::sys) fn with_caller<T>(&mut self, walk: impl FnOnce() -> T) -> T {
            let registers = &mut self.0.gregs;
            let (instruction, stack) = (registers[libc::REG_RIP as usize], registers[libc::REG_RSP as usize]);
            let top: *const i64 = std::ptr::with_exposed_provenance(stack.cast_unsigned() as usize);
            // SAFETY: there is none but that a fault ends the walk, for which it is prepared: the register may hold anything.
            let back = unsafe { top.read_unaligned() };
            (registers[libc::REG_RIP as usize], registers[libc::REG_RSP as usize]) = (back, stack.wrapping_add(8));
            let walked = walk();
            let registers = &mut self.0.gregs;
            (registers[libc::REG_RIP as usize], registers[libc::REG_RSP as usize]) = (instruction, stack);
            walked
        }
    }

    #[cfg(target_arch = "aarch64")]
    impl Interrupted<'_> {
        /// The address of the instruction.
        pub(in crate::sys) fn instruction(&self) -> usize {
            self.0.pc as usize
        }

        /// Walks from where the running function was called, as if that had just returned to it: the address to go back to is in
        /// the register for it.
        pub(in crate::sys) fn with_caller<T>(&mut self, walk: impl FnOnce() -> T) -> T {
            let instruction = std::mem::replace(&mut self.0.pc, self.0.regs[30]);
            let walked = walk();
            self.0.pc = instruction;
            walked
        }
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(super) struct Interrupted;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
impl Interrupted {
    /// The address of the instruction: not known.
    pub(super) fn instruction(&self) -> usize {
        0
    }

    /// Walks as it is.
    pub(super) fn with_caller<T>(&mut self, walk: impl FnOnce() -> T) -> T {
        walk()
    }
}

/// Not known.
///
/// # Safety
///
/// There is nothing to be kept.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(super) unsafe fn interrupted(_context: *mut c_void) -> Option<Interrupted> {
    None
}
