//! The identity of this process, for code inside a task.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::task::WorkerInfo;

static WORKER: OnceLock<(usize, u32)> = OnceLock::new();
/// A worker runs one task at a time.
static ATTEMPT: AtomicU32 = AtomicU32::new(0);

/// A task that this process runs for itself.
#[derive(Clone, Copy)]
pub(super) struct OwnTask {
    pub(super) attempt: u32,
    pub(super) index: u64,
    pub(super) call_seed: u64,
}

thread_local! {
    /// That of this thread.
    static OWN_TASK: Cell<Option<OwnTask>> = const { Cell::new(None) };
}

/// The task that this thread runs in process.
pub(super) fn own_task() -> Option<OwnTask> {
    OWN_TASK.get()
}

/// Until what it returns is dropped, this thread runs this task in process.
pub(super) fn enter_own_task(task: OwnTask) -> impl Drop {
    struct Before(Option<OwnTask>);

    impl Drop for Before {
        fn drop(&mut self) {
            OWN_TASK.set(self.0);
        }
    }

    Before(OWN_TASK.replace(Some(task)))
}

/// Returns the worker that this process is, or `None` if it is not a worker.
///
/// In a [`Process`](crate::Process) the index is 0, the attempt 1, and the parent the process that started it. In a task of a pool in
/// process ([`Builder::in_process`](crate::Builder::in_process)) the index is 0, and this process is its own parent; a thread that the
/// task starts is no worker.
///
/// # Examples
///
/// ```
/// use poolmap::{current_worker, pool_map, worker};
///
/// #[worker]
/// fn parent_pid(_task: usize) -> Option<u32> {
///     current_worker().map(|worker| worker.parent_pid())
/// }
///
/// poolmap::init();
/// assert_eq!(current_worker(), None);
/// assert_eq!(pool_map!(parent_pid, 0..3)?, [Some(std::process::id()); 3]);
/// # Ok::<(), poolmap::Error>(())
/// ```
pub fn current_worker() -> Option<WorkerInfo> {
    if let Some(OwnTask { attempt, .. }) = own_task() {
        return Some(WorkerInfo::new(0, std::process::id(), std::process::id(), attempt));
    }
    let &(index, parent_pid) = WORKER.get()?;
    let attempt = ATTEMPT.load(Ordering::Relaxed);
    Some(WorkerInfo::new(index, std::process::id(), parent_pid, attempt))
}

pub(super) fn set_worker(index: usize, parent_pid: u32) {
    // It is set once: a process becomes a worker once.
    let _ = WORKER.set((index, parent_pid));
}

/// The worker's place in its pool; 0 in process.
pub(super) fn worker_index() -> usize {
    WORKER.get().filter(|_| own_task().is_none()).map_or(0, |(index, _)| *index)
}

/// Sets the attempt of the task that begins; 0 when it has ended.
pub(super) fn set_attempt(attempt: u32) {
    ATTEMPT.store(attempt, Ordering::Relaxed);
}
