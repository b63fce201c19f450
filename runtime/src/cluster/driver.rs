//! The driver's side of a session: the thread that owns the engine, and what the rest of the program knows of it.
//!
//! 1. The thread begins with the program and lives as long as it. It is given the pool of calls that name none once that starts.
//! 2. Each such pool is a generation: its calls and its work have numbers of their own, so nothing of a pool that was shut down is taken
//!    for something of the next.
//! 3. What a person should know is one line on the standard error each.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::dispatcher::{Dispatcher, SessionNote, Tasks};
use super::engine::{ClusterEngine, EngineEvent, NodeId};
use super::messages::Setup;
use crate::error::Result;
use crate::locks::{Condition, Lock, Rank, Ranked};
use crate::pool::{CallId, Parcel, ParcelId, PoolShared, RemoteEnded, WakeRemote};
use crate::transport::CompletedTasks;

/// Without anything to do, the thread looks this often whether there is.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// So many events are applied before work is given out again.
const EVENTS_MAX: usize = 256;

/// What is known of the nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// How many workers each has that takes work.
    pub(super) nodes: BTreeMap<NodeId, usize>,
    /// Why others were refused, or are gone.
    pub(super) lost: Vec<String>,
    pub(super) duplicates: u64,
    /// The engine has ended.
    pub(super) is_over: bool,
}

impl Ranked for Known {
    const RANK: Rank = Rank::ClusterNodes;
}

/// What the driver does about losses.
#[derive(Clone, Copy, Debug)]
pub(super) struct DriverRules {
    /// Tasks fail once so many nodes were lost with them.
    pub(super) losses_max: u32,
    /// Where the driver's own node has no workers, calls fail once there was no node for so long.
    pub(super) node_wait: Duration,
    pub(super) has_own_workers: bool,
}

/// A session, as the program holds it.
pub(super) struct Session {
    commands: Sender<Command>,
    waker: Arc<dyn Fn() + Send + Sync>,
    known: Arc<(Lock<Known>, Condition)>,
    thread: Lock<SessionThread>,
}

struct SessionThread(Option<JoinHandle<()>>);

impl Ranked for SessionThread {
    const RANK: Rank = Rank::ClusterThread;
}

enum Command {
    /// A pool of calls that name none has started.
    Attach(Arc<PoolShared>, Setup),
    /// The program ends with this code.
    Close(i32),
}

impl WakeRemote for Session {
    fn wake(&self) {
        (self.waker)();
    }
}

impl Session {
    /// Starts the thread. The engine is made there, as some are bound to the thread that begins them.
    pub(super) fn start<E: ClusterEngine + 'static>(
        rules: DriverRules,
        make: impl FnOnce() -> Result<E> + Send + 'static,
    ) -> std::io::Result<Result<Arc<Self>>> {
        let (commands, received) = channel();
        let (tell, told) = channel();
        let known: Arc<(Lock<Known>, Condition)> = Arc::default();
        let of_thread = Arc::clone(&known);
        let thread = std::thread::Builder::new().name("poolmap-cluster".to_owned()).spawn(move || {
            let engine: Box<dyn ClusterEngine> = match make() {
                Ok(engine) => Box::new(engine),
                Err(error) => return drop(tell.send(Err(error))),
            };
            let _ = tell.send(Ok(engine.waker()));
            Driver {
                dispatcher: Dispatcher::new(rules.losses_max, 0),
                rules,
                pool: None,
                known: of_thread,
                alone_since: None,
            }
            .run(engine, &received);
        })?;
        // The thread ends without a word only if it panics, which it says itself.
        let waker = match told.recv() {
            Ok(Ok(waker)) => waker,
            Ok(Err(error)) => return Ok(Err(error)),
            Err(_) => return Err(std::io::Error::other("the thread of the cluster has ended")),
        };
        Ok(Ok(Arc::new(Self { commands, waker, known, thread: Lock::new(SessionThread(Some(thread))) })))
    }

    /// Gives a pool's tasks to the nodes, from now on.
    pub(super) fn attach(self: &Arc<Self>, pool: &Arc<PoolShared>, setup: Setup) {
        pool.attach_remote(Arc::clone(self) as Arc<dyn WakeRemote>);
        self.command(Command::Attach(Arc::clone(pool), setup));
    }

    /// What is known of the nodes.
    pub(super) fn known(&self) -> Known {
        self.known.0.lock().clone()
    }

    /// Waits until `is_enough` says so of what is known, or until a moment; returns whether it did.
    pub(super) fn wait(&self, until: Option<Instant>, is_enough: impl Fn(&Known) -> bool) -> bool {
        let (known, condition) = &*self.known;
        let mut known = known.lock();
        loop {
            if is_enough(&known) {
                return true;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) || known.is_over {
                return false;
            }
            known = match left {
                Some(left) => condition.wait_timeout(known, left),
                None => condition.wait(known),
            };
        }
    }

    /// Ends the session: the nodes may go.
    pub(super) fn close(&self, code: i32) {
        self.command(Command::Close(code));
        let thread = self.thread.lock().0.take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn command(&self, command: Command) {
        // The thread has ended where it is not received.
        let _ = self.commands.send(command);
        (self.waker)();
    }
}

