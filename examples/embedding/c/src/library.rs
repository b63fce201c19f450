//! A library for C: each call runs in a process of the worker program.

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;

use jobs::length;
use poolmap::Pool;

/// Makes a pool of processes of this program, or returns null and prints why there is none.
///
/// # Safety
///
/// The program is a string of C's, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jobs_open(program: *const c_char) -> Option<Box<Pool>> {
    let mut builder = Pool::builder().workers(2);
    if !program.is_null() {
        // SAFETY: the caller's promise.
        builder = builder.program(OsStr::from_bytes(unsafe { CStr::from_ptr(program) }.to_bytes()));
    }
    let pool = builder.build().and_then(|pool| pool.ready().map(|()| pool));
    pool.inspect_err(|error| println!("{error:#}")).ok().map(Box::new)
}

/// Returns the length of a text, or -1 and prints what happened to the task.
///
/// # Safety
///
/// The text is a string of C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jobs_length(pool: &Pool, text: *const c_char) -> i64 {
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    let length = pool.apply(length { text });
    length.inspect_err(|error| println!("{error:#}")).map_or(-1, |length| length as i64)
}

/// Ends the pool.
#[unsafe(no_mangle)]
pub extern "C" fn jobs_close(pool: Option<Box<Pool>>) {
    drop(pool);
}
