//! The limits of this process and its workers.

use std::io;

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit};

/// Whether the system can limit the memory of one process.
pub(crate) const CAN_LIMIT_MEMORY: bool = cfg!(poolmap_linux);

/// How much memory a worker may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryLimit {
    /// The bytes that count.
    pub(crate) bytes: u64,
    /// The same, with what it had from its fork server.
    bytes_in_all: u64,
}

impl MemoryLimit {
    /// Whether the memory of this process has nearly come to the limit: there is less left than a sixteenth of it, or than 4 MiB.
    pub(super) fn is_near(self) -> bool {
        taken_bytes().is_some_and(|taken| taken.saturating_add((self.bytes / 16).max(4 << 20)) >= self.bytes_in_all)
    }
}

/// Lets this process, and what it starts, allocate so many bytes in all beside the `held` ones; what else it has taken counts. Returns
/// the limit that holds: a lower one that the process was started with stays.
///
/// # Errors
///
/// The process has taken so much already that there is not `more` left, and something beside.
#[cfg(poolmap_linux)]
pub(crate) fn limit_memory(bytes: u64, held: u64, more: u64) -> io::Result<MemoryLimit> {
    use nix::sys::resource::setrlimit;

    /// The memory that a worker takes for itself, beside the stack of its tasks.
    const OWN_BYTES: u64 = 1 << 20;

    let (_, most) = getrlimit(Resource::RLIMIT_DATA)?;
    #[allow(clippy::useless_conversion, reason = "the type of limits has 32 bits on some systems")]
    let limit = bytes.saturating_add(held).min(u64::from(most));
    let needed = taken_bytes().unwrap_or(0).saturating_add(more).saturating_add(OWN_BYTES);
    if limit < needed {
        return Err(io::Error::other(format!(
            "a memory limit of {limit} bytes is less than the {needed} that it takes up to its first task: raise \
             memory_limit, or allocate less before init()",
        )));
    }
    let kept = libc::rlim_t::try_from(limit).unwrap_or(most);
    setrlimit(Resource::RLIMIT_DATA, kept, kept)?;
    Ok(MemoryLimit { bytes: limit.saturating_sub(held), bytes_in_all: limit })
}

/// Where this process has a limit for its data, bounds memory that is no data: tables of pages, which each mapping takes, and the files that
/// it prints to. Each file may then have as many bytes as the data. The limit is for all files, so there is none if the process
/// `writes_files` of its program's, by a path or by printing: a log may be longer.
///
/// A table of 4 KiB is for 2 MiB of addresses. So the tables of a process that has no more than twice the system's memory, and 64 GiB, take
/// less than 0.4 % of that.
#[cfg(poolmap_sandbox)]
pub(crate) fn limit_uncounted_memory(writes_files: bool) -> io::Result<()> {
    /// Libraries reserve addresses that they do not use.
    const RESERVED_BYTES: u64 = 64 << 30;

    let Some(data) = limit(Resource::RLIMIT_DATA) else {
        return Ok(());
    };
    let mapped = memory_pages(0).unwrap_or(0).saturating_mul(super::page_bytes() as u64);
    let shared = system_memory_bytes().saturating_mul(2);
    let addresses = [mapped, data, shared].into_iter().fold(RESERVED_BYTES, u64::saturating_add);
    lower(Resource::RLIMIT_AS, addresses)?;
    if !writes_files && super::unnamed_file::keeps_output() {
        lower(Resource::RLIMIT_FSIZE, data)?;
        fail_behind_file_limit();
    }
    Ok(())
}

/// Lets few signals of real time wait for this process: those that wait count for all processes of its user together (setrlimit(2),
/// RLIMIT_SIGPENDING), so it could leave the others none.
#[cfg(poolmap_sandbox)]
pub(crate) fn limit_waiting_signals() -> io::Result<()> {
    /// The signal of an abort is queued too, with its sender, as long as there is room.
    const WAITING_MAX: u64 = 64;

    lower(Resource::RLIMIT_SIGPENDING, WAITING_MAX)
}

/// Lowers a limit, if it is higher.
#[cfg(poolmap_sandbox)]
fn lower(resource: Resource, value: u64) -> io::Result<()> {
    let (now, most) = getrlimit(resource)?;
    nix::sys::resource::setrlimit(resource, now.min(value), most.min(value))?;
    Ok(())
}

/// The memory of the system, by sysinfo(2); half of all addresses where that is refused.
#[cfg(poolmap_sandbox)]
fn system_memory_bytes() -> u64 {
    let memory = nix::sys::sysinfo::sysinfo();
    memory.map_or(u64::MAX / 2, |memory| memory.ram_total().saturating_add(memory.swap_total()))
}

