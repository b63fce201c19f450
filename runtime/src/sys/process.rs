//! One child process: ended and reaped by itself, never through `waitpid(-1)` or a SIGCHLD handler.
//!
//! On Linux it is held by a pidfd, so that no signal can reach another process that has taken over its number, even if
//! the program ignores SIGCHLD or reaps children that are not its own. A filter of system calls may deny each of the calls
//! that signal and reap: the result of every one is looked at, and there is a second way, by the number.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::oom_kills::OomKills;
use super::poll::{Watch, poll};
use super::spawn::{Group, Spawn};
use super::stack_request::STACK_REQUEST;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exited(i32),
    Signaled(i32),
    /// A SIGKILL of the kernel's, which was out of memory.
    OutOfMemory,
    /// Someone else reaped it: the program ignores SIGCHLD, or waits for any child. Or the system denies every wait.
    Unknown,
}

/// A process that every signal to it was refused is out of reach if it lives this long after the first: it was asked to end
/// meanwhile.
const REFUSED_TIME_MAX: Duration = Duration::from_secs(2);
/// So is one that was killed, and does not end (it is in uninterruptible sleep).
const KILLED_TIME_MAX: Duration = Duration::from_secs(10);

/// A child process.
pub(crate) struct ChildProcess {
    pid: Pid,
    group: Group,
    pidfd: Option<Arc<OwnedFd>>,
    end: Option<End>,
    /// The end that the system has reported.
    status: Option<ExitStatus>,
    /// When this process tried first to kill it, and why the last try was refused, if it was.
    killed: Option<(Instant, Option<Errno>)>,
    /// Those before it was started.
    oom_kills: OomKills,
}

impl ChildProcess {
    /// Starts a process.
    pub(crate) fn spawn(spawn: Spawn<'_>) -> io::Result<Self> {
        let oom_kills = OomKills::now();
        let group = spawn.group;
        let pid = super::spawn::spawn(spawn)?;
        let pidfd = pidfd_open(pid).map(Arc::new);
        Ok(Self { pid, group, pidfd, end: None, status: None, killed: None, oom_kills })
    }

    /// Takes on a process that another has made as a child of this thread, and of which only the number is known.
    ///
    /// # Errors
    ///
    /// No child of this thread has that number: it is of another process, or of none.
    #[cfg(poolmap_linux)]
    pub(crate) fn adopt(pid: u32) -> io::Result<Self> {
        let oom_kills = OomKills::now();
        let number = i32::try_from(pid).ok().filter(|&number| number > 1).ok_or(io::ErrorKind::InvalidData)?;
        let pid = Pid::from_raw(number);
        // A child's number is its own until it is reaped, and nobody reaps it here.
        wait((libc::P_PID, number.cast_unsigned()), libc::WNOWAIT | libc::__WNOTHREAD)?;
        // It does so itself, too: whoever comes first. Before that it is in the group of the one that made it, and ends with that.
        let _ = nix::unistd::setpgid(pid, pid);
        let pidfd = pidfd_open(pid).map(Arc::new);
        Ok(Self { pid, group: Group::Own, pidfd, end: None, status: None, killed: None, oom_kills })
    }

