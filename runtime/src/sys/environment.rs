//! The one change that a process makes to its environment.

use std::ffi::OsString;

/// Takes a variable out of this process's environment.
///
/// It is called while a worker enters: first thing in `main`, or in the one test that the worker was started for, while
/// libtest's own thread waits for that test.
pub(crate) fn take_variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: no other thread may read the environment by other means than std's, which locks it. In `main`, `init()` asks in
    // its documentation that there is none; in a test, the only other thread is libtest's, which does nothing but wait for the
    // test that this call is the first line of.
    unsafe { std::env::remove_var(name) };
    Some(value)
}
