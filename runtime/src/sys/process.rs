//! One child process: ended and reaped by itself, never through `waitpid(-1)` or a SIGCHLD handler.
//!
//! On Linux it is held by a pidfd, so that no signal can reach another process that has taken over its number, even if
//! the program ignores SIGCHLD or reaps children that are not its own.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::oom_kills::OomKills;
use super::spawn::Spawn;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exited(i32),
    Signaled(i32),
    /// A SIGKILL of the kernel's, which was out of memory.
    OutOfMemory,
    /// Someone else reaped it: the program ignores SIGCHLD, or waits for any child.
    Unknown,
}

/// The process group of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// It leads one of its own. What it started, and is in that group still, ends with it.
    Own,
    /// It stays in that of its parent: signals of the terminal reach both.
    OfParent,
}

/// A child process.
pub(crate) struct Process {
    pid: Pid,
    group: Group,
    pidfd: Option<Arc<OwnedFd>>,
    end: Option<End>,
    /// What the system has said of its end.
    status: Option<ExitStatus>,
    /// Whether this process has sent it a SIGKILL.
    is_killed: bool,
    /// Those before it was started.
    oom_kills: OomKills,
}

impl Process {
    /// Starts a process.
    pub(crate) fn spawn(spawn: Spawn<'_>) -> io::Result<Self> {
        let oom_kills = OomKills::now();
        let group = spawn.group;
        let pid = super::spawn::spawn(spawn)?;
        let pidfd = pidfd_open(pid).map(Arc::new);
        Ok(Self { pid, group, pidfd, end: None, status: None, is_killed: false, oom_kills })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// Readable once the process has ended; none where the system has no such descriptor.
    pub(crate) fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        self.pidfd.clone()
    }

    /// Kills the process and what it started, as far as that is in a process group of its own. Errors mean that it is gone.
    pub(crate) fn kill(&mut self) {
        self.is_killed = true;
        // As long as it is not reaped, its number, which is also that of its group, belongs to it.
        if self.signal(Signal::SIGKILL) {
            self.kill_group();
        }
    }

    /// Asks the process to end, by a SIGTERM. Errors mean that it is gone.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Sends a signal to the process; tells whether it was there, dead or alive.
    fn signal(&self, signal: Signal) -> bool {
        match &self.pidfd {
            _ if self.end.is_some() => false,
            Some(pidfd) => pidfd_signal(pidfd, signal),
            None => kill(self.pid, signal).is_ok(),
        }
    }

    fn kill_group(&self) {
        if self.group == Group::Own {
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
    }

    /// What the system has said of its end; none before that is reaped, or where someone else did.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// Reaps the process if it has ended, and kills what is left of its own group.
    pub(crate) fn try_reap(&mut self) -> Option<End> {
        if self.end.is_none() {
            let ended = self.reap();
            self.status = ended.and_then(|(_, status)| status);
            self.end = ended.map(|(end, _)| match end {
                End::Signaled(libc::SIGKILL) if !self.is_killed && self.oom_kills.take_one() => End::OutOfMemory,
                end => end,
            });
        }
        self.end
    }
}

#[cfg(poolmap_linux)]
impl Process {
    fn reap(&self) -> Option<(End, Option<ExitStatus>)> {
        let ended = self.wait(libc::WNOWAIT)?;
        if ended.0 != End::Unknown {
            // Until it is reaped, its number, which is also that of its group, belongs to it.
            self.kill_group();
            self.wait(0);
        }
        Some(ended)
    }

