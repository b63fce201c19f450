//! Memory that several processes write at once: atomic words, bytes that are copied in and out, and a word to sleep on. It knows
//! nothing of what stands there.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use nix::libc;

use super::memory::{Access, Mapping, check_raced};
use super::racing::copy_to;

/// Memory of so many bytes, zeros at first, without a name, for any number of processes to read and write. None can seal it for
/// all.
#[cfg(poolmap_linux)]
pub(crate) fn common_memory(bytes: usize) -> io::Result<OwnedFd> {
    super::memory::raced_memory(bytes)
}

#[cfg(not(poolmap_linux))]
pub(crate) fn common_memory(bytes: usize) -> io::Result<OwnedFd> {
    memory_file(bytes)
}

/// Memory of so many bytes without a name, to be written as a file is, and sent.
#[cfg(poolmap_linux)]
pub(crate) fn memory_file(bytes: usize) -> io::Result<OwnedFd> {
    super::memory::shared_memory(bytes)
}

#[cfg(not(poolmap_linux))]
pub(crate) fn memory_file(bytes: usize) -> io::Result<OwnedFd> {
    let length = u64::try_from(bytes).map_err(io::Error::other)?;
    super::rlimit::check_file_bytes(length)?;
    let file = super::unnamed_file::unnamed_file()?;
    file.set_len(length)?;
    Ok(file.into())
}

/// The bytes of some memory, as its descriptor tells.
pub(crate) fn memory_bytes(memory: impl AsFd) -> io::Result<usize> {
    let status = nix::sys::stat::fstat(memory)?;
    if status.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the descriptor is not that of memory"));
    }
    usize::try_from(status.st_size).map_err(io::Error::other)
}

/// Whether all of some memory is there, and nothing behind it: no holes among its bytes. Pages that were only reserved, by `fallocate`, count
/// as holes.
#[cfg(poolmap_linux)]
pub(crate) fn is_filled(memory: impl AsFd, bytes: usize) -> io::Result<bool> {
    use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
    use nix::unistd::{Whence, lseek};

    // Other file systems call all of a file data.
    if fstatfs(memory.as_fd())?.filesystem_type() != TMPFS_MAGIC {
        return Ok(false);
    }
    // The end of a file counts as a hole. The position is nobody's: memory is mapped.
    let hole = lseek(memory.as_fd(), 0, Whence::SeekHole)?;
    Ok(bytes == 0 || usize::try_from(hole).is_ok_and(|hole| hole >= bytes))
}

#[cfg(not(poolmap_linux))]
pub(crate) fn is_filled(_memory: impl AsFd, _bytes: usize) -> io::Result<bool> {
    Ok(false)
}

/// The bytes of some memory that were ever written, and so are there: no holes among them.
pub(crate) fn filled_bytes(memory: impl AsFd) -> io::Result<usize> {
    // Its unit is 512 bytes, whatever the file system's blocks are (stat(3type)).
    let bytes = nix::sys::stat::fstat(memory)?.st_blocks.saturating_mul(512);
    usize::try_from(bytes).map_err(io::Error::other)
}

/// Memory that other processes write at any time.
pub(crate) struct CommonMemory(Mapping);

impl CommonMemory {
    /// Maps memory that was made for this.
    ///
    /// # Errors
    ///
    /// It was made for something else (`PermissionDenied`), or cannot be mapped.
    pub(crate) fn new(memory: impl AsFd, bytes: usize) -> io::Result<Self> {
        check_raced(&memory)?;
        Mapping::new(memory, bytes, Access::ReadWrite).map(Self)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The word at an offset, a multiple of 8.
    #[inline]
    pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
        self.0.word(offset)
    }

    /// Copies bytes out, which may be anything.
    pub(crate) fn copy_out(&self, offset: usize, bytes: usize, to: &mut Vec<u8>) {
        self.0.copy_out(offset, bytes, to);
    }

