//! The channel to the parent, and the memory that it shares: more than `tests/hostile_worker.rs` does to them at random, these do on
//! purpose.

use nix::libc::*;

use super::Ends::{Crashed, Denied, Ended, EndedOrDenied, Passing, Refused};
use super::{Attempt, attempt, call, mappings, parent, wait};

const CHANNEL: usize = 3;

/// Sends a byte, with something of a kind beside it.
fn send_beside(kind: c_int, beside: &[i32]) -> i64 {
    let byte = [0_u8];
    let part = iovec { iov_base: byte.as_ptr().cast_mut().cast(), iov_len: 1 };
    let mut room = [0_u64; 128];
    let bytes = size_of_val(beside);
    // SAFETY: there is none: it is an attack. (The room is aligned, and has more than 253 numbers and a header.)
    unsafe {
        let mut message: msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = ((&raw const part).cast_mut(), 1);
        message.msg_control = room.as_mut_ptr().cast();
        message.msg_controllen = CMSG_SPACE(bytes as u32) as usize;
        let header = CMSG_FIRSTHDR(&raw const message);
        ((*header).cmsg_level, (*header).cmsg_type) = (SOL_SOCKET, kind);
        (*header).cmsg_len = CMSG_LEN(bytes as u32) as usize;
        std::ptr::copy_nonoverlapping(beside.as_ptr().cast(), CMSG_DATA(header), bytes);
        call(SYS_sendmsg, [CHANNEL, (&raw const message).addr(), (MSG_DONTWAIT | MSG_NOSIGNAL) as usize])
    }
}

/// The memory that this worker and its parent both write.
fn rings() -> Vec<(usize, usize)> {
    mappings()
        .into_iter()
        .filter(|mapping| mapping.rights == "rw-s")
        .map(|mapping| (mapping.begin, mapping.end))
        .collect()
}

/// The memory that the parent alone writes.
fn arguments() -> usize {
    let all = mappings();
    all.iter().find(|mapping| mapping.rights == "r--s").map_or(0, |mapping| mapping.begin)
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("descriptors to the parent", Ended, || {
        for _ in 0..50 {
            send_beside(SCM_RIGHTS, &[0; 253]);
            send_beside(SCM_RIGHTS, &[CHANNEL as i32; 100]);
        }
        wait()
    }),
    attempt("the name of the parent", Refused(EPERM), || send_beside(SCM_CREDENTIALS, &[parent() as i32, 0, 0])),
    attempt("no channel", Ended, || call(SYS_close, [CHANNEL]).max(wait())),
    attempt("no descriptor", EndedOrDenied, || call(SYS_close_range, [0, usize::MAX, 0]).max(wait())),
    attempt("read for the parent", Ended, || {
        let mut room = [0_u8; 4096];
        for _ in 0..100 {
            call(SYS_recvfrom, [CHANNEL, room.as_mut_ptr().addr(), room.len(), MSG_DONTWAIT as usize, 0, 0]);
        }
        wait()
    }),
    attempt("half of a channel", Ended, || call(SYS_shutdown, [CHANNEL, SHUT_WR as usize]).max(wait())),
    attempt("shorter memory for the parent", Denied("ftruncate"), || call(SYS_ftruncate, [CHANNEL, 4096])),
    attempt("longer memory", Denied("fallocate"), || call(SYS_fallocate, [CHANNEL, 0, 0, 1 << 30])),
    attempt("a hole for the parent", Ended, || {
        for (begin, end) in rings() {
            call(SYS_madvise, [begin, end - begin, MADV_REMOVE as usize]);
        }
        wait()
    }),
    attempt("nothing but ones for the parent", Ended, || {
        for (begin, end) in rings() {
            // SAFETY: there is none: it is an attack.
            unsafe { std::ptr::write_bytes(std::ptr::with_exposed_provenance_mut::<u8>(begin), 0xff, end - begin) };
        }
        wait()
    }),
    attempt("arguments that can be written", Refused(EACCES), || {
        call(SYS_mprotect, [arguments(), 4096, (PROT_READ | PROT_WRITE) as usize])
    }),
    attempt("arguments that are gone", Refused(EACCES), || {
        call(SYS_madvise, [arguments(), 4096, MADV_REMOVE as usize])
    }),
    attempt("no shared memory", Crashed, || {
        for mapping in mappings().into_iter().filter(|mapping| mapping.rights.ends_with('s')) {
            call(SYS_munmap, [mapping.begin, mapping.end - mapping.begin]);
        }
        0
    }),
    // An error that depends on how the kernel was built.
    attempt("a poisoned page", Passing, || {
        let begin = rings().first().map_or(0, |(begin, _)| *begin);
        call(SYS_madvise, [begin, 4096, MADV_HWPOISON as usize])
    }),
    attempt("an end of the thread", Ended, || call(SYS_exit, [0])),
];
