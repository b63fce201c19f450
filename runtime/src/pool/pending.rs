//! The submitted tasks of a pool, as its threads share them. The rules are in `submissions`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use super::locked::{Awaited, AwaitedLock, Guard};
use super::retry_policy::RetryRules;
use super::rules::{Admission, SubmissionRules};
use super::scheduler::CallId;
use super::submitted::{Callback, Outcome, Submitted};
use crate::locks::{Condition, Rank, Ranked};
use crate::recording::CallRecorder;
use crate::transport::{Chunk, CompletedTasks};

/// While a map drives, submitted tasks are looked after this often.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The submitted tasks of a pool.
pub(super) struct Submissions {
    state: AwaitedLock<PendingState>,
    /// The threads that wait for a handle, and drive.
    pub(super) waiting: AtomicUsize,
    /// Changes with the call: who waits for one that is closed must look again.
    pub(super) version: AtomicU64,
    /// The thread drives.
    pub(super) is_driving: AtomicBool,
}

impl Ranked for PendingState {
    const RANK: Rank = Rank::Submissions;
}

impl Awaited for PendingState {
    type Wakers = ();
    type Whom = bool;

    fn take_whom(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    fn wake(has_changed: bool, (): &(), condition: &Condition) {
        if has_changed {
            condition.notify_all();
        }
    }
}

/// The state of the submitted tasks, under the lock.
pub(super) struct PendingState {
    /// The thread of `submissions` has something to do, or has done what others wait for.
    pub(super) has_changed: bool,
    pub(super) call: Option<CallId>,
    pending: BTreeMap<usize, PendingTask>,
    /// How many of them count as calls that wait, while no worker runs them.
    bounded: usize,
    /// When the time of a task is over, and its index.
    deadlines: BTreeSet<(Instant, usize)>,
    /// When a task that has failed is executed again, and its index.
    retries: BTreeSet<(Instant, usize)>,
    pub(super) next_index: usize,
    pub(super) callbacks: VecDeque<(Callback, Outcome)>,
    pub(super) thread: Option<JoinHandle<()>>,
    pub(super) thread_id: Option<ThreadId>,
    /// A callback is running.
    pub(super) is_calling_back: bool,
    /// The pool is shut down: the thread ends once it has nothing to do.
    pub(super) is_ending: bool,
    pub(super) has_ended: bool,
}

/// A submitted task that has no outcome.
pub(super) struct PendingTask {
    pub(super) submitted: Arc<Submitted>,
    /// When its time is over, and how long that was.
    deadline: Option<(Instant, Duration)>,
    /// Which failures are executed again, if any are, and what was sent for its last execution.
    pub(super) retry: Option<(RetryRules, Chunk)>,
    admission: Admission,
    /// What records its executions. Its handle has it too, so that it does not end under the lock.
    recorder: Option<CallRecorder>,
    /// It waits for its next execution, which begins at this moment.
    waiting: Option<(Instant, Chunk)>,
}

impl PendingTask {
    /// A task that has `rules`, and sends `chunk` again if it is executed again. A time behind the end of the clock is never over.
    pub(super) fn new(submitted: Arc<Submitted>, rules: SubmissionRules, since: Instant, chunk: &Chunk) -> Self {
        let deadline = rules.deadline.and_then(|time| Some((since.checked_add(time)?, time)));
        let SubmissionRules { retry, admission, recorder, .. } = rules;
        let retry = retry.map(|retry| (retry, chunk.clone()));
        Self { submitted, deadline, retry, admission, recorder, waiting: None }
    }
}

impl Submissions {
    pub(super) fn new() -> Self {
        Self {
            state: AwaitedLock::new(
                PendingState {
                    has_changed: false,
                    call: None,
                    pending: BTreeMap::new(),
                    bounded: 0,
                    deadlines: BTreeSet::new(),
                    retries: BTreeSet::new(),
                    next_index: 0,
                    callbacks: VecDeque::new(),
                    thread: None,
                    thread_id: None,
                    is_calling_back: false,
                    is_ending: false,
                    has_ended: false,
                },
                (),
            ),
            waiting: AtomicUsize::new(0),
            version: AtomicU64::new(0),
            is_driving: AtomicBool::new(false),
        }
    }

    /// Whether the thread drives, and is to be woken by who would rather do it.
    pub(super) fn is_driving(&self) -> bool {
        self.is_driving.load(Ordering::SeqCst)
    }

