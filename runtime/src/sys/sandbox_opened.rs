//! What a process opens before it enters a sandbox, as it could not open it there: what the kernel says of it, and memory by way of which
//! the kernel copies from addresses that may be none.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::libc::{self, c_int, c_void};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::crash_record::DENIED_PATH_BYTES_MAX;

/// Descriptors; below 0 while there is no sandbox. A task may close them: then there is nothing to be read.
static COPY: AtomicI32 = AtomicI32::new(-1);
static STAT: AtomicI32 = AtomicI32::new(-1);
static STATUS: AtomicI32 = AtomicI32::new(-1);
static MAPS: AtomicI32 = AtomicI32::new(-1);

/// Opens all of it; what threads are counted by only where they are.
pub(super) fn open_for_sandbox(counts_threads: bool) -> io::Result<()> {
    /// It stays as large as it is, so that nobody has more memory by it.
    const FIXED: c_int = libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;

    let copy = memfd_create(c"poolmap-copy", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    nix::unistd::ftruncate(&copy, DENIED_PATH_BYTES_MAX as libc::off_t)?;
    // SAFETY: it takes numbers; the descriptor is open.
    Errno::result(unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_ADD_SEALS, FIXED) })?;
    COPY.store(copy.into_raw_fd(), Ordering::Relaxed);
    let threads = counts_threads.then_some((&STAT, "/proc/self/stat"));
    for (place, path) in threads.into_iter().chain([(&STATUS, "/proc/self/status"), (&MAPS, "/proc/self/maps")]) {
        place.store(std::fs::File::open(path)?.into_raw_fd(), Ordering::Relaxed);
    }
    Ok(())
}

/// Whether this process is in a sandbox, or enters it.
pub(super) fn is_in_sandbox() -> bool {
    COPY.load(Ordering::Relaxed) >= 0
}

/// The list of what is mapped, from its beginning, which a process in a sandbox cannot open.
pub(super) fn opened_maps() -> Option<c_int> {
    let maps = MAPS.load(Ordering::Relaxed);
    // SAFETY: it takes numbers, and moves the place of a descriptor that this module alone reads by.
    (maps >= 0 && unsafe { libc::lseek(maps, 0, libc::SEEK_SET) } == 0).then_some(maps)
}

/// What the kernel says of this process (proc_pid_status(5)), which a process in a sandbox cannot open; none where it is in no sandbox.
pub(super) fn opened_status() -> Option<String> {
    let mut text = vec![0; 8 << 10];
    let status = STATUS.load(Ordering::Relaxed);
    // SAFETY: the room is ours, and as long as it says.
    let count = unsafe { libc::pread(status, text.as_mut_ptr().cast(), text.len(), 0) };
    text.truncate(usize::try_from(count).ok()?);
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Copies bytes from an address that may be none, by way of the kernel; returns how many.
pub(super) fn copy(address: u64, room: &mut [u8]) -> usize {
    let copy = COPY.load(Ordering::Relaxed);
    let from = std::ptr::with_exposed_provenance::<c_void>(address as usize);
    // SAFETY: the kernel checks the address, and copies what is mapped there; the room is ours, and as long as it says.
    unsafe {
        let written = libc::pwrite(copy, from, room.len(), 0);
        let Ok(written) = usize::try_from(written) else {
            return 0;
        };
        usize::try_from(libc::pread(copy, room.as_mut_ptr().cast(), written.min(room.len()), 0)).unwrap_or(0)
    }
}

/// How many threads this process has, by proc_pid_stat(5).
pub(super) fn thread_count() -> Option<u64> {
    let mut line = [0; 512];
    let stat = STAT.load(Ordering::Relaxed);
    // SAFETY: the room is ours, and as long as it says.
    let count = unsafe { libc::pread(stat, line.as_mut_ptr().cast(), line.len(), 0) };
    parse_thread_count(line.get(..usize::try_from(count).ok()?)?)
}

/// The number is the twentieth; the second is a name in brackets, which may have blanks.
fn parse_thread_count(line: &[u8]) -> Option<u64> {
    let name_end = line.iter().rposition(|&byte| byte == b')')?;
    let field = line.get(name_end + 2..)?.split(|&byte| byte == b' ').nth(17)?;
    field.iter().try_fold(0, |all: u64, byte| Some(all * 10 + u64::from(char::from(*byte).to_digit(10)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_counted_behind_any_name() {
        let line = b"42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 13 0 100 200";
        assert_eq!(parse_thread_count(line), Some(13));
        assert_eq!(parse_thread_count(b"42 (x"), None);
        assert_eq!(parse_thread_count(b""), None);
    }
}
