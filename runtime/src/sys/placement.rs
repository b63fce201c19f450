//! Where and how readily the system runs a process: its CPUs, its priority, and the name that it is shown by.

#[cfg(poolmap_linux)]
use std::ffi::CString;
use std::ffi::{CStr, OsStr};
use std::io;
#[cfg(poolmap_linux)]
use std::os::unix::ffi::OsStrExt;

use nix::libc;

/// Returns how many CPUs this process may use, by its affinity and its control group: 1 or more.
pub(crate) fn cpu_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The CPUs that this thread may run on, if the system reports them.
#[cfg(target_os = "linux")]
pub(crate) fn allowed_cpus() -> Option<Vec<usize>> {
    use nix::sched::{CpuSet, sched_getaffinity};
    use nix::unistd::Pid;

    let set = sched_getaffinity(Pid::from_raw(0)).ok()?;
    Some((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn allowed_cpus() -> Option<Vec<usize>> {
    None
}

/// Runs something on these CPUs: a process that is started there has them from its first instruction on. Where none are given, or all have
/// been taken from this process since, it runs as it is.
pub(crate) fn on_cpus<R>(cpus: &[usize], start: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    if cpus.is_empty() {
        return start();
    }
    on_cpus_alone(cpus, start)
}

/// Moves this thread to these CPUs. Where none are given, or all have been taken from this process since, it stays.
#[cfg(target_os = "linux")]
pub(super) fn set_cpus(cpus: &[usize]) -> io::Result<()> {
    if cpus.is_empty() { Ok(()) } else { set_affinity(cpus).map(drop) }
}

/// Moves this thread to these CPUs; returns false where all have been taken from this process since.
#[cfg(target_os = "linux")]
fn set_affinity(cpus: &[usize]) -> io::Result<bool> {
    use nix::sched::{CpuSet, sched_setaffinity};

    let mut set = CpuSet::new();
    cpus.iter().try_for_each(|&cpu| set.set(cpu))?;
    match sched_setaffinity(nix::unistd::Pid::from_raw(0), &set) {
        Err(nix::errno::Errno::EINVAL) => Ok(false),
        moved => Ok(moved.map(|()| true)?),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn set_cpus(cpus: &[usize]) -> io::Result<()> {
    if cpus.is_empty() { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}

#[cfg(target_os = "linux")]
fn on_cpus_alone<R>(cpus: &[usize], start: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    use nix::sched::{sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    let this = Pid::from_raw(0);
    let before = sched_getaffinity(this)?;
    if !set_affinity(cpus)? {
        return start();
    }
    let started = start();
    // They were this thread's before. If they have been taken from the whole process since, the kernel has moved it already.
    let _ = sched_setaffinity(this, &before);
    started
}

#[cfg(not(target_os = "linux"))]
fn on_cpus_alone<R>(_cpus: &[usize], _start: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Adds to the nice value of this thread, and of the threads that it starts.
///
/// # Errors
///
/// The sum is below what this process may have (`PermissionDenied`).
pub(crate) fn add_nice(more: i32) -> io::Result<()> {
    // SAFETY: the calls take and return numbers. -1 is also a priority, and an error of it means that there is no such process.
    let now = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    // SAFETY: as above.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, now.saturating_add(more).clamp(-20, 19)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets the name by which this process is shown: that of its first thread, which may be another than this one.
#[cfg(poolmap_linux)]
pub(crate) fn set_process_name(name: &OsStr) {
    // The kernel cuts it at 15 bytes.
    if std::fs::write("/proc/self/comm", name.as_bytes()).is_err()
        && let Ok(name) = CString::new(name.as_bytes())
    {
        set_thread_name(&name);
    }
}

#[cfg(not(poolmap_linux))]
pub(crate) fn set_process_name(_name: &OsStr) {}

/// Sets the name by which this thread is shown, where the system has such a call.
#[cfg(poolmap_linux)]
pub(super) fn set_thread_name(name: &CStr) {
    let _ = nix::sys::prctl::set_name(name);
}

#[cfg(not(poolmap_linux))]
pub(super) fn set_thread_name(_name: &CStr) {}
