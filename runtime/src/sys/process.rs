//! One child process: ended and reaped by itself, never through `waitpid(-1)` or a SIGCHLD handler.
//!
//! On Linux it is held by a pidfd, so that no signal can reach another process that has taken over its number, even if
//! the program ignores SIGCHLD or reaps children that are not its own.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exited(i32),
    Signaled(i32),
    /// Someone else reaped it: the program ignores SIGCHLD, or waits for any child.
    Unknown,
}

/// A child process that leads a process group of its own.
pub(crate) struct Process {
    pid: Pid,
    pidfd: Option<Arc<OwnedFd>>,
    end: Option<End>,
}

impl Process {
    /// Starts a process. The command must make it the leader of a process group.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.spawn()?;
        let pid = Pid::from_raw(child.id().cast_signed());
        Ok(Self { pid, pidfd: pidfd_open(pid).map(Arc::new), end: None })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// Readable once the process has ended; none where the system has no such descriptor.
    pub(crate) fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        self.pidfd.clone()
    }

    /// Kills the process and what it started, as far as that is in its process group. Errors mean that it is gone.
    pub(crate) fn kill(&self) {
        if self.end.is_some() {
            return;
        }
        let _ = killpg(self.pid, Signal::SIGKILL);
        match &self.pidfd {
            Some(pidfd) => pidfd_kill(pidfd),
            None => {
                let _ = kill(self.pid, Signal::SIGKILL);
            }
        }
    }

    /// Reaps the process if it has ended, and kills what is left of its group.
    pub(crate) fn try_reap(&mut self) -> Option<End> {
        if self.end.is_none() {
            self.end = self.reap();
        }
        self.end
    }
}

#[cfg(poolmap_linux)]
impl Process {
    fn reap(&self) -> Option<End> {
        use nix::sys::wait::WaitPidFlag;

        self.wait(WaitPidFlag::WNOWAIT)?;
        // Until it is reaped, its number, which is also that of its group, belongs to it.
        let _ = killpg(self.pid, Signal::SIGKILL);
        self.wait(WaitPidFlag::empty())
    }

    /// How it ended, if it has.
    fn wait(&self, flags: nix::sys::wait::WaitPidFlag) -> Option<End> {
        use nix::sys::wait::{Id, WaitPidFlag, waitid};
        use std::os::fd::AsFd;

        loop {
            let id = match &self.pidfd {
                Some(pidfd) => Id::PIDFd(pidfd.as_fd()),
                None => Id::Pid(self.pid),
            };
            match waitid(id, flags | WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
                Err(Errno::EINTR) => {}
                waited => return end(waited),
            }
        }
    }
}

#[cfg(not(poolmap_linux))]
impl Process {
    fn reap(&self) -> Option<End> {
        use nix::sys::wait::{WaitPidFlag, waitpid};

        let waited = loop {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Err(Errno::EINTR) => {}
                waited => break waited,
            }
        };
        let end = end(waited)?;
        // nix has no wait here that leaves the process, so its group is killed right after.
        let _ = killpg(self.pid, Signal::SIGKILL);
        Some(end)
    }
}

/// What a wait says; none while the process runs.
fn end(waited: nix::Result<WaitStatus>) -> Option<End> {
    match waited {
        Ok(WaitStatus::Exited(_, code)) => Some(End::Exited(code)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(End::Signaled(signal as i32)),
        Ok(_) => None,
        Err(_) => Some(End::Unknown),
    }
}

#[cfg(poolmap_linux)]
fn pidfd_open(pid: Pid) -> Option<OwnedFd> {
    use nix::libc;
    use std::os::fd::{FromRawFd, RawFd};

    // SAFETY: the call takes two integers and touches no memory of ours.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let descriptor = RawFd::try_from(descriptor).ok().filter(|&fd| fd >= 0)?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec by itself), and nothing else knows it.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(poolmap_linux)]
fn pidfd_kill(pidfd: &OwnedFd) {
    use nix::libc;
    use std::os::fd::AsRawFd;

    let no_details = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open, and a null pointer is allowed for the details of the signal.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, no_details, 0) };
}

#[cfg(not(poolmap_linux))]
fn pidfd_open(_pid: Pid) -> Option<OwnedFd> {
    None
}

#[cfg(not(poolmap_linux))]
fn pidfd_kill(_pidfd: &OwnedFd) {}
