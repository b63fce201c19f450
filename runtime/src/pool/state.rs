//! The state that the parent's threads share: the scheduler and the slots, under one lock.
//!
//! 1. The lock is never held while a thread waits, while a process is started, or while code of the program's runs.
//! 2. The supervisor alone starts, kills and reaps; other threads begin_ending a worker, and the supervisor is woken.
//! 3. At most one thread at a time reads the channels: the *driver*, a caller that waits for results. Other callers are *waiters*;
//!    when the driver stops, one of them takes over.
//! 4. A method that changes what another thread waits for notes that in `turn`: a worker that was given something or is out of
//!    service, results that another thread has taken, the end of a call. The guard of the lock wakes them (`locked`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::arguments_memory::arguments_memory;
use super::chunk_size::Revocation;
use super::counters::Counters;
use super::locked::{Awaited, AwaitedLock, Guard};
use super::own_tasks::OwnTasks;
use super::pending::Submissions;
use super::per_worker::Environments;
use super::recycling::Retirement;
use super::rules::Settings;
use super::scheduler::{CallId, CallRules, OnCancel, Scheduler, Slot};
use super::single_task::{lifecycle_chunk, single_chunk};
use super::starts::StartPolicy;
use super::turn::{Turn, Wakes};
use super::waiting_streams::{StreamsThread, WaitingStreams};
use super::wakers::PoolWakers;
use super::worker_slot::{Cause, Life, WorkerProcess, WorkerSlot};
use crate::child;
use crate::error::{Error, Kind, StartFailure, TaskErrorKind};
use crate::functions;
use crate::in_process::States;
use crate::locks::{Condition, Lock, Rank, Ranked};
use crate::output::PendingOutput;
use crate::sys::{ChildProcess, ForkMark};
use crate::task::{Output, WorkerIdentity};
use crate::trace::{Log, TraceEvent};
use crate::transport::CompletedTasks;
use crate::transport::{Arena, ChannelError, Chunk};

/// A pool, as its threads share it.
pub(crate) struct PoolShared {
    /// The process that made it: see `sys::forks`.
    pub(super) owner: ForkMark,
    state: AwaitedLock<PoolState>,
    pub(super) arena: Arc<Arena>,
    pub(super) settings: Settings,
    /// The call that a fork server runs first, and the name of its function.
    pub(super) preload: Option<(Chunk, &'static str)>,
    /// The results of the finalizers, until they are taken.
    pub(super) finalized: Arc<Lock<Vec<CompletedTasks>>>,
    /// The number of workers, as it is read without the lock.
    pub(super) workers: AtomicUsize,
    pub(super) environments: Environments,
    pub(super) submissions: Submissions,
    /// Those of its functions, where it is in process.
    pub(super) states: States,
    pub(super) streams_thread: StreamsThread,
}

/// How far a pool's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No process was started yet.
    Unstarted,
    Running,
    /// The workers end by themselves, once they have nothing to do.
    Finishing,
    /// The supervisor is ending the workers.
    Closing,
    /// No process is left.
    Closed,
}

impl Ranked for PoolState {
    const RANK: Rank = Rank::PoolState;
}

impl Ranked for Vec<CompletedTasks> {
    const RANK: Rank = Rank::FinalizerOutputs;
}

impl Awaited for PoolState {
    type Wakers = PoolWakers;
    type Whom = Wakes;

    fn take_whom(&mut self) -> Wakes {
        if self.turn.is_to_wake(Wakes::WAITERS) && self.concerns_streams() {
            self.turn.concerns(Wakes::STREAMS);
        }
        self.turn.take_whom()
    }

    fn wake(wakes: Wakes, wakers: &PoolWakers, condition: &Condition) {
        wakers.wake(wakes, condition);
    }

    fn count_waiting(&mut self, change: isize) {
        self.turn.count_waiting(change);
    }
}

