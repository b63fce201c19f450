//! Memory that a limit for a worker's data does not count, and other ways to take what is not given.

use nix::libc::*;

use super::Ends::{Denied, Refused};
use super::{Attempt, attempt, call};

const RW: usize = (PROT_READ | PROT_WRITE) as usize;
const NO_FILE: usize = usize::MAX;
const PRIVATE: c_int = MAP_PRIVATE | MAP_ANONYMOUS;

pub(super) const ATTEMPTS: &[Attempt] = &[
    // The kernel counts it as a stack.
    attempt("memory that grows down", Denied("mmap"), || {
        let begin = call(SYS_mmap, [0, 1 << 30, RW, (PRIVATE | MAP_GROWSDOWN | MAP_NORESERVE) as usize, NO_FILE, 0]);
        if begin > 0 { fill(begin as usize, 1 << 30, 4096) } else { begin }
    }),
    // It is not writable, so it is no data; but each 2 MiB of it, once read, have a table of 4 KiB.
    attempt("a bomb of page tables", Refused(ENOMEM), || {
        let bytes = 1 << 40;
        let flags = (PRIVATE | MAP_NORESERVE) as usize;
        let begin = call(SYS_mmap, [0, bytes, PROT_READ as usize, flags, NO_FILE, 0]);
        if begin > 0 { read(begin as usize, bytes, 2 << 20) } else { begin }
    }),
    attempt("read-only memory that is made writable", Refused(ENOMEM), || {
        let begin = call(SYS_mmap, [0, 1 << 30, PROT_READ as usize, PRIVATE as usize, NO_FILE, 0]);
        call(SYS_mprotect, [begin as usize, 1 << 30, RW])
    }),
    attempt("memory that grows by mremap", Refused(ENOMEM), || {
        let begin = call(SYS_mmap, [0, 4096, RW, PRIVATE as usize, NO_FILE, 0]);
        call(SYS_mremap, [begin as usize, 4096, 1 << 30, MREMAP_MAYMOVE as usize])
    }),
    attempt("memory that may be dropped", Refused(ENOMEM), || {
        // MAP_DROPPABLE, of Linux 6.11.
        let begin = call(SYS_mmap, [0, 1 << 30, RW, 8 | MAP_ANONYMOUS as usize, NO_FILE, 0]);
        if begin == -i64::from(EINVAL) { -i64::from(ENOMEM) } else { begin }
    }),
];

/// Writes to each part of some memory; returns how many bytes were touched.
fn fill(begin: usize, bytes: usize, step: usize) -> i64 {
    for place in (0..bytes).step_by(step) {
        // SAFETY: the memory was mapped for it.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(begin + place).write_volatile(1) };
    }
    bytes as i64
}

/// Reads from each part of some memory; returns how many tables that took.
fn read(begin: usize, bytes: usize, step: usize) -> i64 {
    let mut count = 0;
    for place in (0..bytes).step_by(step) {
        // SAFETY: the memory was mapped for it.
        count += i64::from(unsafe { std::ptr::with_exposed_provenance::<u8>(begin + place).read_volatile() }) + 1;
    }
    count
}
