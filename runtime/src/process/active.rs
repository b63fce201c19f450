//! Which processes are running.

use super::reaper;

/// Describes a running [`Process`](crate::Process).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    pub(super) pid: u32,
    pub(super) name: String,
    pub(super) is_daemon: bool,
}

impl ProcessInfo {
    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the process ends with this one.
    pub fn is_daemon(&self) -> bool {
        self.is_daemon
    }
}

/// Returns the running [`Process`](crate::Process)es that this process has started, in the order of their starts.
///
/// The list includes processes whose handle was dropped. It does not include workers of pools. You need not call this to reap ended
/// processes: they are reaped without it.
///
/// # Examples
///
/// ```
/// use poolmap::{Process, active_children, worker};
///
/// #[worker]
/// fn sleep(seconds: u64) {
///     std::thread::sleep(std::time::Duration::from_secs(seconds));
/// }
///
/// poolmap::init();
/// let mut sleeper = Process::new(sleep { seconds: 600 }).name("sleeper").start()?;
/// let active = active_children();
/// assert_eq!((active[0].pid(), active[0].name()), (sleeper.pid(), "sleeper"));
/// sleeper.kill();
/// assert!(sleeper.join().is_err());
/// assert_eq!(active_children(), []);
/// # Ok::<(), poolmap::Error>(())
/// ```
pub fn active_children() -> Vec<ProcessInfo> {
    reaper::children()
        .iter()
        .filter(|child| !child.has_ended())
        .map(|child| ProcessInfo { pid: child.pid, name: child.name.clone(), is_daemon: child.is_daemon() })
        .collect()
}
