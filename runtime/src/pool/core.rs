//! The state that the parent's threads share: the queue and the seats, under one lock.
//!
//! 1. The lock is never held while a thread waits, while a process is started, or while code of the program's runs.
//! 2. The supervisor alone starts, kills and reaps; other threads doom a worker, and the supervisor is woken.
//! 3. At most one thread at a time reads the channels: the *driver*, a caller that waits for results. Other callers are *waiters*;
//!    when the driver stops, one of them takes over.
//! 4. A method that changes what another thread waits for notes that in `turn`: a worker that was given something or is out of
//!    service, results that another thread has taken, the end of a call. The guard of the lock wakes them (`locked`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::chunk_size::Return;
use super::locked::{Awaited, AwaitedLock, Guard};
use super::pending::Submissions;
use super::queue::{CallId, CallRules, Queue, Running, Slot};
use super::recycling::Retirement;
use super::rules::{Settings, Transport};
use super::seat::{Cause, Life, Live, Seat};
use super::single::single_chunk;
use super::starts::StartPolicy;
use super::turn::{Turn, Wakes};
use super::wakers::PoolWakers;
use crate::error::{Error, Kind, StartFailure, TaskErrorKind};
use crate::locks::{Condition, Lock, Rank, Ranked};
use crate::output::Rest;
use crate::registry::{self, EncodedCall};
use crate::sys::{self, ForkMark};
use crate::task::{Done, Output};
use crate::trace::{Log, TraceEvent};
use crate::transport::{Arena, Fault};

/// A pool, as its threads share it.
pub(crate) struct PoolShared {
    /// The process that made it: see `sys::forks`.
    pub(super) owner: ForkMark,
    core: AwaitedLock<Core>,
    pub(super) arena: Arc<Arena>,
    pub(super) settings: Settings,
    /// The results of the finalizers, until they are taken.
    pub(super) finalized: Arc<Lock<Vec<Done>>>,
    /// The number of workers, as it is read without the lock.
    pub(super) workers: AtomicUsize,
    pub(super) submissions: Submissions,
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

impl Ranked for Core {
    const RANK: Rank = Rank::Core;
}

impl Ranked for Vec<Done> {
    const RANK: Rank = Rank::FinalizerOutputs;
}

impl Awaited for Core {
    type Wakers = PoolWakers;
    type Whom = Wakes;

    fn take_whom(&mut self) -> Wakes {
        self.turn.take_whom()
    }

    fn wake(wakes: Wakes, wakers: &PoolWakers, condition: &Condition) {
        wakers.wake(wakes, condition);
    }

