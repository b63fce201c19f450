//! What the threads of the parent share: the queue and the seats, under one lock, and the ways to wake each other.
//!
//! 1. The lock is never held while a thread waits, while a process is started, or while code of the program's runs.
//! 2. The supervisor alone starts, kills and reaps; others doom a worker and wake the supervisor.
//! 3. At most one thread at a time reads the channels: the *driver*, a caller that waits for results. Other callers wait
//!    for `changed`; when the driver stops, one of them takes over.
//! 4. Whoever changes what a driver waits for wakes it: results that came another way, a worker that is ready, bytes that
//!    wait for room in a socket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::chunk_size::Return;
use super::pending::Submissions;
use super::queue::{CallId, CallRules, Queue, Running, Slot};
use super::recycling::Retirement;
use super::rules::{Settings, Transport};
use super::seat::{Cause, Live, Seat, State};
use super::starts::StartPolicy;
use crate::error::{Error, Kind, StartFailure, TaskErrorKind};
use crate::locks::{Condition, Lock, Locked, Rank, Ranked};
use crate::output::Rest;
use crate::registry::EncodedCall;
use crate::sys::{self, ForkMark, Waker};
use crate::task::{Done, Output};
use crate::trace::{Event, Log};
use crate::transport::{Arena, Chunk, Fault};
use crate::wire::Greeting;

/// A pool, as its threads share it.
pub(crate) struct Shared {
    /// The process that made it: see `sys::forks`.
    pub(super) owner: ForkMark,
    core: Lock<Core>,
    pub(super) arena: Arc<Arena>,
    pub(super) changed: Condition,
    pub(super) driver: Waker,
    pub(super) supervisor: Waker,
    pub(super) settings: Settings,
    /// What the finalizers gave, until it is taken.
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

pub(super) struct Core {
    pub(super) queue: Queue,
    pub(super) seats: Vec<Seat>,
    /// How many workers there are to be: in the first seats.
    pub(super) size: usize,
    /// The path of the worker function that is the initializer.
    pub(super) initializer: &'static str,
    /// What becomes of what the workers print.
    pub(super) output: Output,
    /// What the finalizers gave, until it is taken.
    pub(super) finalized: Arc<Lock<Vec<Done>>>,
    /// Processes that were started, and those that died by themselves.
    pub(super) started: u64,
    pub(super) lost: u64,
    pub(super) phase: Phase,
    /// The pool takes no more calls, and goes on with those it has.
    pub(super) refuses_calls: bool,
    /// How the starts of its workers have gone.
    pub(super) starts: StartPolicy,
    /// What became of the first round of starts, once it is over.
    pub(super) first_round: Option<Result<(), StartFailure>>,
    pub(super) driving: bool,
    /// A worker was doomed since the supervisor has looked after them all.
    pub(super) unattended: bool,
    /// How many threads wait for `changed`.
    pub(super) waiting: usize,
    pub(super) greeting: Greeting,
    pub(super) retirement: Retirement,
    /// When the workers' memory was measured last.
    pub(super) measured: Instant,
    /// When a call was closed last.
    pub(super) last_closed: Instant,
    /// What workers printed that have ended, and could not be written at once.
    pub(super) unwritten: Vec<Rest>,
    pub(super) log: Log,
}

/// A worker whose channel is closed, by itself or by the pool, has so long to end by itself: so it is learnt how it ended.
const END_GRACE: Duration = Duration::from_millis(500);

impl Shared {
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
            |call: &Option<EncodedCall>| call.as_ref().map(|call| Chunk::of_call(&arena, call.clone(), 0)).transpose();
        let hooks = (hook(&settings.initializer)?, hook(&settings.finalizer)?);
        let mut queue = Queue::new(settings.workers, returns, settings.retirement.tasks_max);
        queue.set_hooks(hooks.0, hooks.1);
        let finalized = Arc::default();
        Ok(Arc::new(Self {
            owner: ForkMark::here(),
            core: Lock::new(Core {
                queue,
                seats,
                phase: Phase::Unstarted,
                refuses_calls: false,
                starts: StartPolicy::default(),
                first_round: None,
                driving: false,
                unattended: false,
                waiting: 0,
                greeting: Greeting::new(crate::registry::fingerprint()),
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
            }),
            arena,
            finalized,
            changed: Condition::new(),
            driver: Waker::new()?,
            supervisor: Waker::new()?,
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

    /// What becomes of what the workers print.
    pub(crate) fn output(&self) -> Output {
        self.settings.start.output
    }

    pub(super) fn lock(&self) -> Locked<'_, Core> {
        // Nothing under the lock panics but for a broken invariant, and then dying workers must still be reaped.
        self.core.lock()
    }

    /// Opens a call.
    pub(crate) fn open(&self, rules: CallRules) -> Result<CallId, Error> {
        self.check_process()?;
        let mut core = self.lock();
        if core.is_closed() {
            return Err(Error::new(Kind::Closed));
        }
        self.resume(&mut core)?;
        if rules.limits.shortest().is_some() {
            self.supervisor.wake();
        }
        let call = core.queue.open(rules);
        drop(core);
        // Rule 3 of `submissions`.
        if self.submissions.is_driving() {
            self.driver.wake();
        }
        Ok(call)
    }

    /// Whether no call may be opened any more, as an error.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.lock().is_closed() { Err(Error::new(Kind::Closed)) } else { Ok(()) }
    }

    /// Reports a failed start once; after that, starts workers again.
    pub(super) fn resume(&self, core: &mut Core) -> Result<(), Error> {
        if let Some(failure) = core.starts.take_unreported() {
            return Err(Error::new(Kind::Start(failure)));
        }
        if let Some(failure) = core.unended_all() {
            return Err(Error::new(Kind::Start(failure)));
        }
        let mut has_vacant = core.starts.resume();
        for seat in &mut core.seats {
            has_vacant |= std::mem::take(&mut seat.is_dormant);
        }
        if has_vacant {
            self.supervisor.wake();
        }
        Ok(())
    }

    /// Closes a call, whether it is done or not.
    pub(crate) fn close(&self, call: CallId, running: Running) {
        if !self.is_here() {
            return;
        }
        let mut core = self.lock();
        core.take_back_all(call);
        let held = core.queue.close(call, running);
        self.end_held(core, held, running);
    }

    /// Ends what workers still run of a call, or lets them finish it.
    fn end_held(&self, mut core: Locked<'_, Core>, held: Vec<Slot>, running: Running) {
        for slot in held {
            match running {
                Running::Kill => core.doom(slot, Cause::CallEnded),
                Running::Finish => core.revoke(slot),
            }
        }
        core.dispatch();
        core.last_closed = Instant::now();
        let is_to_look = core.has_doomed() || core.retirement.idle_timeout.is_some();
        drop(core);
        if is_to_look {
            self.supervisor.wake();
        }
        self.wake_driver();
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
            let words = core.seats[slot].worker.as_ref().and_then(|live| live.link.last_words());
            core.queue.printed(slot, words.and_then(|words| words.printed));
        }
        let held = core.queue.expire(call, error, running, |slot| begun.get(&slot).copied().unwrap_or(0));
        self.end_held(core, held, running);
    }