pub(super) struct PoolState {
    pub(super) scheduler: Scheduler,
    pub(super) slots: Vec<WorkerSlot>,
    /// How many workers there are to be: in the first slots.
    pub(super) size: usize,
    /// The path of the worker function that is the initializer.
    pub(super) initializer: &'static str,
    /// Where the workers' printed output goes.
    pub(super) output: Output,
    /// The results of the finalizers, until they are taken.
    pub(super) finalized: Arc<Lock<Vec<CompletedTasks>>>,
    pub(super) counters: Counters,
    pub(super) phase: Phase,
    /// The pool takes no more calls, and goes on with those it has.
    pub(super) refuses_calls: bool,
    /// No worker can be started before the fork server has got on.
    pub(super) waits_for_server: bool,
    /// The resident memory that a worker has from the fork server.
    pub(super) inherited_bytes: u64,
    /// How the starts of its workers have gone.
    pub(super) starts: StartPolicy,
    /// The result of the first round of starts, once it is over.
    pub(super) first_round: Option<Result<(), StartFailure>>,
    /// Returns whether there is a driver, and which threads the guard wakes when it unlocks.
    pub(super) turn: Turn,
    /// The streams that wait, for the thread of `streams` to wake.
    pub(super) streams: WaitingStreams,
    pub(super) retirement: Retirement,
    /// When the workers' memory was measured last.
    pub(super) measured: Instant,
    /// When a call was closed last.
    pub(super) last_closed: Instant,
    /// Output of ended workers that could not be written at once.
    pub(super) unwritten: Vec<PendingOutput>,
    pub(super) log: Log,
    pub(super) is_in_process: bool,
    /// Those that callers run, where it is in process.
    pub(super) own: OwnTasks,
}

/// A worker whose channel is closed, by itself or by the pool, has so long to end by itself: so it is learnt how it ended.
const END_GRACE: Duration = Duration::from_millis(500);

impl PoolShared {
    pub(super) fn new(settings: Settings) -> std::io::Result<Arc<Self>> {
        let now = Instant::now();
        let arena = arguments_memory(&settings)?;
        let revocation = if arena.memory().is_some() { Revocation::Supported } else { Revocation::Unsupported };
        let slots = (0..settings.workers).map(|_| WorkerSlot::vacant(now)).collect();
        let arena = Arc::new(arena);
        let hooks = (lifecycle_chunk(&arena, &settings.initializer)?, lifecycle_chunk(&arena, &settings.finalizer)?);
        let preload = settings
            .preload
            .call
            .as_ref()
            .map(|call| single_chunk(&arena, call.clone(), 0).map(|chunk| (chunk, call.function.path())));
        let preload = preload.transpose()?;
        let mut scheduler = Scheduler::new(settings.workers, revocation, settings.retirement.tasks_max);
        scheduler.set_hooks(hooks.0, hooks.1);
        if settings.private_memory && settings.retirement.tasks_max == Some(1) {
            scheduler.use_workers_once();
        }
        let finalized = Arc::default();
        Ok(Arc::new(Self {
            owner: ForkMark::here(),
            state: AwaitedLock::new(
                PoolState {
                    scheduler,
                    slots,
                    phase: Phase::Unstarted,
                    refuses_calls: false,
                    waits_for_server: false,
                    inherited_bytes: 0,
                    starts: StartPolicy::default(),
                    first_round: None,
                    turn: Turn::default(),
                    streams: WaitingStreams::default(),
                    size: settings.workers,
                    initializer: settings.initializer.call.as_ref().map_or("", |call| call.function.path()),
                    finalized: Arc::clone(&finalized),
                    output: settings.start.output,
                    counters: Counters::default(),
                    retirement: settings.retirement,
                    measured: now,
                    last_closed: now,
                    unwritten: Vec::new(),
                    log: Log::default(),
                    is_in_process: settings.in_process.is_some(),
                    own: OwnTasks::default(),
                },
                if settings.in_process.is_some() { PoolWakers::default() } else { PoolWakers::new()? },
            ),
            arena,
            finalized,
            workers: AtomicUsize::new(settings.workers),
            environments: Environments::default(),
            preload,
            settings,
            submissions: Submissions::new(),
            states: States::new(),
            streams_thread: StreamsThread::default(),
        }))
    }

