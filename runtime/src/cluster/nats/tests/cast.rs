//! Drivers and agents without pools: a driver that sends works and counts outcomes, and agents that answer by a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::server::{Server, has_server};
use super::works::done;
use crate::cluster::engine::{Arrival, ClusterEngine, EngineEvent, Link, SendOutcome};
use crate::cluster::environment::{BuildRule, NatsStorage};
use crate::cluster::identity::ProgramIdentity;
use crate::cluster::messages::{FromAgent, Hello, Setup, ToAgent, Work};
use crate::cluster::nats::{NatsEngine, NatsLink, NatsOptions};

/// Nothing here takes so long; a loaded machine may take a while.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
pub(super) const TABLE: u64 = 77;

pub(super) fn options(url: &str) -> NatsOptions {
    NatsOptions {
        url: url.to_owned(),
        creds: None,
        nkey: None,
        ca: None,
        is_insecure: false,
        storage: NatsStorage::File,
        namespace: "pm".to_owned(),
        lease: Duration::from_secs(10),
        tries: 3,
        idle: None,
        engine_wait: Duration::from_secs(600),
        identity: identity("8f3a00000000000000000000", "driver1"),
        rule: BuildRule::SameFile,
    }
}

/// Connects, and tries it once more where a loaded machine has made the server too slow.
fn connected<T>(connect: impl Fn() -> crate::error::Result<T>) -> T {
    connect().or_else(|_| connect()).unwrap()
}

pub(super) fn identity(build: &str, host: &str) -> ProgramIdentity {
    ProgramIdentity { build: build.to_owned(), table: TABLE, host: host.to_owned(), program: "./app".to_owned() }
}

pub(super) fn hello(options: &NatsOptions, workers: u32) -> Hello {
    Hello::new(options.identity.clone(), workers as usize)
}

/// A driver that sends works, each of one task, and remembers what came of it.
pub(super) struct Driver {
    pub(super) engine: Box<NatsEngine>,
    sent: BTreeMap<u64, Work>,
    pub(super) done: BTreeSet<u64>,
    pub(super) notes: Vec<String>,
    pub(super) events: Vec<String>,
    pub(super) duplicates: usize,
    /// The sizes of large outcomes.
    pub(super) lengths: Vec<usize>,
    /// Works that are to be sent again, as a dispatcher would.
    again: Vec<Work>,
    pub(super) lost: BTreeMap<u64, usize>,
}

impl Driver {
    pub(super) fn connect(options: NatsOptions) -> Self {
        let mut engine = Box::new(connected(|| NatsEngine::connect(options.clone())));
        engine.set_up(Setup { generation: 1, options: Vec::new() });
        Self {
            engine,
            sent: BTreeMap::new(),
            done: BTreeSet::new(),
            notes: Vec::new(),
            events: Vec::new(),
            duplicates: 0,
            lengths: Vec::new(),
            again: Vec::new(),
            lost: BTreeMap::new(),
        }
    }

    pub(super) fn wait_for_nodes(&mut self, count: usize) {
        self.until(|driver| driver.engine.capacity().nodes == count);
    }

    /// Turns until a condition holds.
    pub(super) fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so(self) {
            self.turn(Duration::from_millis(100));
            assert!(
                Instant::now() < until,
                "waited in vain: {} of {} done, {:?}",
                self.done.len(),
                self.sent.len(),
                self.events
            );
        }
    }

    /// Sends as much as there is room for, and applies one event.
    pub(super) fn turn(&mut self, wait: Duration) {
        while let Some(work) = self.again.pop() {
            if matches!(self.engine.try_send(work.clone(), &[]), SendOutcome::Full) {
                self.again.push(work);
                break;
            }
        }
        if let Some(event) = self.engine.poll(wait) {
            self.apply(event);
        }
    }

    fn apply(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Done(done) => {
                let text = format!("{:?}", done.outcomes);
                if !self.done.insert(done.work) {
                    self.duplicates += 1;
                }
                let is_long = text.len() > 4096;
                if is_long {
                    self.lengths.push(text.matches('~').count());
                } else {
                    self.notes.push(text);
                }
            }
            EngineEvent::Returned { works } => {
                self.events.push(format!("returned {}", works.len()));
                self.again.extend(works.iter().map(|work| self.sent[work].clone()));
            }
            EngineEvent::Down { held, host, .. } => {
                self.events.push(format!("down {host}"));
                for work in held.unwrap() {
                    *self.lost.entry(work).or_default() += 1;
                    self.again.push(self.sent[&work].clone());
                }
            }
            EngineEvent::OutOfService { host, why, .. } => self.events.push(format!("out {host} {why}")),
            EngineEvent::Up { node, .. } => self.events.push(format!("up {node:?}")),
            EngineEvent::Refused { why, .. } => self.events.push(format!("refused {why}")),
            EngineEvent::Lost { why } => self.events.push(format!("lost {why}")),
            EngineEvent::Back => self.events.push("back".to_owned()),
        }
    }

    /// Has a work sent, once there is room.
    pub(super) fn give(&mut self, work: Work) {
        self.sent.insert(work.id, work.clone());
        self.again.insert(0, work);
    }

    pub(super) fn until_all_done(&mut self) {
        self.until(|driver| driver.done.len() == driver.sent.len());
    }
}

/// What an agent does with a work.
pub(super) type Rule = Arc<dyn Fn(&Work) -> Answer + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its outcomes, after a while.
    Done(Duration),
    /// An outcome as large as its argument.
    Echo,
    /// The agent vanishes with it, as if it were killed.
    Vanish,
    /// The agent has no pool, says so, and gives it back.
    Fail,
    Never,
}

