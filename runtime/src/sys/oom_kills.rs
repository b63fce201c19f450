//! How many processes the kernel's out-of-memory killer has ended in this process's memory cgroup, workers included.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const ROOT: &str = "/sys/fs/cgroup";

/// The count when a worker was started; none where the system reports none.
#[derive(Clone, Copy)]
pub(super) struct OomKills(Option<u64>);

/// Up to here, each is accounted for: it was a worker's death.
static ACCOUNTED: AtomicU64 = AtomicU64::new(0);

impl OomKills {
    /// Those up to now.
    pub(super) fn now() -> Self {
        Self(count())
    }

    /// Whether there was one since, which no other death has taken. The kernel counts before it kills. The caller has seen a
    /// SIGKILL that this process did not send.
    pub(super) fn take_one(self) -> bool {
        let (Some(start), Some(now)) = (self.0, count()) else {
            return false;
        };
        let accounted = ACCOUNTED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| account(start, last, now));
        accounted.is_ok()
    }
}

/// The count up to which kills are accounted for once another is; `None` if there is none left.
fn account(start: u64, accounted: u64, now: u64) -> Option<u64> {
    let from = start.max(accounted);
    (now > from).then_some(from + 1)
}

fn count() -> Option<u64> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        files(&groups).into_iter().find(|file| count_in(file).is_some())
    });
    count_in(file.as_ref()?)
}

/// The count in a file, by one read: it is asked for at each start of a worker.
fn count_in(file: &Path) -> Option<u64> {
    // More than it holds.
    let mut text = [0; 512];
    let count = File::open(file).ok()?.read(&mut text).ok()?;
    kills(std::str::from_utf8(text.get(..count)?).ok()?)
}

/// Where the count may stand, as proc_pid_cgroup(5) tells: in a cgroup of the first version that limits memory, or of the
/// second. In a container, what is shown as the root is its own.
fn files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (root, name) = if controllers.split(',').any(|controller| controller == "memory") {
            (Path::new(ROOT).join("memory"), "memory.oom_control")
        } else if controllers.is_empty() {
            (PathBuf::from(ROOT), "memory.events")
        } else {
            continue;
        };
        files.push(root.join(path.trim_start_matches('/')).join(name));
        files.push(root.join(name));
    }
    files
}

/// The count in a file of either version.
fn kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_either_version() {
        assert_eq!(kills("low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), Some(5));
        assert_eq!(kills("oom_kill_disable 1\nunder_oom 0\n"), None);
        assert_eq!(kills("oom_kill many"), None);
    }

    #[test]
    fn the_file_is_that_of_the_own_group_or_of_the_containers_root() {
        let second = ["/sys/fs/cgroup/user.slice/a/memory.events", "/sys/fs/cgroup/memory.events"];
        assert_eq!(files("0::/user.slice/a\n"), second.map(PathBuf::from));
        let first = ["/sys/fs/cgroup/memory/docker/1/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control"];
        assert_eq!(files("5:cpu,cpuacct:/x\n4:memory:/docker/1\n1:name=systemd:/y\n"), first.map(PathBuf::from));
        assert_eq!(files("nonsense\n"), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_kill_is_the_cause_of_one_death() {
        assert_eq!(account(3, 0, 3), None);
        assert_eq!(account(3, 0, 5), Some(4));
        assert_eq!(account(3, 4, 5), Some(5));
        assert_eq!(account(3, 5, 5), None);
        assert_eq!(account(5, 4, 5), None);
    }
}