    /// The number of workers.
    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    /// Where the arguments of its tasks stand.
    pub(crate) fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// The largest frame, in bytes.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        self.settings.start.frame_bytes_max
    }

    /// Where the workers' printed output goes.
    pub(crate) fn output(&self) -> Output {
        self.settings.start.output
    }

    pub(super) fn lock(&self) -> Guard<'_, PoolState> {
        // Nothing under the lock panics but for a broken invariant, and then dying workers must still be reaped.
        self.state.lock()
    }

    /// Returns the wakers of the driver and the supervisor.
    pub(super) fn wakers(&self) -> &PoolWakers {
        &self.state.wakers
    }

    /// Opens a call.
    pub(crate) fn open(&self, rules: CallRules) -> Result<CallId, Error> {
        self.check_process()?;
        if let Some(reason) = self.settings.in_process {
            return self.open_in_process(reason, rules);
        }
        let mut state = self.lock();
        if state.is_closed() {
            return Err(Error::new(Kind::Closed));
        }
        state.resume()?;
        Ok(self.open_in(&mut state, rules))
    }

    /// Opens a call in a pool that may be closed.
    pub(super) fn open_in(&self, state: &mut PoolState, rules: CallRules) -> CallId {
        if rules.limits.shortest().is_some() {
            state.turn.concerns(Wakes::SUPERVISOR);
        }
        // Rule 3 of `submissions`.
        if self.submissions.is_driving() {
            state.turn.concerns(Wakes::CALLERS);
        }
        let call = state.scheduler.open(rules);
        // Rule 3 of `streams`.
        state.claim_turn_of_streams();
        call
    }

    /// Asks the program for the variables of so many workers.
    pub(super) fn ask_for_environments(&self, workers: usize) -> Result<(), Error> {
        self.environments.ask(self.settings.per_worker.each.as_ref(), workers)
    }

    /// Whether no call may be opened any more, as an error.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.lock().is_closed() { Err(Error::new(Kind::Closed)) } else { Ok(()) }
    }

    /// Closes a call, whether it is done or not.
    pub(crate) fn close(&self, call: CallId, on_cancel: OnCancel) {
        if !self.is_here() {
            return;
        }
        let mut state = self.lock();
        state.take_back_all(call);
        let held = state.scheduler.close(call, on_cancel);
        let stream = state.streams.waiting.remove(&call);
        state.end_held(held, on_cancel);
        // The drop of either may run code of the program's, and does with no lock held.
        let kept = state.own.kept.remove(&call);
        drop(state);
        drop((kept, stream));
    }

    /// Ends every task of a call that has no result with this error. The call stays open.
    pub(crate) fn expire(&self, call: CallId, error: &TaskErrorKind, on_cancel: OnCancel) {
        if !self.is_here() {
            return;
        }
        let mut state = self.lock();
        state.take_back_all(call);
        let begun =
            state.processes().map(|(slot, worker)| (slot, worker.channel.begun())).filter(|(_, begun)| *begun > 0);
        let begun: BTreeMap<Slot, u32> = begun.collect();
        for &slot in begun.keys() {
            let words = state.slots[slot]
                .worker
                .as_ref()
                .and_then(|worker| worker.channel.last_words(functions::function_name));
            let span = state.slots[slot].worker.as_ref().and_then(WorkerProcess::span);
            state.scheduler.printed(slot, words.and_then(|words| words.printed));
            state.scheduler.ran(slot, span);
        }
        let held = state.scheduler.expire(call, error, on_cancel, |slot| begun.get(&slot).copied().unwrap_or(0));
        state.end_held(held, on_cancel);
    }

    /// Takes a worker out of service whose results make no sense.
    pub(crate) fn quarantine(&self, WorkerIdentity { slot, pid }: WorkerIdentity, what: String) {
        if !self.is_here() {
            return;
        }
        let mut state = self.lock();
        let worker = state.slots.get(slot).and_then(|worker_slot| worker_slot.worker.as_ref());
        if worker.is_some_and(|worker| worker.process.pid() == pid) {
            state.begin_ending(slot, Cause::Faulty(what));
        }
    }
}

impl PoolState {
    /// Reports a failed start once; after that, starts workers again.
    pub(super) fn resume(&mut self) -> Result<(), Error> {
        if let Some(failure) = self.starts.take_unreported() {
            return Err(Error::new(Kind::Start(failure)));
        }
        if let Some(failure) = self.unended_all() {
            return Err(Error::new(Kind::Start(failure)));
        }
        let mut has_vacant = self.starts.resume();
        for worker_slot in &mut self.slots {
            has_vacant |= std::mem::take(&mut worker_slot.is_dormant);
        }
        if has_vacant {
            self.turn.concerns(Wakes::SUPERVISOR);
        }
        Ok(())
    }

    /// Ends what workers still run of a call, or lets them finish it.
    fn end_held(&mut self, held: Vec<Slot>, on_cancel: OnCancel) {
        for slot in held {
            match on_cancel {
                OnCancel::Kill => self.begin_ending(slot, Cause::CallEnded),
                OnCancel::Finish => self.revoke(slot),
            }
        }
        self.dispatch();
        if self.scheduler.busy().any(|slot| self.scheduler.is_in_lone_recall(slot)) {
            self.turn.concerns(Wakes::SUPERVISOR);
        }
        self.last_closed = Instant::now();
        self.turn.concerns(Wakes::CALLERS);
        self.turn.concerns(Wakes::REMOTE);
        if self.retirement.idle_timeout.is_some() {
            self.turn.concerns(Wakes::SUPERVISOR);
        }
    }