    pub(super) fn lock(&self) -> Guard<'_, PendingState> {
        self.state.lock()
    }
}

impl PendingState {
    /// Adds a task. Returns whether its time is over before that of all others.
    pub(super) fn add(&mut self, task: PendingTask) -> bool {
        let index = task.submitted.index();
        let deadline = task.deadline.map(|(at, _)| (at, index));
        self.bounded += usize::from(task.admission == Admission::Bounded);
        self.pending.insert(index, task);
        self.deadlines.extend(deadline);
        deadline.is_some() && self.deadlines.first() == deadline.as_ref()
    }

    pub(super) fn get(&self, index: usize) -> Option<&PendingTask> {
        self.pending.get(&index)
    }

    pub(super) fn contains(&self, index: usize) -> bool {
        self.pending.contains_key(&index)
    }

    /// How many tasks count as calls that wait, while no worker runs them.
    pub(super) fn bounded(&self) -> usize {
        self.bounded
    }

    /// Whether a task is one of them.
    pub(super) fn is_bounded(&self, index: usize) -> bool {
        self.pending.get(&index).is_some_and(|task| task.admission == Admission::Bounded)
    }

    /// Whether each task has its outcome.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Records an execution of a task, if it is recorded.
    pub(super) fn record(&self, done: &mut CompletedTasks) {
        if let Some(recorder) = self.pending.get(&done.first_index).and_then(|task| task.recorder.as_ref()) {
            recorder.record(done);
        }
    }

    /// Takes a task out that has its outcome.
    pub(super) fn remove(&mut self, index: usize) -> Option<Arc<Submitted>> {
        self.take_waiting(index);
        self.forget_deadline(index);
        let task = self.pending.remove(&index)?;
        self.bounded -= usize::from(task.admission == Admission::Bounded);
        Some(task.submitted)
    }

    /// Takes all tasks out.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Arc<Submitted>> + use<> {
        self.deadlines.clear();
        self.retries.clear();
        self.bounded = 0;
        std::mem::take(&mut self.pending).into_values().map(|task| task.submitted)
    }

    /// Lets a task wait for its next execution until a moment.
    pub(super) fn execute_again_at(&mut self, index: usize, at: Instant, chunk: Chunk) {
        if let Some(task) = self.pending.get_mut(&index) {
            if let Some((_, sent)) = &mut task.retry {
                *sent = chunk.clone();
            }
            task.waiting = Some((at, chunk));
            self.retries.insert((at, index));
            self.deadlines.extend(task.deadline.map(|(at, _)| (at, index)));
        }
    }

    /// Takes out what would be sent for the next execution of a task, if it waits for that.
    pub(super) fn take_waiting(&mut self, index: usize) -> Option<Chunk> {
        let (at, chunk) = self.pending.get_mut(&index)?.waiting.take()?;
        self.retries.remove(&(at, index));
        Some(chunk)
    }

    /// Takes out what is to be sent by now for tasks that are executed again.
    pub(super) fn take_due_retries(&mut self, now: Instant) -> Vec<Chunk> {
        let due: Vec<usize> = self.retries.iter().take_while(|(at, _)| *at <= now).map(|(_, index)| *index).collect();
        due.into_iter().filter_map(|index| self.take_waiting(index)).collect()
    }

    /// The tasks whose time is over, and how long that was.
    pub(super) fn late(&self, now: Instant) -> Vec<(usize, Duration)> {
        let late = self.deadlines.iter().take_while(|(at, _)| *at <= now);
        late.filter_map(|(_, index)| Some((*index, self.pending.get(index)?.deadline?.1))).collect()
    }

    /// Looks at the time of a task no more: it has an outcome, which has not arrived yet.
    pub(super) fn forget_deadline(&mut self, index: usize) {
        if let Some((at, _)) = self.pending.get(&index).and_then(|task| task.deadline) {
            self.deadlines.remove(&(at, index));
        }
    }

    /// When there is something to do for a task whose time is over, or that is executed again.
    pub(super) fn next_time(&self) -> Option<Instant> {
        let first = |times: &BTreeSet<(Instant, usize)>| times.first().map(|(at, _)| *at);
        first(&self.deadlines).into_iter().chain(first(&self.retries)).min()
    }

    /// Adds a callback, for the thread to run.
    pub(super) fn add_callback(&mut self, callback: Callback, outcome: Outcome) {
        self.callbacks.push_back((callback, outcome));
        self.has_changed = true;
    }
}