#[cfg(not(poolmap_linux))]
pub(crate) fn limit_memory(_bytes: u64, _held: u64, _more: u64) -> io::Result<MemoryLimit> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The limit that holds now; `None` if there is none. Miri has none, and does not know the call.
fn limit(resource: Resource) -> Option<u64> {
    if cfg!(miri) {
        return None;
    }
    let (now, _) = getrlimit(resource).ok()?;
    #[allow(clippy::useless_conversion, reason = "systems differ in the type of a limit")]
    let bytes = u64::try_from(now).ok();
    bytes.filter(|_| now != libc::RLIM_INFINITY)
}

/// Fails where a file must not have so many bytes. It is asked before a file grows: the system answers that by a signal, SIGXFSZ,
/// which ends the program.
pub(crate) fn check_file_bytes(bytes: u64) -> io::Result<()> {
    match file_bytes_max() {
        Some(most) if bytes > most => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!(
                "a file (or shared memory) of {bytes} bytes is over RLIMIT_FSIZE, which is {most}: raise the limit for files (`ulimit -f`)"
            ),
        )),
        _ => Ok(()),
    }
}

/// The bytes that a file may have; none if there is no limit.
pub(crate) fn file_bytes_max() -> Option<u64> {
    limit(Resource::RLIMIT_FSIZE)
}

/// Where files are limited, lets a write behind the limit fail, which ends this process otherwise; processes that it starts are ended
/// all the same. Nothing changes where the program has made other arrangements.
pub(crate) fn fail_behind_file_limit() {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

    extern "C" fn nothing(_signal: libc::c_int) {}

    if file_bytes_max().is_none() {
        return;
    }
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing, at whatever moment.
    let before = unsafe { sigaction(Signal::SIGXFSZ, &action) };
    if let Ok(before) = before
        && !matches!(before.handler(), SigHandler::SigDfl)
    {
        // SAFETY: it is what was there a moment before.
        let _ = unsafe { sigaction(Signal::SIGXFSZ, &before) };
    }
}

/// How many descriptors this process may have now: the program may change that.
pub(crate) fn descriptors_max() -> usize {
    limit(Resource::RLIMIT_NOFILE).and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
}

/// The address space that this process may take; none if it has no limit.
pub(crate) fn address_space_bytes() -> Option<u64> {
    #[cfg(target_os = "freebsd")]
    let resource = Resource::RLIMIT_VMEM;
    #[cfg(not(target_os = "freebsd"))]
    let resource = Resource::RLIMIT_AS;
    limit(resource)
}

/// Says why memory could not be mapped, where a limit is the cause.
pub(super) fn not_mapped(error: Errno, bytes: usize) -> io::Error {
    let cause = match (error, address_space_bytes()) {
        (Errno::ENOMEM, Some(most)) => format!("the address space is limited to {most} bytes: raise `ulimit -v`"),
        (Errno::EAGAIN, _) => "it would be locked (mlockall), and that much must not be: raise `ulimit -l`".to_owned(),
        _ => return error.into(),
    };
    io::Error::new(io::ErrorKind::OutOfMemory, format!("could not map {bytes} bytes: {cause}"))
}

/// Returns the bytes that count against this process's memory limit. It is called in handlers too.
#[cfg(poolmap_linux)]
pub(crate) fn taken_bytes() -> Option<u64> {
    // The data, and the first thread's stack.
    Some(memory_pages(5)? * super::page_bytes() as u64)
}

/// Returns the number at a place of proc_pid_statm(5).
#[cfg(poolmap_linux)]
fn memory_pages(place: usize) -> Option<u64> {
    use nix::fcntl::{OFlag, open};

    let file = open(c"/proc/self/statm", OFlag::O_RDONLY | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty()).ok()?;
    // Seven numbers.
    let mut bytes = [0; 160];
    let count = nix::unistd::read(&file, &mut bytes).ok()?;
    pages_at(place, bytes.get(..count)?)
}

#[cfg(not(poolmap_linux))]
pub(crate) fn taken_bytes() -> Option<u64> {
    None
}

#[cfg_attr(not(poolmap_linux), allow(dead_code, reason = "the file is Linux's; its form is tested anywhere"))]
fn pages_at(place: usize, statm: &[u8]) -> Option<u64> {
    let field = statm.split(|byte| byte.is_ascii_whitespace()).nth(place)?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_the_sixth_number() {
        assert_eq!(pages_at(5, b"1361 490 424 5 0 116 0\n"), Some(116));
        assert_eq!(pages_at(5, b"1361 490 424 5 0"), None);
        assert_eq!(pages_at(5, b""), None);
    }
}