    #[cfg(not(poolmap_linux))]
    pub(crate) fn adopt(_pid: u32) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// Readable once the process has ended; none where the system has no such descriptor.
    pub(crate) fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        self.pidfd.clone()
    }

    /// The same, borrowed.
    pub(crate) fn borrowed_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(|pidfd| pidfd.as_fd())
    }

    /// Kills the process and what it started, as far as that is in a process group of its own.
    ///
    /// # Errors
    ///
    /// The system refuses every way to do it. A process that is gone is no error.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        let sent = self.signal(Signal::SIGKILL);
        let since = self.killed.map_or_else(Instant::now, |(since, _)| since);
        self.killed = Some((since, sent.err()));
        // As long as it is not reaped, its number, which is also that of its group, belongs to it.
        if sent? {
            self.kill_group();
        }
        Ok(())
    }

    /// Kills the process as [`kill`](Self::kill) does, but lets it record first where it is: returns whether it was asked to do so. It
    /// may not heed that, so it must be killed a little later.
    pub(crate) fn end_with_its_stack(&mut self) -> bool {
        let signal = STACK_REQUEST.and_then(|signal| Signal::try_from(signal).ok());
        let is_asked = signal.is_some_and(|signal| self.signal(signal) == Ok(true));
        if is_asked {
            self.killed.get_or_insert((Instant::now(), None));
        }
        is_asked
    }

    /// Asks the process to end, by a SIGTERM.
    ///
    /// # Errors
    ///
    /// Those of [`kill`](Self::kill).
    pub(crate) fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::SIGTERM)?;
        Ok(())
    }

    /// Returns why the process cannot be ended, once it has lived too long after it was to be killed.
    pub(crate) fn out_of_reach(&self) -> Option<String> {
        let (_, refused) = self.killed?;
        if self.reach_deadline()? > Instant::now() {
            return None;
        }
        Some(match refused {
            Some(refused) => format!("could not send it SIGKILL: {refused}"),
            None => format!("it did not end within {KILLED_TIME_MAX:?} of its SIGKILL"),
        })
    }

    /// When the process counts as out of reach, if it was to be killed and is not reaped.
    pub(crate) fn reach_deadline(&self) -> Option<Instant> {
        let (since, refused) = self.killed.filter(|_| self.end.is_none())?;
        Some(since + if refused.is_some() { REFUSED_TIME_MAX } else { KILLED_TIME_MAX })
    }

    /// Whether its end was seen.
    pub(crate) fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Sends a signal to the process; returns whether it was there, dead or alive. An error is that of the last way.
    fn signal(&self, signal: Signal) -> Result<bool, Errno> {
        if self.end.is_some() {
            return Ok(false);
        }
        let by_pidfd = self.pidfd.as_ref().map_or(Err(Errno::ENOSYS), |pidfd| pidfd_signal(pidfd, signal));
        let by_number = || match self.wait(libc::WNOWAIT) {
            // If it has ended and someone else reaped it, its number may be another's: nothing is sent.
            Err(Errno::ECHILD) => Err(Errno::ESRCH),
            Ok(Some(_)) => Ok(()),
            // Where that is not to be known, a number that the pidfd says is in use is the process's own. If it ends between
            // the two lines, and someone else reaps it, and its number is given away at once, the signal reaches another: that
            // takes a filter, a program that reaps for us, and all numbers to be used up in that moment.
            _ if self.is_over() => Err(Errno::ESRCH),
            _ => kill(self.pid, signal).or_else(|denied| match denied {
                Errno::ESRCH => Err(denied),
                _ => thread_signal(self.pid, signal).map_err(|_| denied),
            }),
        };
        match by_pidfd.or_else(|denied| if denied == Errno::ESRCH { Err(denied) } else { by_number() }) {
            Ok(()) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(denied) => Err(denied),
        }
    }

    /// Whether the pidfd says that the process has ended; false where there is none.
    fn is_over(&self) -> bool {
        let Some(pidfd) = &self.pidfd else {
            return false;
        };
        let mut watches = [Watch::read(pidfd.as_fd())];
        poll(&mut watches, Some(Duration::ZERO)).is_ok() && watches[0].ready
    }

    /// Kills what the process started. Where the system refuses that, it goes on, and nothing is known of it.
    fn kill_group(&self) {
        if self.group == Group::Own
            && let Err(denied) = killpg(self.pid, Signal::SIGKILL)
            && denied != Errno::ESRCH
            && let Some(pidfd) = &self.pidfd
        {
            let _ = pidfd_group_signal(pidfd, Signal::SIGKILL);
        }
    }

    /// Returns the exit status that the system has reported; none before the process is reaped, or where another has reaped it.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// Reaps the process if it has ended, and kills what is left of its own group.
    pub(crate) fn try_reap(&mut self) -> Option<End> {
        if self.end.is_none() {
            let ended = self.reap();
            self.status = ended.and_then(|(_, status)| status);
            self.end = ended.map(|(end, _)| match end {
                End::Signaled(libc::SIGKILL) if self.killed.is_none() && self.oom_kills.take_one() => End::OutOfMemory,
                end => end,
            });
        }
        self.end
    }
}

impl ChildProcess {
    fn reap(&self) -> Option<(End, Option<ExitStatus>)> {
        let ended = match self.wait(libc::WNOWAIT) {
            Ok(ended) => ended?,
            Err(Errno::ECHILD) => return self.ended_elsewhere(),
            Err(_) => return self.reap_by_number(),
        };
        // Until it is reaped, its number, which is also that of its group, belongs to it.
        self.kill_group();
        if self.wait(0).is_err() {
            return self.reap_by_number().or(Some(ended));
        }
        Some(ended)
    }

