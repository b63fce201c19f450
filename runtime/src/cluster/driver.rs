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

use super::dispatcher::{Dispatcher, Note, Tasks};
use super::engine::{Engine, Event, NodeId};
use super::messages::Setup;
use crate::error::Result;
use crate::locks::{Condition, Lock, Rank, Ranked};
use crate::pool::{CallId, Parcel, ParcelId, PoolShared, RemoteEnd, WakeRemote};
use crate::transport::CompletedTasks;

/// Without anything to do, the thread looks this often whether there is.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// So many events are applied before work is given out again.
const EVENTS_MAX: usize = 256;

/// What is known of the nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) nodes: BTreeMap<NodeId, KnownNode>,
    /// Nodes that were refused, and why.
    pub(super) refused: Vec<(String, String)>,
    pub(super) duplicates: u64,
    /// The engine has ended.
    pub(super) is_over: bool,
}

/// A node that takes work.
#[derive(Clone, Debug)]
pub(super) struct KnownNode {
    pub(super) host: String,
    pub(super) workers: usize,
}

impl Ranked for Known {
    const RANK: Rank = Rank::ClusterNodes;
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
    /// It has ended.
    Detach,
    /// The program ends.
    Close,
}

impl WakeRemote for Session {
    fn wake(&self) {
        (self.waker)();
    }
}

impl Session {
    /// Starts the thread. The engine is made there, as some are bound to the thread that begins them.
    pub(super) fn start<E: Engine>(
        losses_max: u32,
        make: impl FnOnce() -> Result<E> + Send + 'static,
    ) -> std::io::Result<Result<Arc<Self>>> {
        let (commands, received) = channel();
        let (tell, told) = channel();
        let known: Arc<(Lock<Known>, Condition)> = Arc::default();
        let of_thread = Arc::clone(&known);
        let thread = std::thread::Builder::new().name("poolmap-cluster".to_owned()).spawn(move || {
            let mut engine = match make() {
                Ok(engine) => engine,
                Err(error) => return drop(tell.send(Err(error))),
            };
            let _ = tell.send(Ok(engine.waker()));
            Driver { dispatcher: Dispatcher::new(losses_max, 0), losses_max, pool: None, known: of_thread, refused: 0 }
                .run(&mut engine, &received);
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

    /// Gives the nodes nothing more of the pool.
    pub(super) fn detach(&self) {
        self.command(Command::Detach);
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
    pub(super) fn close(&self) {
        self.command(Command::Close);
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
    losses_max: u32,
    pool: Option<Arc<PoolShared>>,
    known: Arc<(Lock<Known>, Condition)>,
    refused: usize,
}

impl Driver {
    fn run(mut self, engine: &mut dyn Engine, commands: &Receiver<Command>) {
        while self.obey(engine, commands) {
            if let Some(pool) = &self.pool {
                self.dispatcher.feed(engine, &**pool);
            }
            let mut wait = IDLE_INTERVAL;
            for _ in 0..EVENTS_MAX {
                let Some(event) = engine.poll(wait) else {
                    break;
                };
                wait = Duration::ZERO;
                self.apply(event, engine);
            }
        }
        engine.close();
        self.learn(|known| known.is_over = true);
    }

    /// Carries out what was asked for; returns whether the session goes on.
    fn obey(&mut self, engine: &mut dyn Engine, commands: &Receiver<Command>) -> bool {
        loop {
            match commands.try_recv() {
                Ok(Command::Attach(pool, setup)) => {
                    self.dispatcher = Dispatcher::new(self.losses_max, setup.generation);
                    engine.set_up(setup);
                    self.pool = Some(pool);
                }
                Ok(Command::Detach) => self.pool = None,
                Ok(Command::Close) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn apply(&mut self, event: Event, engine: &mut dyn Engine) {
        match &event {
            Event::Up { node, host, workers } => {
                let known = KnownNode { host: host.clone(), workers: *workers };
                let node = *node;
                self.learn(|nodes| drop(nodes.nodes.insert(node, known)));
            }
            Event::Down { node, .. } => {
                let node = *node;
                self.learn(|nodes| drop(nodes.nodes.remove(&node)));
            }
            Event::Refused { host, why } => self.learn(|nodes| nodes.refused.push((host.clone(), why.clone()))),
            _ => {}
        }
        let notes = match &self.pool {
            Some(pool) => self.dispatcher.apply(event, engine, &**pool),
            None => self.dispatcher.apply(event, engine, &NoTasks),
        };
        let duplicates = self.dispatcher.duplicates();
        if !notes.is_empty() {
            self.learn(|known| known.duplicates = duplicates);
        }
        notes.iter().for_each(|note| self.tell(note));
    }

    fn learn(&self, change: impl FnOnce(&mut Known)) {
        let (known, condition) = &*self.known;
        change(&mut known.lock());
        condition.notify_all();
    }

    /// Says what a person should know.
    fn tell(&mut self, note: &Note) {
        let text = match note {
            Note::Up { .. } => return,
            Note::Down { host, why, tasks: 0 } => format!("node {host} is gone: {why}"),
            Note::Down { host, why, tasks } => {
                format!("node {host} is gone: {why}; its {tasks} unfinished tasks run elsewhere")
            }
            Note::Refused { why, .. } => why.clone(),
            Note::Alone => "no node is left: this machine goes on alone".to_owned(),
            Note::EngineLost { why } => format!("{why}; waiting for it"),
            Note::EngineBack => "the engine is back".to_owned(),
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

    fn take_ends(&self) -> Vec<RemoteEnd> {
        Vec::new()
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

    fn take_ends(&self) -> Vec<RemoteEnd> {
        self.take_remote_ends()
    }
}
