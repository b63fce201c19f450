//! The descriptors that a worker prints by: what they are open for is also the program's.

use nix::libc::*;

use super::Ends::Denied;
use super::{Attempt, attempt, call};

const STDOUT: usize = 1;
const STDERR: usize = 2;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("read the keyboard", Denied("read"), || {
        let mut room = [0_u8; 64];
        call(SYS_read, [STDOUT, room.as_mut_ptr().addr(), room.len()])
    }),
    attempt("read the keyboard in parts", Denied("readv"), || {
        let mut room = [0_u8; 64];
        let part = iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        call(SYS_readv, [STDERR, (&raw const part).addr(), 1])
    }),
    attempt("read the log", Denied("pread64"), || {
        let mut room = [0_u8; 64];
        call(SYS_pread64, [STDOUT, room.as_mut_ptr().addr(), room.len(), 0])
    }),
    attempt("write over the log", Denied("pwrite64"), || call(SYS_pwrite64, [STDERR, c"x".as_ptr().addr(), 1, 0])),
    attempt("write over the log in parts", Denied("pwritev"), || call(SYS_pwritev, [STDERR, 0, 0, 0, 0])),
    attempt("back to the beginning of the log", Denied("lseek"), || call(SYS_lseek, [STDOUT, 0, SEEK_SET as usize])),
    attempt("map the log", Denied("mmap"), || {
        call(SYS_mmap, [0, 4096, PROT_READ as usize, MAP_SHARED as usize, STDOUT, 0])
    }),
    attempt("map a copy of the log", Denied("mmap"), || {
        call(SYS_mmap, [0, 4096, PROT_READ as usize, MAP_PRIVATE as usize, STDERR, 0])
    }),
    attempt("cut the log", Denied("ftruncate"), || call(SYS_ftruncate, [STDOUT, 0])),
    attempt("a hole in the log", Denied("fallocate"), || call(SYS_fallocate, [STDOUT, 3, 0, 1 << 20])),
    attempt("another number for the output", Denied("dup"), || call(SYS_dup, [STDOUT])),
    attempt("another number by fcntl", Denied("fcntl"), || call(SYS_fcntl, [STDERR, F_DUPFD_CLOEXEC as usize, 100])),
    attempt("a lock on the log", Denied("fcntl"), || {
        let mut lock = [0_u64; 4];
        lock[0] = F_WRLCK as u64;
        call(SYS_fcntl, [STDOUT, F_OFD_SETLK as usize, lock.as_ptr().addr()])
    }),
    attempt("end the connection of the output", Denied("shutdown"), || {
        call(SYS_shutdown, [STDOUT, SHUT_RDWR as usize])
    }),
    attempt("receive by the output", Denied("recvfrom"), || {
        call(SYS_recvfrom, [STDERR, 0, 0, MSG_DONTWAIT as usize, 0, 0])
    }),
    attempt("receive descriptors by the output", Denied("recvmsg"), || call(SYS_recvmsg, [STDOUT, 0, 0])),
    attempt("send by the output", Denied("sendto"), || call(SYS_sendto, [STDERR, 0, 0, 0, 0, 0])),
    attempt("send descriptors by the output", Denied("sendmsg"), || call(SYS_sendmsg, [STDOUT, 0, 0])),
];