    /// How it ended, if it has. nix's `waitid` fails for signals that it has no name for (the real-time ones).
    fn wait(&self, flags: libc::c_int) -> Option<(End, Option<ExitStatus>)> {
        use std::os::fd::AsRawFd;

        /// As `wait` gives it (wait(2)): the exit code in the second byte; or the signal, and whether there is a core dump.
        const CORE_DUMPED: libc::c_int = 0x80;

        let (kind, number) = match &self.pidfd {
            Some(pidfd) => (libc::P_PIDFD, pidfd.as_raw_fd().cast_unsigned()),
            None => (libc::P_PID, self.pid.as_raw().cast_unsigned()),
        };
        let flags = flags | libc::WEXITED | libc::WNOHANG;
        loop {
            // SAFETY: all zeros is a valid value of this C structure of numbers.
            let mut details: libc::siginfo_t = unsafe { std::mem::zeroed() };
            // SAFETY: the pointer is to a structure of ours that lives through the call, which writes no more than it.
            let result = unsafe { libc::waitid(kind, number, &raw mut details, flags) };
            if result == -1 && Errno::last() == Errno::EINTR {
                continue;
            }
            if result == -1 {
                return Some((End::Unknown, None));
            }
            // SAFETY: waitid fills in the fields of a child's end, or leaves the zeros.
            let (pid, status) = unsafe { (details.si_pid(), details.si_status()) };
            return match details.si_code {
                _ if pid == 0 => None,
                libc::CLD_EXITED => Some((End::Exited(status), Some(ExitStatus::from_raw((status & 0xff) << 8)))),
                libc::CLD_KILLED => Some((End::Signaled(status), Some(ExitStatus::from_raw(status)))),
                libc::CLD_DUMPED => Some((End::Signaled(status), Some(ExitStatus::from_raw(status | CORE_DUMPED)))),
                _ => None,
            };
        }
    }
}

#[cfg(not(poolmap_linux))]
impl Process {
    fn reap(&self) -> Option<(End, Option<ExitStatus>)> {
        let mut status = 0;
        loop {
            // SAFETY: the pointer is to a number of ours that lives through the call.
            let result = unsafe { libc::waitpid(self.pid.as_raw(), &raw mut status, libc::WNOHANG) };
            match result {
                -1 if Errno::last() == Errno::EINTR => {}
                -1 => return Some((End::Unknown, None)),
                0 => return None,
                _ => break,
            }
        }
        // There is no wait here that leaves the process, so its group is killed right after.
        self.kill_group();
        let end = if libc::WIFSIGNALED(status) {
            End::Signaled(libc::WTERMSIG(status))
        } else {
            End::Exited(libc::WEXITSTATUS(status))
        };
        Some((end, Some(ExitStatus::from_raw(status))))
    }
}

#[cfg(poolmap_linux)]
fn pidfd_open(pid: Pid) -> Option<OwnedFd> {
    use std::os::fd::{FromRawFd, RawFd};

    // SAFETY: the call takes two integers and touches no memory of ours.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let descriptor = RawFd::try_from(descriptor).ok().filter(|&fd| fd >= 0)?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec by itself), and nothing else knows it.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Sends a signal; tells whether the process was there, dead or alive.
#[cfg(poolmap_linux)]
fn pidfd_signal(pidfd: &OwnedFd, signal: Signal) -> bool {
    use std::os::fd::AsRawFd;

    let no_details = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open, and a null pointer is allowed for the details of the signal.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal as libc::c_int, no_details, 0) };
    result == 0
}

#[cfg(not(poolmap_linux))]
fn pidfd_open(_pid: Pid) -> Option<OwnedFd> {
    None
}

#[cfg(not(poolmap_linux))]
fn pidfd_signal(_pidfd: &OwnedFd, _signal: Signal) -> bool {
    false
}

/// Whether the system tells the processor time of another process.
pub(crate) const CAN_TELL_CPU_TIME: bool = cfg!(poolmap_linux);

/// The processor time that all threads of a process have taken; none if it is gone.
#[cfg(poolmap_linux)]
pub(crate) fn cpu_time(pid: u32) -> Option<std::time::Duration> {
    let clock = nix::time::clock_getcpuclockid(Pid::from_raw(pid.cast_signed())).ok()?;
    nix::time::clock_gettime(clock).ok().map(std::time::Duration::from)
}

#[cfg(not(poolmap_linux))]
pub(crate) fn cpu_time(_pid: u32) -> Option<std::time::Duration> {
    None
}

/// The resident memory of a process, without what processes share; none where the system does not tell, or the process is
/// gone.
#[cfg(poolmap_linux)]
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_end_matches("kB").trim().parse().ok()
    };
    Some(kilobytes("VmRSS:")?.saturating_sub(kilobytes("RssShmem:").unwrap_or(0)) * 1024)
}

#[cfg(not(poolmap_linux))]
pub(crate) fn resident_bytes(_pid: u32) -> Option<u64> {
    None
}
