//! Files without a name, which are there as long as somebody has them open: what a process wrote to one before it died can be read.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use nix::libc;

use super::{Watch, poll};

/// A file to which every write is added at its end, whoever writes.
#[cfg(poolmap_linux)]
pub(crate) fn appended_file() -> io::Result<File> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    let file = unnamed_file()?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}

/// A file.
#[cfg(poolmap_linux)]
pub(crate) fn unnamed_file() -> io::Result<File> {
    use nix::sys::memfd::{MFdFlags, memfd_create};

    Ok(File::from(memfd_create(c"poolmap", MFdFlags::MFD_CLOEXEC)?))
}

#[cfg(not(poolmap_linux))]
pub(crate) fn appended_file() -> io::Result<File> {
    temporary_file(std::fs::OpenOptions::new().read(true).append(true))
}

#[cfg(not(poolmap_linux))]
pub(crate) fn unnamed_file() -> io::Result<File> {
    temporary_file(std::fs::OpenOptions::new().read(true).write(true))
}

/// Makes a file that no other program can open, and takes its name away.
#[cfg(not(poolmap_linux))]
fn temporary_file(options: &mut std::fs::OpenOptions) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let name = format!("poolmap-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        match options.create_new(true).mode(0o600).open(&path) {
            // One of a process of this number that was killed before it had taken the name away.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
        }
    }
}

/// Gives back the memory of what stands before a place, which stays where it is; false where the system cannot.
#[cfg(poolmap_linux)]
pub(crate) fn forget_before(file: &File, place: u64) -> bool {
    use nix::fcntl::{FallocateFlags, fallocate};

    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    libc::off_t::try_from(place).is_ok_and(|place| fallocate(file, flags, 0, place).is_ok())
}

#[cfg(not(poolmap_linux))]
pub(crate) fn forget_before(_file: &File, _place: u64) -> bool {
    false
}

/// This process's standard output and standard error, as further descriptors.
pub(crate) fn own_output() -> io::Result<(File, File)> {
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    let stderr = io::stderr().as_fd().try_clone_to_owned()?;
    Ok((stdout.into(), stderr.into()))
}

/// Makes files this process's standard output and standard error.
pub(crate) fn replace_output(stdout: &File, stderr: &File) -> io::Result<()> {
    nix::unistd::dup2_stdout(stdout)?;
    nix::unistd::dup2_stderr(stderr)?;
    Ok(())
}

/// The descriptors of the program's standard output and standard error in this process.
static PROGRAM_OUTPUT: [AtomicU32; 2] = [AtomicU32::new(1), AtomicU32::new(2)];

/// Whether this process writes to no file of its program's when it prints.
static KEEPS_OUTPUT: AtomicBool = AtomicBool::new(false);

/// Notes that this process prints into its own files alone.
pub(crate) fn set_output_kept() {
    KEEPS_OUTPUT.store(true, Ordering::Relaxed);
}

/// Whether this process prints into its own files alone.
#[cfg(poolmap_sandbox)]
pub(super) fn keeps_output() -> bool {
    KEEPS_OUTPUT.load(Ordering::Relaxed)
}

/// Notes by which descriptors this process reaches its program's output, where its own is another.
pub(crate) fn set_program_output(both: [&File; 2]) {
    for (place, file) in PROGRAM_OUTPUT.iter().zip(both) {
        place.store(file.as_raw_fd().cast_unsigned(), Ordering::Relaxed);
    }
}

/// The descriptors of the program's standard output and standard error in this process.
#[cfg(poolmap_sandbox)]
pub(crate) fn program_output() -> [u32; 2] {
    PROGRAM_OUTPUT.each_ref().map(|place| place.load(Ordering::Relaxed))
}

/// Writes out what C code of this process has printed and not written.
pub(crate) fn flush_c_streams() {
    // SAFETY: a null pointer means every stream; each is locked meanwhile.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// A pipe takes so many bytes as a whole, between those of other writers.
pub(crate) const WHOLE_BYTES_MAX: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// Writes all of it, and waits this long for room each time, where it has an end; returns how much it was. An error means that nobody
/// reads it any more.
pub(crate) fn write_within(mut file: &File, bytes: &[u8], patience: Option<Duration>) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        let mut watches = [Watch { write: true, ..Watch::hang_up(file.as_fd()) }];
        if patience.is_some() && !(poll(&mut watches, patience).is_ok() && watches[0].ready) {
            break;
        }
        match file.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && patience.is_none() => {
                let _ = poll(&mut watches, None);
            }
            Err(_) => break,
        }
    }
    written
}

/// The same descriptor, as a file.
pub(crate) fn file(descriptor: OwnedFd) -> File {
    descriptor.into()
}
