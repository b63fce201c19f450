//! Undoes the binding of a lone rank: Open MPI's `mpirun` binds a process that is alone on its machine to one core, and all workers
//! would inherit that. It does not judge whether a process is alone.
//!
//! The process gets the CPUs that the launcher's own process on this machine has. They are within the CPUs of the job, whatever bounds
//! these (a cgroup, `taskset`, Slurm), where all CPUs of the machine might not be: Slurm can share a machine out by affinity alone.

#[cfg(target_os = "linux")]
use super::placement::{allowed_cpus, set_cpus};

/// The processes by which launchers start ranks on a machine, as the kernel names them (15 bytes at most).
#[cfg(any(target_os = "linux", test))]
const LAUNCHERS: [&str; 9] = [
    "orted",
    "prted",
    "orterun",
    "prterun",
    "mpirun",
    "mpiexec",
    "mpirun.openmpi",
    "mpiexec.openmpi",
    "hydra_pmi_proxy",
];
/// A rank may be started by a few scripts.
#[cfg(any(target_os = "linux", test))]
const ANCESTORS_MAX: usize = 16;

/// Gives this thread the CPUs of the launcher that has started this process; returns how many it has then, if they have become more.
/// Threads and processes that are started later inherit them.
#[cfg(target_os = "linux")]
pub(crate) fn undo_binding() -> Option<usize> {
    use nix::sched::{CpuSet, sched_getaffinity};

    let launcher = launcher(nix::unistd::getppid().as_raw(), |process| {
        std::fs::read_to_string(format!("/proc/{process}/stat")).ok()
    })?;
    let set = sched_getaffinity(nix::unistd::Pid::from_raw(launcher)).ok()?;
    let cpus: Vec<usize> = (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect();
    widen(&cpus)
}

/// As above, for systems without CPUs of a process.
#[cfg(not(target_os = "linux"))]
pub(crate) fn undo_binding() -> Option<usize> {
    None
}

/// Gives this thread these CPUs beside its own; returns how many it has then, if they have become more.
#[cfg(target_os = "linux")]
fn widen(cpus: &[usize]) -> Option<usize> {
    let own = allowed_cpus()?;
    let mut all = [&own[..], cpus].concat();
    all.sort_unstable();
    all.dedup();
    if all.len() == own.len() {
        return None;
    }
    set_cpus(&all).ok()?;
    // The kernel gives what the cgroup allows of them.
    Some(allowed_cpus()?.len()).filter(|&count| count > own.len())
}

/// The nearest ancestor that is a launcher's process; `stat` reads the state of a process (proc(5)).
#[cfg(any(target_os = "linux", test))]
fn launcher(mut process: i32, stat: impl Fn(i32) -> Option<String>) -> Option<i32> {
    for _ in 0..ANCESTORS_MAX {
        if process <= 1 {
            return None;
        }
        let stat = stat(process)?;
        // The name may hold anything, parentheses too; behind it are the state and the parent.
        let (_, named) = stat.split_once('(')?;
        let (name, rest) = named.rsplit_once(") ")?;
        if LAUNCHERS.contains(&name) {
            return Some(process);
        }
        process = rest.split(' ').nth(1)?.parse().ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_is_found_behind_scripts() {
        let stat = |process: i32| match process {
            30 => Some("30 (sh) S 20 1 1".to_owned()),
            20 => Some("20 (a (b) ) c) S 10 1 1".to_owned()),
            10 => Some("10 (orted) S 1 1 1".to_owned()),
            50 => Some("50 (bash) S 1 1 1".to_owned()),
            60 => Some("60 (loop) S 60 1 1".to_owned()),
            70 => Some("nonsense".to_owned()),
            _ => None,
        };
        assert_eq!(launcher(30, stat), Some(10));
        assert_eq!([50, 60, 70, 99, 1].map(|process| launcher(process, stat)), [None; 5]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_bound_thread_gets_more_cpus_and_keeps_its_own() {
        let all = allowed_cpus().unwrap();
        std::thread::spawn(move || {
            let last = *all.last().unwrap();
            set_cpus(&[last]).unwrap();
            assert_eq!(widen(&[last]), None);
            let widened = widen(&all);
            assert_eq!(widened, (all.len() > 1).then_some(all.len()));
            assert_eq!(allowed_cpus().unwrap(), all);
        })
        .join()
        .unwrap();
    }
}