    /// The same where there is no wait that leaves the process.
    fn reap_by_number(&self) -> Option<(End, Option<ExitStatus>)> {
        if self.is_over() {
            self.kill_group();
        }
        let mut status = 0;
        loop {
            // SAFETY: the pointer is to a number of ours that lives through the call.
            let result = unsafe { libc::waitpid(self.pid.as_raw(), &raw mut status, libc::WNOHANG) };
            match result {
                -1 if Errno::last() == Errno::EINTR => {}
                -1 if Errno::last() == Errno::ECHILD => return self.ended_elsewhere(),
                -1 => return self.ended_unseen(),
                0 => return None,
                _ => break,
            }
        }
        // Its group is killed right after: no number is given to another process while a group has it.
        self.kill_group();
        let end = if libc::WIFSIGNALED(status) {
            End::Signaled(libc::WTERMSIG(status))
        } else {
            End::Exited(libc::WEXITSTATUS(status))
        };
        Some((end, Some(ExitStatus::from_raw(status))))
    }

    /// The end of a process that someone else reaped. A filter of system calls may say so of one that lives.
    fn ended_elsewhere(&self) -> Option<(End, Option<ExitStatus>)> {
        (self.pidfd.is_none() || self.is_over()).then_some((End::Unknown, None))
    }

    /// The end of a process that the system lets nobody wait for.
    fn ended_unseen(&self) -> Option<(End, Option<ExitStatus>)> {
        let is_over = self.is_over() || kill(self.pid, None) == Err(Errno::ESRCH) || is_zombie(self.pid);
        is_over.then_some((End::Unknown, None))
    }
}

/// Whether the system says that a process has ended, and waits to be reaped.
fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind its name, which may hold anything, comes its state.
    stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with(['Z', 'X']))
}

#[cfg(poolmap_linux)]
impl ChildProcess {
    /// How it ended, if it has. nix's `waitid` fails for signals that it has no name for (the real-time ones).
    fn wait(&self, flags: libc::c_int) -> Result<Option<(End, Option<ExitStatus>)>, Errno> {
        use std::os::fd::AsRawFd;

        let by_pidfd = self.pidfd.as_ref().map(|pidfd| wait((libc::P_PIDFD, pidfd.as_raw_fd().cast_unsigned()), flags));
        match by_pidfd {
            // Linux below 5.4 has pidfds, and no wait for them.
            None | Some(Err(Errno::EINVAL)) => wait((libc::P_PID, self.pid.as_raw().cast_unsigned()), flags),
            Some(waited) => waited,
        }
    }
}

#[cfg(poolmap_linux)]
fn wait(
    (kind, number): (libc::idtype_t, libc::id_t),
    flags: libc::c_int,
) -> Result<Option<(End, Option<ExitStatus>)>, Errno> {
    /// As `wait` gives it (wait(2)): the exit code in the second byte; or the signal, and whether there is a core dump.
    const CORE_DUMPED: libc::c_int = 0x80;

    let flags = flags | libc::WEXITED | libc::WNOHANG;
    loop {
        // SAFETY: all zeros is a valid value of this C structure of numbers.
        let mut details: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a structure of ours that lives through the call, which writes no more than it.
        let result = unsafe { libc::waitid(kind, number, &raw mut details, flags) };
        match Errno::result(result) {
            Err(Errno::EINTR) => continue,
            result => result?,
        };
        // SAFETY: waitid fills in the fields of a child's end, or leaves the zeros.
        let (pid, status) = unsafe { (details.si_pid(), details.si_status()) };
        return Ok(match details.si_code {
            _ if pid == 0 => None,
            libc::CLD_EXITED => Some((End::Exited(status), Some(ExitStatus::from_raw((status & 0xff) << 8)))),
            libc::CLD_KILLED => Some((End::Signaled(status), Some(ExitStatus::from_raw(status)))),
            libc::CLD_DUMPED => Some((End::Signaled(status), Some(ExitStatus::from_raw(status | CORE_DUMPED)))),
            _ => None,
        });
    }
}