    /// Handles what a worker has sent, and sends it what waits.
    pub(super) fn exchange(&mut self, slot: Slot) {
        let was_ready = self.has_said_hello(slot);
        self.on_channel(slot, |worker, scheduler| {
            worker.receive(slot, scheduler)?;
            worker.channel.flush()
        });
        if let (None, Some(pid)) = (was_ready, self.has_said_hello(slot)) {
            if !self.scheduler.is_initializing(slot) {
                self.starts.succeeded();
            }
            self.log.note(TraceEvent::Ready { worker: slot, pid });
            self.note_ready_for_calls(slot, pid);
        }
    }

    /// The process of a worker that has said hello.
    fn has_said_hello(&self, slot: Slot) -> Option<u32> {
        self.slots[slot].worker.as_ref().filter(|worker| worker.channel.said_hello()).map(|worker| worker.process.pid())
    }

    /// Takes the results that are in shared memory; returns whether there were some.
    pub(super) fn take_results(&mut self) -> bool {
        // Those of a worker that is out of service are taken when it has ended.
        let has_results = |slot: &Slot| {
            let worker = self.slots[*slot].worker.as_ref();
            worker.is_some_and(|worker| !matches!(worker.life, Life::Doomed { .. }) && worker.channel.has_results())
        };
        let with_results: Vec<Slot> = self.scheduler.busy().filter(has_results).collect();
        for &slot in &with_results {
            self.on_channel(slot, |worker, scheduler| worker.take(slot, scheduler));
        }
        // They may be those of a thread that waits: nothing else might wake it.
        if !with_results.is_empty() {
            self.turn.concerns(Wakes::WAITERS);
        }
        !with_results.is_empty()
    }

    /// Does something with the channel of a worker that is in service, and dooms it if that fails.
    pub(super) fn on_channel(
        &mut self,
        slot: Slot,
        act: impl FnOnce(&mut WorkerProcess, &mut Scheduler) -> Result<(), ChannelError>,
    ) {
        let Some(worker) = &mut self.slots[slot].worker else {
            return;
        };
        if matches!(worker.life, Life::Doomed { .. }) {
            return;
        }
        let acted = act(worker, &mut self.scheduler);
        if worker.result_clock.any {
            self.starts.answered();
        }
        if let Err(fault) = acted {
            self.begin_ending(slot, Cause::from(fault));
        }
        self.attend_hooks();
        self.retire_spent();
    }

    /// Takes a worker out of service; the supervisor does the rest, once it is awake.
    pub(super) fn begin_ending(&mut self, slot: Slot, cause: Cause) {
        let worker = self.slots[slot].worker.as_mut().filter(|worker| matches!(worker.life, Life::Ready));
        let grace = match (&cause, worker) {
            (Cause::Closed, _) => END_GRACE,
            (Cause::TimedOut(_) | Cause::CpuLimit(_), Some(worker)) => child::end_with_its_stack(&mut worker.process),
            _ => Duration::ZERO,
        };
        self.doom_within(slot, cause, grace);
    }

    /// Asks an idle worker to exit. It is killed if it does not.
    pub(super) fn ask_to_exit(&mut self, slot: Slot, cause: Cause) {
        if let Some(worker) = &self.slots[slot].worker {
            worker.channel.close_write();
        }
        self.doom_within(slot, cause, END_GRACE);
    }

    fn doom_within(&mut self, slot: Slot, cause: Cause, grace: Duration) {
        self.scheduler.suspend(slot);
        let Some(worker) = &mut self.slots[slot].worker else {
            return;
        };
        if matches!(worker.life, Life::Doomed { .. }) {
            return;
        }
        worker.life = Life::Doomed { cause, kill_at: Instant::now() + grace };
        self.turn.concerns(Wakes::SUPERVISOR);
    }

    fn revoke(&mut self, slot: Slot) {
        self.on_channel(slot, |worker, _| worker.channel.revoke());
    }

    /// Whether no call may be opened any more.
    pub(super) fn is_closed(&self) -> bool {
        self.refuses_calls || matches!(self.phase, Phase::Closing | Phase::Closed)
    }

    /// The process ids of all that are not reaped.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        let of_slot = |slot: &WorkerSlot| {
            let worker = slot.worker.as_ref().map(|worker| worker.process.pid());
            let standby = slot.standby.process().map(ChildProcess::pid);
            worker.into_iter().chain(standby).chain(slot.unkillable.as_ref().map(|unkillable| unkillable.process.pid()))
        };
        self.slots.iter().flat_map(of_slot)
    }

    /// The processes that there are, with their slots.
    pub(super) fn processes(&self) -> impl Iterator<Item = (Slot, &WorkerProcess)> {
        self.slots.iter().enumerate().filter_map(|(slot, worker_slot)| Some((slot, worker_slot.worker.as_ref()?)))
    }
}