/// An agent, on a thread.
pub(super) struct Agent {
    pub(super) begun: Arc<Mutex<Vec<u64>>>,
    pub(super) heard: Arc<Mutex<Vec<String>>>,
    leave: Arc<AtomicBool>,
    vanish: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    ended: Receiver<()>,
}

impl Agent {
    pub(super) fn start(options: NatsOptions, workers: u32, rule: Rule) -> Self {
        let (begun, heard) = (Arc::default(), Arc::default());
        let (leave, vanish) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (end, ended) = channel();
        let stage = Stage {
            begun: Arc::clone(&begun),
            heard: Arc::clone(&heard),
            leave: Arc::clone(&leave),
            vanish: Arc::clone(&vanish),
        };
        let thread = std::thread::spawn(move || {
            stage.play(options, workers, &rule);
            let _ = end.send(());
        });
        Self { begun, heard, leave, vanish, thread: Some(thread), ended }
    }

    /// Has it end in order: it gives back what it has not begun.
    pub(super) fn leave(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
        self.join();
    }

    /// Has it vanish, as if its process were killed.
    pub(super) fn vanish(&mut self) {
        self.vanish.store(true, Ordering::Relaxed);
        self.join();
    }

    pub(super) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.ended.recv_timeout(PATIENCE).expect("the agent ends");
            thread.join().unwrap();
        }
    }

    pub(super) fn begun(&self) -> Vec<u64> {
        self.begun.lock().unwrap().clone()
    }

    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.vanish.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Stage {
    begun: Arc<Mutex<Vec<u64>>>,
    heard: Arc<Mutex<Vec<String>>>,
    leave: Arc<AtomicBool>,
    vanish: Arc<AtomicBool>,
}

impl Stage {
    fn play(&self, options: NatsOptions, workers: u32, rule: &Rule) {
        let hello = hello(&options, workers);
        let mut link = connected(|| NatsLink::connect(options.clone(), hello.clone()));
        let mut busy: Vec<(Instant, Work)> = Vec::new();
        let hear = |what: String| self.heard.lock().unwrap().push(what);
        loop {
            if self.vanish.load(Ordering::Relaxed) {
                return;
            }
            if self.leave.load(Ordering::Relaxed) {
                let back: Vec<u64> = busy.iter().map(|(_, work)| work.id).collect();
                link.send(FromAgent::Returned(back));
                return Box::new(link).close(0);
            }
            let now = Instant::now();
            busy.retain(|(due, work)| {
                let is_due = *due <= now;
                if is_due {
                    link.send(FromAgent::Done(done(work, "an outcome")));
                }
                !is_due
            });
            let next = busy.iter().map(|(due, _)| *due).min().unwrap_or(now + Duration::from_millis(50));
            match link.poll(next.saturating_duration_since(now).min(Duration::from_millis(50))) {
                Some(Arrival::Message(ToAgent::Work(work))) => {
                    self.begun.lock().unwrap().push(work.id);
                    match rule(&work) {
                        Answer::Done(time) => busy.push((Instant::now() + time, work)),
                        Answer::Echo => {
                            let note = "~".repeat(work.chunks[0].tasks.len());
                            link.send(FromAgent::Done(done(&work, &note)));
                        }
                        Answer::Vanish => return,
                        Answer::Fail => {
                            link.send(FromAgent::Failed("there is no pool".to_owned()));
                            link.send(FromAgent::Returned(vec![work.id]));
                        }
                        Answer::Never => busy.push((now + PATIENCE * 10, work)),
                    }
                }
                Some(Arrival::Message(ToAgent::End(end))) => {
                    busy.retain(|(_, work)| work.call != end.call);
                    hear(format!("end {}", end.call));
                }
                Some(Arrival::Message(ToAgent::Setup(setup))) => {
                    // The settings of a test are the number of workers, or nothing.
                    if let Some(&workers) = setup.options.first() {
                        link.send(FromAgent::Ready(u32::from(workers)));
                    }
                    hear(format!("{setup:?}"));
                }
                Some(Arrival::Message(message)) => hear(format!("{message:?}")),
                Some(Arrival::Gone { why }) => {
                    hear(format!("gone {why}"));
                    return Box::new(link).close(0);
                }
                None => {}
            }
        }
    }
}

pub(super) fn at_once() -> Rule {
    Arc::new(|_| Answer::Done(Duration::ZERO))
}

/// The number of a work of the first generation.
pub(super) fn id(number: u64) -> u64 {
    (1 << 40) + number
}

/// Works of one task each, in one call.
pub(super) fn works(count: u64) -> impl Iterator<Item = Work> {
    (0..count).map(|number| super::works::work(id(number), id(0), &[(number, 1)]))
}

/// Begins a test: a watchdog and a server of its own; none where there is no server to test with.
pub(super) fn begin() -> Option<(Watchdog, Server)> {
    has_server().then(|| (watchdog(), Server::start()))
}

/// Ends the test program, where a test hangs.
pub(super) fn watchdog() -> Watchdog {
    let (stop, stopped) = channel::<()>();
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    std::thread::spawn(move || {
        if stopped.recv_timeout(PATIENCE * 3) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs");
            std::process::abort();
        }
    });
    Watchdog(stop)
}

pub(super) struct Watchdog(#[expect(dead_code, reason = "its drop ends the watch")] std::sync::mpsc::Sender<()>);
