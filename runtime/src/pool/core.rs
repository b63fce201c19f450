//! What the threads of the parent share: the queue and the seats, under one lock, and the ways to wake each other.
//!
//! 1. The lock is never held while a thread waits, while a process is started, or while code of the program's runs.
//! 2. The supervisor alone starts, kills and reaps; others doom a worker and wake the supervisor.
//! 3. At most one thread at a time reads the channels: the *driver*, a caller that waits for results. Other callers wait
//!    for `changed`; when the driver stops, one of them takes over.
//! 4. Whoever changes what a driver waits for wakes it: results that came another way, a worker that is ready, bytes that
//!    wait for room in a socket.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::chunk_size::ChunkSize;
use super::queue::{CallId, Queue, Running, Slot};
use super::seat::{Cause, Live, Seat, State};
use crate::error::{Error, Kind, StartFailure};
use crate::launch::{Entry, Start};
use crate::sys::Waker;
use crate::transport::Fault;
use crate::wire::Greeting;

/// What a pool was built with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) workers: usize,
    pub(crate) startup_timeout: Duration,
    pub(crate) start: Start,
    pub(crate) entry: Entry,
}

/// A pool, as its threads share it.
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(super) changed: Condvar,
    pub(super) driver: Waker,
    pub(super) supervisor: Waker,
    pub(super) settings: Settings,
}

/// How far a pool's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No process was started yet.
    Unstarted,
    Running,
    /// The supervisor is ending the workers.
    Closing,
    /// No process is left.
    Closed,
}

pub(super) struct Core {
    pub(super) queue: Queue,
    pub(super) seats: Vec<Seat>,
    pub(super) phase: Phase,
    /// What made the last start of the pool fail, until a call reports it.
    pub(super) start_failure: Option<StartFailure>,
    /// What made a worker's last start fail.
    pub(super) last_failure: Option<StartFailure>,
    /// Processes in a row that ended before they had given a result.
    pub(super) failed_starts: u32,
    /// No process is started until the next call, because too many have failed.
    pub(super) halted: bool,
    /// What became of the first round of starts, once it is over.
    pub(super) first_round: Option<Result<(), StartFailure>>,
    pub(super) driving: bool,
    /// How many threads wait for `changed`.
    pub(super) waiting: usize,
    pub(super) greeting: Greeting,
}

/// After a worker's channel is closed, so long is waited for the end of its process, to learn how it ended.
const END_GRACE: Duration = Duration::from_millis(500);

impl Shared {
    pub(super) fn new(settings: Settings) -> std::io::Result<Arc<Self>> {
        let now = Instant::now();
        let seats = (0..settings.workers).map(|_| Seat { worker: None, not_before: now }).collect();
        Ok(Arc::new(Self {
            core: Mutex::new(Core {
                queue: Queue::new(settings.workers),
                seats,
                phase: Phase::Unstarted,
                start_failure: None,
                last_failure: None,
                failed_starts: 0,
                halted: false,
                first_round: None,
                driving: false,
                waiting: 0,
                greeting: Greeting::new(crate::registry::fingerprint()),
            }),
            changed: Condvar::new(),
            driver: Waker::new()?,
            supervisor: Waker::new()?,
            settings,
        }))
    }

    /// The number of workers.
    pub(crate) fn workers(&self) -> usize {
        self.settings.workers
    }

    /// The largest frame, in bytes.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        self.settings.start.frame_bytes_max
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        // Nothing under the lock panics but for a broken invariant, and then dying workers must still be reaped.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a call.
    pub(crate) fn open(&self, chunk_size: Option<usize>) -> Result<CallId, Error> {
        let mut core = self.lock();
        if matches!(core.phase, Phase::Closing | Phase::Closed) {
            return Err(Error::new(Kind::Closed));
        }
        self.resume(&mut core)?;
        Ok(core.queue.open(ChunkSize::new(chunk_size)))
    }

    /// Reports a failed start once; after that, starts workers again.
    pub(super) fn resume(&self, core: &mut Core) -> Result<(), Error> {
        if let Some(failure) = core.start_failure.take() {
            return Err(Error::new(Kind::Start(failure)));
        }
        if core.halted {
            core.halted = false;
            core.failed_starts = 0;
            self.supervisor.wake();
        }
        Ok(())
    }

    /// Closes a call, whether it is done or not.
    pub(crate) fn close(&self, call: CallId, running: Running) {
        let mut core = self.lock();
        let held = core.queue.close(call, running);
        if held.is_empty() {
            return;
        }
        for slot in held {
            match running {
                Running::Kill => core.doom(slot, Cause::CallEnded),
                Running::Finish => core.revoke(slot),
            }
        }
        core.dispatch();
        drop(core);
        self.supervisor.wake();
        self.wake_driver();
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
    /// Sends the chunks that wait to the workers that take them.
    pub(super) fn dispatch(&mut self) {
        while let Some(assignment) = self.queue.assign() {
            let slot = assignment.slot;
            if let Some(live) = &mut self.seats[slot].worker
                && let Err(fault) = live.link.send(assignment.frame)
            {
                self.doom(slot, Cause::from(fault));
            }
        }
    }

    /// Takes in what a worker has sent, and sends it what waits.
    pub(super) fn exchange(&mut self, slot: Slot) {
        let Some(live) = &mut self.seats[slot].worker else {
            return;
        };
        if matches!(live.state, State::Doomed { .. }) {
            return;
        }
        let received = live.receive(slot, &mut self.queue, self.greeting);
        if live.answered {
            self.failed_starts = 0;
        }
        if let Err(fault) = received.and_then(|_| live.link.flush()) {
            self.doom(slot, Cause::from(fault));
        }
    }

    /// Takes a worker out of service; the supervisor does the rest, once it is awake.
    pub(super) fn doom(&mut self, slot: Slot, cause: Cause) {
        self.queue.suspend(slot);
        let Some(live) = &mut self.seats[slot].worker else {
            return;
        };
        if matches!(live.state, State::Doomed { .. }) {
            return;
        }
        let now = Instant::now();
        let kill_at = match cause {
            Cause::Closed => now + END_GRACE,
            _ => now,
        };
        live.state = State::Doomed { cause, kill_at };
    }

    fn revoke(&mut self, slot: Slot) {
        if let Some(live) = &mut self.seats[slot].worker
            && let Err(fault) = live.link.send(crate::wire::revoke().into())
        {
            self.doom(slot, Cause::from(fault));
        }
    }

    /// Whether a worker waits for the supervisor.
    pub(super) fn has_doomed(&self) -> bool {
        self.lives().any(|(_, live)| matches!(live.state, State::Doomed { .. }))
    }

    /// The processes that there are, with their seats.
    pub(super) fn lives(&self) -> impl Iterator<Item = (Slot, &Live)> {
        self.seats.iter().enumerate().filter_map(|(slot, seat)| Some((slot, seat.worker.as_ref()?)))
    }
}

impl From<Fault> for Cause {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Closed => Self::Closed,
            Fault::Violation(violation) => Self::Faulty(format!("it broke the protocol: {}", violation.0)),
            Fault::Broken(message) => Self::Faulty(message),
        }
    }
}
