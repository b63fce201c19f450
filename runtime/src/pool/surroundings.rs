//! The options of a pool that say what its workers are started in.

use super::handle::cpu_count;
use super::per_worker::{Affinity, PerWorker};
use crate::error::{Error, Result};
use crate::sys::{self, SurroundingsChanges};

/// The variables by which libraries learn how many threads they are to start.
const THREAD_VARIABLES: [&str; 8] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
];

/// More threads than anyone has CPUs for.
const THREADS_MAX: usize = 1 << 16;

/// The options that say what workers are started in, as they were set.
#[derive(Clone, Debug, Default)]
pub(super) struct SurroundingsOptions {
    pub(super) changes: SurroundingsChanges,
    pub(super) threads_per_worker: Option<usize>,
    pub(super) nice: i32,
    pub(super) per_worker: PerWorker,
}

impl SurroundingsOptions {
    /// Checks them; for a pool of so many workers these are the surroundings, what each worker has by itself, and what all add to the
    /// nice value.
    pub(super) fn settle(self, workers: usize) -> Result<(SurroundingsChanges, PerWorker, i32)> {
        let Self { mut changes, threads_per_worker, nice, mut per_worker } = self;
        let mistake = |what: String| Err(Error::invalid_option(what));
        if let Some(what) = changes.mistake() {
            return mistake(what);
        }
        if let Some(threads) = threads_per_worker.filter(|threads| !(1..=THREADS_MAX).contains(threads)) {
            return mistake(format!("`threads_per_worker` must be 1 to {THREADS_MAX}, got {threads}"));
        }
        if !(-39..=39).contains(&nice) {
            return mistake(format!("`nice` must be -39 to 39, got {nice}"));
        }
        if let Some(name) = per_worker.name.as_ref().filter(|name| name.is_empty() || name.contains('\0')) {
            return mistake(format!("`name` must be a text without zero bytes that is not empty, got {name:?}"));
        }
        if per_worker.affinity.is_some() {
            let Some(allowed) = sys::allowed_cpus() else {
                return mistake(
                    "`affinity` is not supported on this platform: it does not report a process's CPUs".to_owned(),
                );
            };
            per_worker.allowed_cpus = allowed;
        }
        let threads = threads_per_worker.unwrap_or_else(|| threads_by_default(workers, &per_worker));
        for variable in THREAD_VARIABLES {
            changes.set_default(variable, threads.to_string());
        }
        Ok((changes, per_worker, nice))
    }
}

/// The share of a worker: of the CPUs, or of the threads that this process may start, where it is a worker itself.
fn threads_by_default(workers: usize, per_worker: &PerWorker) -> usize {
    let given = THREAD_VARIABLES.iter().find_map(|name| sys::given_default(name)?.parse().ok());
    let share = given.unwrap_or_else(cpu_count) / workers;
    let own_cpus = match per_worker.affinity {
        Some(Affinity::OneCore) => 1,
        Some(Affinity::Spread) => per_worker.allowed_cpus.len() / workers,
        None => usize::MAX,
    };
    share.min(own_cpus).max(1)
}
