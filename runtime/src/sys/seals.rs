//! Seals on memory that processes share: what the kernel keeps everybody from doing with it, whatever descriptor they have.

use std::io;
use std::os::fd::AsFd;

/// Whether memory can be sealed here.
pub(crate) const CAN_SEAL: bool = cfg!(poolmap_linux);

/// Keeps the memory as it is: nobody can add a seal, such as one that keeps others from writing.
#[cfg(poolmap_linux)]
pub(crate) fn seal_seals(memory: impl AsFd) -> io::Result<()> {
    add(memory, nix::libc::F_SEAL_SEAL)
}

/// From now on nobody can map this memory, or write to it, so that it changes; mappings that there are stay as they are (Linux 5.1).
#[cfg(poolmap_linux)]
pub(crate) fn seal_against_writers(memory: impl AsFd) -> io::Result<()> {
    add(memory, nix::libc::F_SEAL_FUTURE_WRITE | nix::libc::F_SEAL_SEAL)
}

/// Keeps everybody from writing from now on, also by mappings that there are.
///
/// # Errors
///
/// A process has a mapping that can be written (`ResourceBusy`); the system has no such seal.
#[cfg(poolmap_linux)]
pub(crate) fn seal_against_all_writers(memory: impl AsFd) -> io::Result<()> {
    add(memory, nix::libc::F_SEAL_WRITE | nix::libc::F_SEAL_SEAL)
}

/// Whether nobody can map the memory to write to it, nor change its size: what was written there stays.
#[cfg(poolmap_linux)]
pub(crate) fn is_sealed_against_writers(memory: impl AsFd) -> bool {
    use nix::libc::{F_SEAL_FUTURE_WRITE, F_SEAL_SHRINK, F_SEAL_WRITE};

    let seals = seals(memory);
    seals & F_SEAL_SHRINK != 0 && seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0
}

/// Whether the memory is one that everybody who has it may write, for ever: nobody can add a seal.
#[cfg(poolmap_linux)]
pub(super) fn is_raced(memory: impl AsFd) -> bool {
    use nix::libc::{F_SEAL_FUTURE_WRITE, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE};

    let kept = F_SEAL_SHRINK | F_SEAL_SEAL;
    seals(memory) & (kept | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) == kept
}

/// Whether nobody can write to the memory at all, its maker included, nor change its size.
#[cfg(poolmap_linux)]
pub(crate) fn is_sealed_against_all_writers(memory: impl AsFd) -> bool {
    use nix::libc::{F_SEAL_SHRINK, F_SEAL_WRITE};

    seals(memory) & (F_SEAL_SHRINK | F_SEAL_WRITE) == F_SEAL_SHRINK | F_SEAL_WRITE
}

/// The seals; none of what has no seals.
#[cfg(poolmap_linux)]
fn seals(memory: impl AsFd) -> nix::libc::c_int {
    use std::os::fd::AsRawFd;

    // SAFETY: the call takes integers and touches no memory of ours.
    let seals = unsafe { nix::libc::fcntl(memory.as_fd().as_raw_fd(), nix::libc::F_GET_SEALS) };
    seals.max(0)
}

#[cfg(poolmap_linux)]
fn add(memory: impl AsFd, seals: nix::libc::c_int) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    // SAFETY: the call takes integers and touches no memory of ours.
    let result = unsafe { nix::libc::fcntl(memory.as_fd().as_raw_fd(), nix::libc::F_ADD_SEALS, seals) };
    nix::errno::Errno::result(result)?;
    Ok(())
}

#[cfg(not(poolmap_linux))]
pub(crate) fn seal_seals(_memory: impl AsFd) -> io::Result<()> {
    Ok(())
}

#[cfg(not(poolmap_linux))]
pub(crate) fn seal_against_writers(_memory: impl AsFd) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(poolmap_linux))]
pub(crate) fn seal_against_all_writers(_memory: impl AsFd) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(poolmap_linux))]
pub(crate) fn is_sealed_against_writers(_memory: impl AsFd) -> bool {
    false
}

#[cfg(not(poolmap_linux))]
pub(crate) fn is_sealed_against_all_writers(_memory: impl AsFd) -> bool {
    false
}

/// Memory as a worker that is out to do harm may make it.
#[cfg(test)]
#[cfg(poolmap_linux)]
pub(crate) mod in_test {
    use std::os::fd::OwnedFd;

    use nix::libc::c_int;
    pub(crate) use nix::libc::{F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE};
    use nix::sys::memfd::{MFdFlags, memfd_create};

    /// Memory of so many bytes, with these seals, of which the first page was written if there is one.
    pub(crate) fn memory(bytes: usize, seals: c_int) -> OwnedFd {
        let memory = memfd_create(c"test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        nix::unistd::ftruncate(&memory, nix::libc::off_t::try_from(bytes).unwrap()).unwrap();
        nix::unistd::write(&memory, &[7; 4096][..bytes.min(4096)]).unwrap();
        super::add(&memory, seals).unwrap();
        memory
    }

    /// Memory of so many bytes, none of which was written, with as many reserved behind its end.
    pub(crate) fn memory_with_pages_behind(bytes: usize, seals: c_int) -> OwnedFd {
        use nix::fcntl::{FallocateFlags, fallocate};

        let memory = memfd_create(c"test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        let length = nix::libc::off_t::try_from(bytes).unwrap();
        nix::unistd::ftruncate(&memory, length).unwrap();
        fallocate(&memory, FallocateFlags::FALLOC_FL_KEEP_SIZE, length, length).unwrap();
        super::add(&memory, seals).unwrap();
        memory
    }
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use super::*;
    use crate::sys::{CommonMemory, Pages, raced_memory};

    #[test]
    fn memory_that_somebody_can_write_is_not_sealed_against_all_writers() {
        let (writer, memory) = Pages::shared(4096).unwrap();
        let error = seal_against_all_writers(&memory).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        assert!(!is_sealed_against_writers(&memory) && !is_sealed_against_all_writers(&memory));
        drop(writer);
        seal_against_all_writers(&memory).unwrap();
        assert!(is_sealed_against_writers(&memory) && is_sealed_against_all_writers(&memory));
        assert!(CommonMemory::new(&memory, 4096).is_err());
        // A second seal is refused, as all seals are from then on.
        assert!(seal_seals(&memory).is_err());
    }

    #[test]
    fn sealed_seals_stay() {
        let memory = raced_memory(4096).unwrap();
        assert!(seal_against_writers(&memory).is_err());
        assert!(CommonMemory::new(&memory, 4096).is_ok());
        assert!(!is_sealed_against_writers(&memory));
    }
}
