//! How a process shows others that it lives: by a lock on a byte of memory that they share. The kernel releases it when the process
//! ends, however it ends, and a number that is used again stands for nobody.
//!
//! On Linux the lock is of an open file of this process's own (`fcntl(2)`, "Open file description locks"), and a mapping keeps that
//! file open: so no descriptor needs to stay open, and closing one gives up nothing. Processes forked from this one do not get the
//! mapping; only one that is forked while the lock is taken, and lives on without an exec, keeps it.
//!
//! Elsewhere, in a sandbox, and where `/proc` is not mounted, it is a lock of POSIX ("Advisory record locking"). It belongs to the process, and
//! what is forked from it does not have it; but it is released too when the process closes *any* descriptor of that memory.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::stat::fstat;

#[cfg(poolmap_linux)]
use super::memory::Mapping;

/// A lock on a byte, as long as this is there and the process lives.
pub(crate) struct LivenessLock {
    byte: usize,
    _lock: LifeLock,
}

enum LifeLock {
    /// It goes with the mapping.
    #[cfg(poolmap_linux)]
    OfFile {
        _mapping: Mapping,
    },
    OfProcess {
        _unlocked: Unlocked,
    },
}

impl LivenessLock {
    /// Locks the first of so many bytes that no living process has locked; `None` if there is none.
    pub(crate) fn take(memory: &Arc<OwnedFd>, bytes: usize) -> io::Result<Option<Self>> {
        #[cfg(poolmap_linux)]
        if !is_in_sandbox()
            && let Ok(sign) = Self::of_file(memory, bytes)
        {
            return Ok(sign);
        }
        let lock = |byte| lock(memory, FcntlArg::F_SETLK(&record(kind(libc::F_WRLCK), byte)));
        let byte = first(bytes, lock)?;
        Ok(byte.map(|byte| {
            let unlocked = Unlocked { memory: Arc::clone(memory), byte };
            Self { byte, _lock: LifeLock::OfProcess { _unlocked: unlocked } }
        }))
    }

    #[cfg(poolmap_linux)]
    fn of_file(memory: &OwnedFd, bytes: usize) -> io::Result<Option<Self>> {
        use std::os::fd::AsRawFd;

        // The descriptor is a copy of the maker's: the same open file, whose locks would be everybody's.
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let own = std::fs::File::options().read(true).write(true).open(path)?;
        if identity(&own)? != identity(memory)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mapping = Mapping::reserved(&own, 0, super::page::page_bytes())?;
        let lock = |byte| lock(&own, FcntlArg::F_OFD_SETLK(&record(kind(libc::F_WRLCK), byte)));
        let byte = first(bytes, lock)?;
        Ok(byte.map(|byte| Self { byte, _lock: LifeLock::OfFile { _mapping: mapping } }))
    }

    /// The byte that is locked.
    pub(crate) fn byte(&self) -> usize {
        self.byte
    }
}

/// Unlocks a byte when it is dropped. The memory's descriptor may be held by others for longer.
struct Unlocked {
    memory: Arc<OwnedFd>,
    byte: usize,
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        // It fails for what is no descriptor only.
        let _ = fcntl(&self.memory, FcntlArg::F_SETLK(&record(kind(libc::F_UNLCK), self.byte)));
    }
}

/// The first of so many bytes that `lock` locks.
fn first(bytes: usize, lock: impl Fn(usize) -> io::Result<bool>) -> io::Result<Option<usize>> {
    for byte in 0..bytes {
        if lock(byte)? {
            return Ok(Some(byte));
        }
    }
    Ok(None)
}

/// Locks; false if another has it.
fn lock(memory: impl AsFd, lock: FcntlArg<'_>) -> io::Result<bool> {
    match fcntl(memory, lock) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Distinguishes memory from any other, whichever descriptor it is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: libc::dev_t,
    node: libc::ino_t,
}

impl FileIdentity {
    /// The device and the node, as they travel.
    #[allow(clippy::unnecessary_cast, reason = "they have other types on other systems")]
    pub(crate) fn words(self) -> [u64; 2] {
        [self.device as u64, self.node as u64]
    }
}

/// The identity of the memory behind a descriptor.
pub(crate) fn identity(memory: impl AsFd) -> io::Result<FileIdentity> {
    let status = fstat(memory)?;
    Ok(FileIdentity { device: status.st_dev, node: status.st_ino })
}

/// Whether another process has locked a byte of this memory; where that is unknown, it counts as locked. `None` if the descriptor is
/// something else by now: a task has closed it.
pub(crate) fn is_locked_by_another(memory: impl AsFd, expected: FileIdentity, byte: usize) -> Option<bool> {
    if identity(&memory).ok() != Some(expected) {
        return None;
    }
    let mut found = record(kind(libc::F_WRLCK), byte);
    match fcntl(memory, FcntlArg::F_GETLK(&mut found)) {
        Ok(_) => Some(found.l_type != kind(libc::F_UNLCK)),
        Err(_) => Some(true),
    }
}

/// Whether there is a process of this number. It may be another one than is meant. In a sandbox, which does not let a process ask, there is.
pub(crate) fn process_exists(pid: u64) -> bool {
    let pid = i32::try_from(pid).ok().filter(|&pid| pid > 0);
    pid.is_some_and(|pid| {
        is_in_sandbox() || nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) != Err(Errno::ESRCH)
    })
}

/// Whether this process can open no file and ask for no other process, as it would end by that.
fn is_in_sandbox() -> bool {
    #[cfg(poolmap_sandbox)]
    return super::sandbox_opened::is_in_sandbox();
    #[cfg(not(poolmap_sandbox))]
    false
}

/// A lock on one byte.
fn record(kind: libc::c_short, byte: usize) -> libc::flock {
    // SAFETY: it is numbers alone, for which zeros are values.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = libc::off_t::try_from(byte).unwrap_or(libc::off_t::MAX);
    lock.l_len = 1;
    lock
}

/// Systems differ in the type of the constants; their numbers are small.
fn kind(number: impl TryInto<libc::c_short>) -> libc::c_short {
    number.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::common_memory;

    #[test]
    fn a_sign_is_seen_until_it_is_dropped_whatever_descriptors_are_closed() {
        let memory = Arc::new(common_memory(8192).unwrap());
        let expected = identity(&memory).unwrap();
        let sign = LivenessLock::take(&memory, 8).unwrap().unwrap();
        assert_eq!(sign.byte(), 0);
        if cfg!(poolmap_linux) {
            // The lock is of a file of its own, which this process sees as another's.
            drop(memory.try_clone().unwrap());
            assert_eq!(is_locked_by_another(&memory, expected, 0), Some(true));
            let second = LivenessLock::take(&memory, 8).unwrap().unwrap();
            assert_eq!(second.byte(), 1);
            assert!(LivenessLock::take(&memory, 2).unwrap().is_none());
        }
        drop(sign);
        assert_eq!(is_locked_by_another(&memory, expected, 0), Some(false));
        let (socket, _other) = crate::sys::pair().unwrap();
        assert_eq!(is_locked_by_another(&socket, expected, 0), None);
    }

    #[test]
    fn a_process_exists_or_does_not() {
        assert!(process_exists(std::process::id().into()));
        for pid in [0, u64::from(u32::MAX), u64::MAX, i32::MAX as u64] {
            assert!(!process_exists(pid), "{pid}");
        }
    }
}