    fn count_waiting(&mut self, change: isize) {
        self.turn.count_waiting(change);
    }
}

pub(super) struct Core {
    pub(super) queue: Queue,
    pub(super) seats: Vec<Seat>,
    /// How many workers there are to be: in the first seats.
    pub(super) size: usize,
    /// The path of the worker function that is the initializer.
    pub(super) initializer: &'static str,
    /// Where the workers' printed output goes.
    pub(super) output: Output,
    /// The results of the finalizers, until they are taken.
    pub(super) finalized: Arc<Lock<Vec<Done>>>,
    /// Processes that were started, and those that died by themselves.
    pub(super) started: u64,
    pub(super) lost: u64,
    pub(super) phase: Phase,
    /// The pool takes no more calls, and goes on with those it has.
    pub(super) refuses_calls: bool,
    /// How the starts of its workers have gone.
    pub(super) starts: StartPolicy,
    /// The result of the first round of starts, once it is over.
    pub(super) first_round: Option<Result<(), StartFailure>>,
    /// Tells whether there is a driver, and which threads the guard wakes when it unlocks.
    pub(super) turn: Turn,
    pub(super) retirement: Retirement,
    /// When the workers' memory was measured last.
    pub(super) measured: Instant,
    /// When a call was closed last.
    pub(super) last_closed: Instant,
    /// Output of ended workers that could not be written at once.
    pub(super) unwritten: Vec<Rest>,
    pub(super) log: Log,
}

/// A worker whose channel is closed, by itself or by the pool, has so long to end by itself: so it is learnt how it ended.
const END_GRACE: Duration = Duration::from_millis(500);

impl PoolShared {
    pub(super) fn new(settings: Settings) -> std::io::Result<Arc<Self>> {
        let now = Instant::now();
        let shared = match settings.transport {
            Transport::SharedMemory => Arena::shared(),
            Transport::Socket => Err(std::io::ErrorKind::Unsupported.into()),
        };
        let arena = match shared {
            // Where the system has no such memory, or gives none, the socket serves by itself; without descriptors nothing does.
            Err(error) if !sys::is_short_of_descriptors(&error) => Arena::private(),
            shared => shared,
        }?;
        let returns = if arena.memory().is_some() { Return::Taken } else { Return::Never };
        let seats = (0..settings.workers).map(|_| Seat::vacant(now)).collect();
        let arena = Arc::new(arena);
        let hook =
            |call: &Option<EncodedCall>| call.as_ref().map(|call| single_chunk(&arena, call.clone(), 0)).transpose();
        let hooks = (hook(&settings.initializer)?, hook(&settings.finalizer)?);
        let mut queue = Queue::new(settings.workers, returns, settings.retirement.tasks_max);
        queue.set_hooks(hooks.0, hooks.1);
        let finalized = Arc::default();
        Ok(Arc::new(Self {
            owner: ForkMark::here(),
            core: AwaitedLock::new(
                Core {
                    queue,
                    seats,
                    phase: Phase::Unstarted,
                    refuses_calls: false,
                    starts: StartPolicy::default(),
                    first_round: None,
                    turn: Turn::default(),
                    size: settings.workers,
                    initializer: settings.initializer.as_ref().map_or("", |call| call.function.path()),
                    finalized: Arc::clone(&finalized),
                    output: settings.start.output,
                    started: 0,
                    lost: 0,
                    retirement: settings.retirement,
                    measured: now,
                    last_closed: now,
                    unwritten: Vec::new(),
                    log: Log::default(),
                },
                PoolWakers::new()?,
            ),
            arena,
            finalized,
            workers: AtomicUsize::new(settings.workers),
            settings,
            submissions: Submissions::new(),
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

    pub(super) fn lock(&self) -> Guard<'_, Core> {
        // Nothing under the lock panics but for a broken invariant, and then dying workers must still be reaped.
        self.core.lock()
    }

    /// Returns the wakers of the driver and the supervisor.
    pub(super) fn wakers(&self) -> &PoolWakers {
        &self.core.wakers
    }

    /// Opens a call.
    pub(crate) fn open(&self, rules: CallRules) -> Result<CallId, Error> {
        self.check_process()?;
        let mut core = self.lock();
        if core.is_closed() {
            return Err(Error::new(Kind::Closed));
        }
        core.resume()?;
        Ok(self.open_in(&mut core, rules))
    }

    /// Opens a call in a pool that may be closed.
    pub(super) fn open_in(&self, core: &mut Core, rules: CallRules) -> CallId {
        if rules.limits.shortest().is_some() {
            core.turn.concerns(Wakes::SUPERVISOR);
        }
        // Rule 3 of `submissions`.
        if self.submissions.is_driving() {
            core.turn.concerns(Wakes::CALLERS);
        }
        core.queue.open(rules)
    }

    /// Whether no call may be opened any more, as an error.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.lock().is_closed() { Err(Error::new(Kind::Closed)) } else { Ok(()) }
    }

    /// Closes a call, whether it is done or not.
    pub(crate) fn close(&self, call: CallId, running: Running) {
        if !self.is_here() {
            return;
        }
        let mut core = self.lock();
        core.take_back_all(call);
        let held = core.queue.close(call, running);
        core.end_held(held, running);
    }

    /// Ends every task of a call that has no result with this error. The call stays open.
    pub(crate) fn expire(&self, call: CallId, error: &TaskErrorKind, running: Running) {
        if !self.is_here() {
            return;
        }
        let mut core = self.lock();
        core.take_back_all(call);
        let begun = core.lives().map(|(slot, live)| (slot, live.link.begun())).filter(|(_, begun)| *begun > 0);
        let begun: BTreeMap<Slot, u32> = begun.collect();
        for &slot in begun.keys() {
            let words = core.seats[slot].worker.as_ref().and_then(|live| live.link.last_words(registry::function_name));
            core.queue.printed(slot, words.and_then(|words| words.printed));
        }
        let held = core.queue.expire(call, error, running, |slot| begun.get(&slot).copied().unwrap_or(0));
        core.end_held(held, running);
    }

    /// Takes a worker out of service whose results make no sense.
    pub(crate) fn distrust(&self, (slot, pid): (Slot, u32), what: String) {
        if !self.is_here() {
            return;
        }
        let mut core = self.lock();
        if core.seats[slot].worker.as_ref().is_some_and(|live| live.process.pid() == pid) {
            core.doom(slot, Cause::Faulty(what));
        }
    }
}

impl Core {
    /// Reports a failed start once; after that, starts workers again.
    pub(super) fn resume(&mut self) -> Result<(), Error> {
        if let Some(failure) = self.starts.take_unreported() {
            return Err(Error::new(Kind::Start(failure)));
        }
        if let Some(failure) = self.unended_all() {
            return Err(Error::new(Kind::Start(failure)));
        }
        let mut has_vacant = self.starts.resume();
        for seat in &mut self.seats {
            has_vacant |= std::mem::take(&mut seat.is_dormant);
        }
        if has_vacant {
            self.turn.concerns(Wakes::SUPERVISOR);
        }
        Ok(())
    }

    /// Ends what workers still run of a call, or lets them finish it.
    fn end_held(&mut self, held: Vec<Slot>, running: Running) {
        for slot in held {
            match running {
                Running::Kill => self.doom(slot, Cause::CallEnded),
                Running::Finish => self.revoke(slot),
            }
        }
        self.dispatch();
        if self.queue.busy().any(|slot| self.queue.is_in_lone_recall(slot)) {
            self.turn.concerns(Wakes::SUPERVISOR);
        }
        self.last_closed = Instant::now();
        self.turn.concerns(Wakes::CALLERS);
        if self.retirement.idle_timeout.is_some() {
            self.turn.concerns(Wakes::SUPERVISOR);
        }
    }

    /// Takes in what a worker has sent, and sends it what waits.
    pub(super) fn exchange(&mut self, slot: Slot) {
        let was_ready = self.has_said_hello(slot);
        self.with_link(slot, |live, queue| {
            live.receive(slot, queue)?;
            live.link.flush()
        });
        if let (None, Some(pid)) = (was_ready, self.has_said_hello(slot)) {
            if !self.queue.is_initializing(slot) {
                self.starts.succeeded();
            }
            self.log.note(TraceEvent::Ready { worker: slot, pid });
        }
    }

    /// The process of a worker that has said hello.
    fn has_said_hello(&self, slot: Slot) -> Option<u32> {
        self.seats[slot].worker.as_ref().filter(|live| live.link.said_hello()).map(|live| live.process.pid())
    }

    /// Takes the results that stand in shared memory; tells whether there were some.
    pub(super) fn take_results(&mut self) -> bool {
        // Those of a worker that is out of service are taken when it has ended.
        let has_results = |slot: &Slot| {
            let live = self.seats[*slot].worker.as_ref();
            live.is_some_and(|live| !matches!(live.state, Life::Doomed { .. }) && live.link.has_results())
        };
        let with_results: Vec<Slot> = self.queue.busy().filter(has_results).collect();
        for &slot in &with_results {
            self.with_link(slot, |live, queue| live.take(slot, queue));
        }
        // They may be those of a thread that waits: nothing else might wake it.
        if !with_results.is_empty() {
            self.turn.concerns(Wakes::WAITERS);
        }
        !with_results.is_empty()
    }

    /// Does something with the channel of a worker that is in service, and dooms it if that fails.
    pub(super) fn with_link(&mut self, slot: Slot, act: impl FnOnce(&mut Live, &mut Queue) -> Result<(), Fault>) {
        let Some(live) = &mut self.seats[slot].worker else {
            return;
        };
        if matches!(live.state, Life::Doomed { .. }) {
            return;
        }
        let acted = act(live, &mut self.queue);
        if live.answers.any {
            self.starts.answered();
        }
        if let Err(fault) = acted {
            self.doom(slot, Cause::from(fault));
        }
        self.attend_hooks();
        self.retire_spent();
    }

    /// Takes a worker out of service; the supervisor does the rest, once it is awake.
    pub(super) fn doom(&mut self, slot: Slot, cause: Cause) {
        let grace = if cause == Cause::Closed { END_GRACE } else { Duration::ZERO };
        self.doom_within(slot, cause, grace);
    }

    /// Tells a worker that has nothing to do to end. It is killed if it does not.
    pub(super) fn dismiss(&mut self, slot: Slot, cause: Cause) {
        if let Some(live) = &self.seats[slot].worker {
            live.link.close_write();
        }
        self.doom_within(slot, cause, END_GRACE);
    }

    fn doom_within(&mut self, slot: Slot, cause: Cause, grace: Duration) {
        self.queue.suspend(slot);
        let Some(live) = &mut self.seats[slot].worker else {
            return;
        };
        if matches!(live.state, Life::Doomed { .. }) {
            return;
        }
        live.state = Life::Doomed { cause, kill_at: Instant::now() + grace };
        self.turn.concerns(Wakes::SUPERVISOR);
    }

    fn revoke(&mut self, slot: Slot) {
        self.with_link(slot, |live, _| live.link.revoke());
    }

    /// Whether no call may be opened any more.
    pub(super) fn is_closed(&self) -> bool {
        self.refuses_calls || matches!(self.phase, Phase::Closing | Phase::Closed)
    }

    /// The processes that there are, with their seats.
    pub(super) fn lives(&self) -> impl Iterator<Item = (Slot, &Live)> {
        self.seats.iter().enumerate().filter_map(|(slot, seat)| Some((slot, seat.worker.as_ref()?)))
    }
}