    /// Takes a worker out of service whose results make no sense.
    pub(crate) fn distrust(&self, (slot, pid): (Slot, u32), what: String) {
        if !self.is_here() {
            return;
        }
        let mut core = self.lock();
        if core.seats[slot].worker.as_ref().is_some_and(|live| live.process.pid() == pid) {
            core.doom(slot, Cause::Faulty(what));
            drop(core);
            self.supervisor.wake();
        }
    }

    /// Wakes the driver, and whoever waits to be one.
    pub(super) fn wake_driver(&self) {
        let core = self.lock();
        if core.driving {
            self.driver.wake();
        }
        if core.waiting > 0 {
            self.changed.notify_all();
        }
    }
}

impl Core {
    /// Takes in what a worker has sent, and sends it what waits.
    pub(super) fn exchange(&mut self, slot: Slot) {
        let greeting = self.greeting;
        let was_ready = self.has_said_hello(slot);
        self.with_link(slot, |live, queue| {
            live.receive(slot, queue, greeting)?;
            live.link.flush()
        });
        if let (None, Some(pid)) = (was_ready, self.has_said_hello(slot)) {
            if !self.queue.is_initializing(slot) {
                self.starts.succeeded();
            }
            self.log.note(Event::Ready { worker: slot, pid });
        }
    }

    /// The process of a worker that has said hello.
    fn has_said_hello(&self, slot: Slot) -> Option<u32> {
        self.seats[slot].worker.as_ref().filter(|live| live.said_hello).map(|live| live.process.pid())
    }

    /// Takes the results that stand in shared memory; tells whether there were some.
    pub(super) fn take_results(&mut self) -> bool {
        // Those of a worker that is out of service are taken when it has ended.
        let has_results = |slot: &Slot| {
            let live = self.seats[*slot].worker.as_ref();
            live.is_some_and(|live| !matches!(live.state, State::Doomed { .. }) && live.link.has_results())
        };
        let with_results: Vec<Slot> = self.queue.busy().filter(has_results).collect();
        for &slot in &with_results {
            self.with_link(slot, |live, queue| live.take(slot, queue));
        }
        !with_results.is_empty()
    }

    /// Does something with the channel of a worker that is in service, and dooms it if that fails.
    pub(super) fn with_link(&mut self, slot: Slot, act: impl FnOnce(&mut Live, &mut Queue) -> Result<(), Fault>) {
        let Some(live) = &mut self.seats[slot].worker else {
            return;
        };
        if matches!(live.state, State::Doomed { .. }) {
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
        if matches!(live.state, State::Doomed { .. }) {
            return;
        }
        live.state = State::Doomed { cause, kill_at: Instant::now() + grace };
        self.unattended = true;
    }

    fn revoke(&mut self, slot: Slot) {
        self.with_link(slot, |live, _| live.link.revoke());
    }

    /// Whether no call may be opened any more.
    pub(super) fn is_closed(&self) -> bool {
        self.refuses_calls || matches!(self.phase, Phase::Closing | Phase::Closed)
    }

    /// Whether a worker waits for the supervisor. One that it knows of, and whose end it waits for, does not: it would be woken
    /// by the driver, and wake it, again and again.
    pub(super) fn has_doomed(&self) -> bool {
        self.unattended
    }

    /// The processes that there are, with their seats.
    pub(super) fn lives(&self) -> impl Iterator<Item = (Slot, &Live)> {
        self.seats.iter().enumerate().filter_map(|(slot, seat)| Some((slot, seat.worker.as_ref()?)))
    }
}
