//! What a worker does to itself before it raises the walls: it forgets its environment, and is not to be looked into.

use std::ffi::{CStr, c_char};
use std::io;

use nix::libc;

/// The only variable that stays: a panic looks for it.
const KEPT: &str = "RUST_BACKTRACE";

/// Forgets the environment. No thread but those of ours is expected to use it: what the C library returns for a name is overwritten here,
/// where it is of the environment that the process was started with.
pub(crate) fn clear_environment() {
    let kept = std::env::var_os(KEPT);
    // SAFETY: the variable of the C library is a list that ends with a null pointer, or null. What `getauxval` returns is the address of
    // a text behind those that the kernel put there.
    unsafe {
        let end = libc::getauxval(libc::AT_EXECFN) as usize;
        let mut variable = environ;
        while !variable.is_null() && !(*variable).is_null() {
            let text = *variable;
            // The kernel puts it in front of the program's name, into at most a quarter of 8 MiB (execve(2)); what was set later is
            // elsewhere, and may not be written.
            if (end.saturating_sub(6 << 20)..end).contains(&text.addr()) {
                let length = CStr::from_ptr(text).count_bytes();
                std::ptr::write_bytes(text, 0, length);
            }
            variable = variable.add(1);
        }
        libc::clearenv();
        if let Some(kept) = kept {
            std::env::set_var(KEPT, kept);
        }
    }
}

// SAFETY: it is the declaration of environ(7).
unsafe extern "C" {
    static mut environ: *mut *mut c_char;
}

/// No core dump is written of this process, and no other of its user may look into it (prctl(2), PR_SET_DUMPABLE).
pub(crate) fn forbid_dumps() -> io::Result<()> {
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}