/// The thread's own.
struct Driver {
    dispatcher: Dispatcher,
    rules: DriverRules,
    pool: Option<Arc<PoolShared>>,
    known: Arc<(Lock<Known>, Condition)>,
    /// Since when nobody is there for the tasks, if that is so.
    alone_since: Option<Instant>,
}

impl Driver {
    fn run(mut self, mut engine: Box<dyn ClusterEngine>, commands: &Receiver<Command>) {
        let code = loop {
            if let Some(code) = self.obey(&mut *engine, commands) {
                break code;
            }
            if let Some(pool) = &self.pool {
                self.dispatcher.feed(&mut *engine, &**pool);
            }
            self.fail_where_nobody_comes(&*engine);
            let mut wait = IDLE_INTERVAL;
            for _ in 0..EVENTS_MAX {
                let Some(event) = engine.poll(wait) else {
                    break;
                };
                wait = Duration::ZERO;
                self.apply(event, &mut *engine);
            }
        };
        engine.close(code);
        self.learn(|known| known.is_over = true);
    }

    /// Carries out what was asked for; returns the exit code of the program, once it ends.
    fn obey(&mut self, engine: &mut dyn ClusterEngine, commands: &Receiver<Command>) -> Option<i32> {
        loop {
            match commands.try_recv() {
                Ok(Command::Attach(pool, setup)) => {
                    self.dispatcher = Dispatcher::new(self.rules.losses_max, setup.generation);
                    engine.set_up(setup);
                    self.pool = Some(pool);
                }
                Ok(Command::Close(code)) => return Some(code),
                Err(TryRecvError::Disconnected) => return Some(0),
                Err(TryRecvError::Empty) => return None,
            }
        }
    }

    fn apply(&mut self, event: EngineEvent, engine: &mut dyn ClusterEngine) {
        match &event {
            &EngineEvent::Up { node, workers } => self.learn(|known| {
                known.nodes.insert(node, workers);
            }),
            EngineEvent::Down { node, host, why, .. } => self.learn(|known| {
                known.nodes.remove(node);
                known.lost.push(format!("node {host} is gone: {why}"));
            }),
            EngineEvent::OutOfService { node, host, why } => self.learn(|known| {
                known.nodes.remove(node);
                known.lost.push(format!("node {host} is out of service: {why}"));
            }),
            EngineEvent::Refused { why } => self.learn(|known| known.lost.push(why.clone())),
            _ => {}
        }
        let notes = match &self.pool {
            Some(pool) => self.dispatcher.apply(event, engine, &**pool),
            None => self.dispatcher.apply(event, engine, &NoTasks),
        };
        let duplicates = self.dispatcher.take_duplicates();
        if duplicates > 0 {
            self.learn(|known| known.duplicates = known.duplicates.saturating_add(duplicates));
        }
        notes.iter().for_each(Self::tell);
    }