    /// Copies bytes in.
    pub(crate) fn copy_in(&self, offset: usize, from: &[u8]) {
        let end = offset.checked_add(from.len()).expect("a length in memory");
        assert!(end <= self.0.len(), "a copy of bytes behind the mapping");
        // SAFETY: the target is mapped to be written (checked above), no reference to it is ever made, and the source is borrowed
        // memory of our own, so they do not overlap. What others write there meanwhile spoils bytes, which whoever reads them
        // takes for anything.
        unsafe { copy_to(from.as_ptr(), self.0.address(offset), from.len()) };
    }

    /// Sleeps until another wakes whoever sleeps at this word, at most for this long; not at all if the lower half of the word is
    /// not that of `seen` any more. It may end for no reason.
    #[cfg(poolmap_linux)]
    pub(crate) fn sleep(&self, offset: usize, seen: u64, at_most: Duration, _round: u32) {
        let timeout = libc::timespec {
            tv_sec: at_most.as_secs().try_into().unwrap_or(i32::MAX.into()),
            // Below 1e9, which fits.
            tv_nsec: at_most.subsec_nanos() as libc::c_long,
        };
        // SAFETY: the word is mapped and aligned for as long as `self` is borrowed, the kernel only reads it, and the time
        // outlives the call.
        let _ = unsafe {
            libc::syscall(libc::SYS_futex, self.lower_half(offset), libc::FUTEX_WAIT, seen as u32, &raw const timeout)
        };
    }

    /// There is nothing to be woken by: the longer it lasts, the longer the sleep.
    #[cfg(not(poolmap_linux))]
    pub(crate) fn sleep(&self, offset: usize, seen: u64, at_most: Duration, round: u32) {
        const FIRST: Duration = Duration::from_micros(50);
        const LONGEST: Duration = Duration::from_millis(5);

        if self.word(offset).load(std::sync::atomic::Ordering::SeqCst) as u32 == seen as u32 {
            std::thread::sleep(at_most.min(FIRST * (1 << round.min(10))).min(LONGEST));
        }
    }

    /// Wakes so many of those that sleep at a word.
    #[cfg(poolmap_linux)]
    pub(crate) fn wake(&self, offset: usize, count: i32) {
        // SAFETY: the word is mapped and aligned, and the kernel does not touch it.
        let _ = unsafe { libc::syscall(libc::SYS_futex, self.lower_half(offset), libc::FUTEX_WAKE, count) };
    }

    #[cfg(not(poolmap_linux))]
    pub(crate) fn wake(&self, _offset: usize, _count: i32) {}

    /// A futex has 32 bits.
    #[cfg(poolmap_linux)]
    fn lower_half(&self, offset: usize) -> *const u32 {
        let half = if cfg!(target_endian = "little") { 0 } else { 1 };
        self.word(offset).as_ptr().cast::<u32>().cast_const().wrapping_add(half)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_no_memory_has_no_bytes() {
        assert_eq!(memory_bytes(common_memory(4096).unwrap()).unwrap(), 4096);
        let (socket, _other) = crate::sys::pair().unwrap();
        assert!(memory_bytes(&socket).is_err());
    }

    #[test]
    fn a_sleep_ends_with_a_wake_or_with_its_time() {
        let memory = common_memory(4096).unwrap();
        let [one, other] = [(); 2].map(|()| CommonMemory::new(&memory, 4096).unwrap());
        one.copy_in(100, b"text");
        let mut bytes = Vec::new();
        other.copy_out(100, 4, &mut bytes);
        assert_eq!(bytes, b"text");
        let start = Instant::now();
        one.sleep(8, 1, Duration::from_secs(60), 0);
        one.sleep(8, 0, Duration::from_millis(1), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while other.word(8).load(std::sync::atomic::Ordering::SeqCst) == 0 {
                    other.sleep(8, 0, Duration::from_secs(60), 0);
                }
            });
            one.word(8).fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            one.wake(8, i32::MAX);
        });
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
