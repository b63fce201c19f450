//! What is run when the program ends by the end of `main` or by `exit`.

use std::sync::OnceLock;

use nix::libc;

static ACTION: OnceLock<fn(i32)> = OnceLock::new();

fn run(code: i32) {
    if let Some(action) = ACTION.get() {
        // A panic must not leave a function of C's.
        let _ = std::panic::catch_unwind(|| action(code));
    }
}

/// Runs this with the exit code when the program ends by the end of `main` or by `exit`; with 1 where the C library does not tell the code.
/// There is one such action in a program.
pub(crate) fn at_exit(action: fn(i32)) {
    if ACTION.set(action).is_ok() {
        register();
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn register() {
    unsafe extern "C" {
        /// See `on_exit(3)`.
        fn on_exit(function: extern "C" fn(libc::c_int, *mut libc::c_void), argument: *mut libc::c_void)
        -> libc::c_int;
    }

    extern "C" fn ended(code: libc::c_int, _argument: *mut libc::c_void) {
        run(code);
    }

    // SAFETY: the function has the type that the C library calls, looks at no argument, and does not unwind.
    unsafe { on_exit(ended, std::ptr::null_mut()) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn register() {
    extern "C" fn ended() {
        run(1);
    }

    // SAFETY: the function takes no arguments and does not unwind.
    unsafe { libc::atexit(ended) };
}
