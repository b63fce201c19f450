//! Memory that runs, that is shared, or that is too much; and what is written to the parent's own memory and channel.

use nix::libc::*;

use super::Ends::{AtLimit, Crashed, Denied, Ended};
use super::{Attempt, attempt, call, text, wait};

const PAGE: usize = 4096;
const RWX: usize = (PROT_READ | PROT_WRITE | PROT_EXEC) as usize;
const RW: usize = (PROT_READ | PROT_WRITE) as usize;
const NO_FILE: usize = usize::MAX;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("memory that runs", Denied("mmap"), || {
        call(SYS_mmap, [0, PAGE, RWX, (MAP_PRIVATE | MAP_ANONYMOUS) as usize, NO_FILE, 0])
    }),
    attempt("memory that is made to run", Denied("mprotect"), || {
        let page = call(SYS_mmap, [0, PAGE, RW, (MAP_PRIVATE | MAP_ANONYMOUS) as usize, NO_FILE, 0]);
        call(SYS_mprotect, [page as usize, PAGE, RWX])
    }),
    attempt("the same with a key", Denied("pkey_mprotect"), || call(SYS_pkey_mprotect, [0, PAGE, RWX, 0])),
    attempt("code that can be written", Denied("mprotect"), || {
        let code = (attempt as *const ()).addr() & !(PAGE - 1);
        call(SYS_mprotect, [code, PAGE, RWX])
    }),
    attempt("memory that the limit does not count", Denied("mmap"), || {
        call(SYS_mmap, [0, 1 << 30, RW, (MAP_SHARED | MAP_ANONYMOUS) as usize, NO_FILE, 0])
    }),
    attempt("a file of memory", Denied("memfd_create"), || call(SYS_memfd_create, [text(c"a"), 2])),
    attempt("secret memory", Denied("memfd_secret"), || call(SYS_memfd_secret, [0])),
    attempt("a seal", Denied("fcntl"), || call(SYS_fcntl, [4, F_ADD_SEALS as usize, F_SEAL_WRITE as usize])),
    attempt("flags of a terminal", Denied("fcntl"), || call(SYS_fcntl, [1, F_SETFL as usize, O_NONBLOCK as usize])),
    attempt("System V memory", Denied("shmget"), || call(SYS_shmget, [0, PAGE, (IPC_CREAT | 0o600) as usize])),
    attempt("System V memory of others", Denied("shmat"), || call(SYS_shmat, [0, 0, 0])),
    attempt("System V semaphores", Denied("semget"), || call(SYS_semget, [0, 1, 0o600])),
    attempt("System V messages", Denied("msgget"), || call(SYS_msgget, [0, 0o600])),
    attempt("POSIX messages", Denied("mq_open"), || {
        call(SYS_mq_open, [text(c"a"), (O_CREAT | O_RDWR) as usize, 0o600, 0])
    }),
    attempt("locked memory", Denied("mlockall"), || call(SYS_mlockall, [1])),
    attempt("another order of pages", Denied("remap_file_pages"), || call(SYS_remap_file_pages, [0, 0, 0, 0, 0])),
    attempt("a limit of its own", Denied("prlimit64"), || {
        let most = [u64::MAX; 2];
        call(SYS_prlimit64, [0, RLIMIT_DATA as usize, most.as_ptr().addr(), 0])
    }),
    attempt("the old call for a limit", Denied("setrlimit"), || {
        let most = [u64::MAX; 2];
        call(SYS_setrlimit, [RLIMIT_DATA as usize, most.as_ptr().addr()])
    }),
    attempt("pipes", Denied("pipe2"), || {
        let mut pair = [0_i32; 2];
        call(SYS_pipe2, [pair.as_mut_ptr().addr(), 0])
    }),
    attempt("pages into a pipe", Denied("vmsplice"), || call(SYS_vmsplice, [1, 0, 0, 0])),
    attempt("splice", Denied("splice"), || call(SYS_splice, [3, 0, 1, 0, 1, 0])),
    attempt("sendfile", Denied("sendfile"), || call(SYS_sendfile, [1, 0, 0, 1])),
    attempt("a bomb of memory", AtLimit, || {
        let mut all: Vec<Vec<u8>> = Vec::new();
        loop {
            all.push(vec![1; 1 << 20]);
        }
    }),
    attempt("a task without end", AtLimit, || {
        loop {
            std::hint::spin_loop();
        }
    }),
    attempt("a sleep without end", AtLimit, || call(SYS_pause, [0_usize; 0])),
    attempt("a stack without end", Crashed, || deeper(1)),
    attempt("nonsense to the parent", Ended, || {
        let nonsense = [0xff_u8; 4096];
        call(SYS_write, [3, nonsense.as_ptr().addr(), nonsense.len()]);
        call(SYS_pause, [0_usize; 0])
    }),
    attempt("a broken channel", Crashed, || call(SYS_shutdown, [3, SHUT_RDWR as usize]).max(wait())),
];

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
#[inline(never)]
fn deeper(depth: i64) -> i64 {
    let large = std::hint::black_box([depth; 1000]);
    deeper(depth.wrapping_add(large[1])).wrapping_add(large[2])
}
