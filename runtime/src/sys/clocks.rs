//! The clocks and the memory of this thread and process, as far as they are noted of a task.

use nix::time::{ClockId, clock_gettime};

/// The nanoseconds of the clock that all processes of this machine share, and that nobody sets.
#[inline]
pub(crate) fn monotonic_nanos() -> u64 {
    nanos_of(ClockId::CLOCK_MONOTONIC).unwrap_or(0)
}

/// The processor time of this thread, in nanoseconds; none where the system does not tell.
pub(crate) fn thread_cpu_nanos() -> Option<u64> {
    nanos_of(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// The largest resident memory that this process has had, in bytes; none where the system does not tell.
///
/// On Linux `ru_maxrss` is no less than that of the process that has started this one (execve(2) keeps it), so /proc tells.
#[cfg(poolmap_linux)]
pub(crate) fn peak_bytes() -> Option<u64> {
    #[cfg(poolmap_sandbox)]
    if let Some(status) = super::sandbox_opened::opened_status() {
        return super::process::peak_of_status(&status);
    }
    super::process::peak_resident_bytes(std::process::id())
}

#[cfg(not(poolmap_linux))]
pub(crate) fn peak_bytes() -> Option<u64> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).ok()?;
    // getrusage(2): bytes on macOS, KiB on FreeBSD and Linux.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    u64::try_from(usage.max_rss()).ok()?.checked_mul(unit)
}

#[inline]
fn nanos_of(clock: ClockId) -> Option<u64> {
    let time = clock_gettime(clock).ok()?;
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    Some(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_on_and_memory_is_there() {
        let (wall, cpu) = (monotonic_nanos(), thread_cpu_nanos());
        let sum = (0..100_000u64).fold(0, |sum: u64, x| std::hint::black_box(sum.wrapping_add(x)));
        assert!(sum > 0 && monotonic_nanos() > wall && thread_cpu_nanos() > cpu);
        assert!(peak_bytes().is_none_or(|bytes| bytes > 100 << 10));
    }
}