    /// Fails the calls of a pool for whose tasks there is no node, nor a worker here, once none may come any more.
    fn fail_where_nobody_comes(&mut self, engine: &dyn ClusterEngine) {
        let Some(pool) = self.pool.as_ref().filter(|_| !self.rules.has_own_workers && engine.capacity().nodes == 0)
        else {
            self.alone_since = None;
            return;
        };
        let since = *self.alone_since.get_or_insert_with(Instant::now);
        if !engine.may_grow() || since.elapsed() >= self.rules.node_wait {
            let mut reasons = self.known.0.lock().lost.clone();
            if engine.may_grow() {
                reasons.push(format!("none has come within {:?} (POOLMAP_ENGINE_WAIT)", self.rules.node_wait));
            } else if reasons.is_empty() {
                reasons.push("none has come".to_owned());
            }
            let why = reasons.join("; ");
            pool.fail_calls(format!(
                "no node is there for the tasks, and POOLMAP_DRIVER_WORKERS=0 leaves this machine without workers: {why}; start an agent, or \
                 give this machine workers"
            ));
        }
    }

    fn learn(&self, change: impl FnOnce(&mut Known)) {
        let (known, condition) = &*self.known;
        change(&mut known.lock());
        condition.notify_all();
    }

    /// Says what a person should know.
    fn tell(note: &SessionNote) {
        let text = match note {
            SessionNote::Down { host, why, tasks: 0 } => format!("node {host} is gone: {why}"),
            SessionNote::Down { host, why, tasks } => {
                format!("node {host} is gone: {why}; its {tasks} unfinished tasks run elsewhere")
            }
            SessionNote::OutOfService { host, why } => format!(
                "node {host} is out of service, and its work goes to others: {why}; to use it, remove the cause there and start its agent \
                 again (under MPI: the job)"
            ),
            SessionNote::Refused { why } => why.clone(),
            SessionNote::Alone => "no node is left: this machine goes on alone".to_owned(),
            SessionNote::EngineLost { why } => format!("{why}; waiting for it"),
            SessionNote::EngineBack => "the engine is back".to_owned(),
        };
        tell(&text);
    }
}

/// Prints a line for a person.
pub(super) fn tell(text: &str) {
    // There may be no standard error, which is no reason to panic.
    let _ = std::io::stderr().write_all(format!("poolmap: {text}\n").as_bytes());
}

/// Stands for a pool before there is one.
struct NoTasks;

impl Tasks for NoTasks {
    fn set_remote(&self, _room: usize, _workers: usize) {}

    fn take_parcel(&self) -> Option<Parcel> {
        None
    }

    fn done(&self, _parcel: ParcelId, _done: CompletedTasks, _per_task: Option<Duration>) -> Option<usize> {
        None
    }

    fn returned(&self, _parcel: ParcelId) {}

    fn is_open(&self, _call: CallId) -> bool {
        false
    }

    fn take_ended(&self) -> RemoteEnded {
        RemoteEnded::default()
    }
}

impl Tasks for PoolShared {
    fn set_remote(&self, room: usize, workers: usize) {
        Self::set_remote(self, room, workers);
    }

    fn take_parcel(&self) -> Option<Parcel> {
        Self::take_parcel(self)
    }

    fn done(&self, parcel: ParcelId, done: CompletedTasks, per_task: Option<Duration>) -> Option<usize> {
        self.remote_done(parcel, done, per_task)
    }

    fn returned(&self, parcel: ParcelId) {
        self.remote_returned(parcel);
    }

    fn is_open(&self, call: CallId) -> bool {
        Self::is_open(self, call)
    }

    fn take_ended(&self) -> RemoteEnded {
        self.take_remote_ended()
    }
}

#[cfg(test)]
mod tests;
