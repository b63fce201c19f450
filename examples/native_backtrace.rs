//! Where a worker was when C code crashed in it, and where a task was when its time limit ended it. By itself this prints files and
//! offsets, for `addr2line -e FILE OFFSET`. The feature `backtrace` of poolmap adds the names, files and lines.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use poolmap::{TaskErrorKind, pool_try_map, worker};

// SAFETY: these are their declarations in C's <string.h>.
unsafe extern "C" {
    fn memset(to: *mut c_void, byte: i32, bytes: usize) -> *mut c_void;
    fn strlen(text: *const c_char) -> usize;
}

/// Calls C with a pointer that is none, or waits for what never comes.
#[worker]
#[inline(never)]
fn parse(record: u32) -> usize {
    let nothing: *mut c_char = std::hint::black_box(std::ptr::null_mut());
    match record {
        // SAFETY: there is none: it is the crash that this example is about, and it is the worker that it ends.
        13 => unsafe { strlen(memset(nothing.cast(), 1, 64).cast()) },
        14 => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        _ => record as usize,
    }
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let outcomes = pool_try_map!(parse, 12..=14u32; timeout = Duration::from_millis(200))?;
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        println!("{error}");
        let calls = error.native_backtrace();
        println!("{}", calls.unwrap_or("(where it was is not known)\n"));
        // Linux says where it crashed: in this program, or by name in its function. A worker over its limit has 50 ms to say so.
        if matches!(error.kind(), TaskErrorKind::Crashed { .. }) {
            assert_eq!(calls.is_some_and(|calls| calls.contains("native_backtrace")), cfg!(target_os = "linux"));
        }
    }
    println!("the others have their results: {:?}", outcomes[0].as_ref().ok());
    Ok(())
}