#[cfg(not(poolmap_linux))]
impl ChildProcess {
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "it is as on Linux")]
    fn wait(&self, _flags: libc::c_int) -> Result<Option<(End, Option<ExitStatus>)>, Errno> {
        Err(Errno::ENOSYS)
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

#[cfg(poolmap_linux)]
fn pidfd_signal(pidfd: &OwnedFd, signal: Signal) -> Result<(), Errno> {
    pidfd_send_signal(pidfd, signal, 0)
}

/// Sends a signal to the process group of a process's. Linux below 6.9 has no such call.
#[cfg(poolmap_linux)]
fn pidfd_group_signal(pidfd: &OwnedFd, signal: Signal) -> Result<(), Errno> {
    /// `PIDFD_SIGNAL_PROCESS_GROUP` (linux/pidfd.h).
    const PROCESS_GROUP: libc::c_uint = 1 << 2;

    pidfd_send_signal(pidfd, signal, PROCESS_GROUP)
}

#[cfg(poolmap_linux)]
fn pidfd_send_signal(pidfd: &OwnedFd, signal: Signal, flags: libc::c_uint) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;

    let no_details = std::ptr::null::<libc::siginfo_t>();
    let (pidfd, signal) = (pidfd.as_raw_fd(), signal as libc::c_int);
    // SAFETY: the descriptor is open, and a null pointer is allowed for the details of the signal.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, no_details, flags) };
    Errno::result(result).map(drop)
}

/// Sends a signal to the first thread of a process; one that ends a thread ends the process.
#[cfg(poolmap_linux)]
fn thread_signal(pid: Pid, signal: Signal) -> Result<(), Errno> {
    // SAFETY: the call takes three integers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, pid.as_raw(), pid.as_raw(), signal as libc::c_int) };
    Errno::result(result).map(drop)
}

#[cfg(not(poolmap_linux))]
fn pidfd_open(_pid: Pid) -> Option<OwnedFd> {
    None
}

#[cfg(not(poolmap_linux))]
fn pidfd_signal(_pidfd: &OwnedFd, _signal: Signal) -> Result<(), Errno> {
    Err(Errno::ENOSYS)
}

#[cfg(not(poolmap_linux))]
fn pidfd_group_signal(_pidfd: &OwnedFd, _signal: Signal) -> Result<(), Errno> {
    Err(Errno::ENOSYS)
}

#[cfg(not(poolmap_linux))]
fn thread_signal(_pid: Pid, _signal: Signal) -> Result<(), Errno> {
    Err(Errno::ENOSYS)
}

/// Whether the system reports the processor time of another process.
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

/// The children of this thread, as far as the system lists them.
pub(crate) fn children_of_this_thread() -> Vec<u32> {
    let listed = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The resident memory of a process that no file has, and that it shares with nobody but its copies.
pub(crate) fn anonymous_bytes(pid: u32) -> Option<u64> {
    let [anonymous] = status_bytes(pid, ["RssAnon:"])?;
    anonymous
}

/// The resident memory of a process, without what processes share; none where the system does not report, or the process is
/// gone.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let [all, shared] = status_bytes(pid, ["VmRSS:", "RssShmem:"])?;
    Some(all?.saturating_sub(shared.unwrap_or(0)))
}

/// The most resident memory that a process has had; none where the system does not report, or the process is gone.
#[cfg(poolmap_linux)]
pub(super) fn peak_resident_bytes(pid: u32) -> Option<u64> {
    let [peak] = status_bytes(pid, [PEAK])?;
    peak
}

/// The same, in such a text of a process.
#[cfg(poolmap_sandbox)]
pub(super) fn peak_of_status(status: &str) -> Option<u64> {
    bytes_of_line(status, PEAK)
}

/// The line with the most memory that a process had.
#[cfg(poolmap_linux)]
const PEAK: &str = "VmHWM:";

/// What some lines of proc_pid_status(5) say, which give kilobytes, in bytes; none for a line that is not there.
#[cfg(poolmap_linux)]
fn status_bytes<const LINES: usize>(pid: u32, names: [&str; LINES]) -> Option<[Option<u64>; LINES]> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(names.map(|name| bytes_of_line(&status, name)))
}

#[cfg(poolmap_linux)]
fn bytes_of_line(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

#[cfg(not(poolmap_linux))]
fn status_bytes<const LINES: usize>(_pid: u32, _names: [&str; LINES]) -> Option<[Option<u64>; LINES]> {
    None
}
