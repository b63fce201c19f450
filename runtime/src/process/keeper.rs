//! The one thread that starts, watches and reaps every `Process` of this program. It begins with the first and ends with the
//! last of them.
//!
//! The kernel ends a daemon when the thread that started it ends, and any thread of the program may end at any time; so this
//! one starts them, and lives as long as one of them does.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::child::{Child, Watched};
use crate::child::Entry;
use crate::error::{Error, Result};
use crate::locks::{Condition, Lock, Locked, Rank, Ranked};
use crate::sys::{self, PerProcess, Surroundings, Waker, Watch};
use crate::task::Role;
use crate::transport::Chunk;

/// Where a process's end cannot be waited for by a descriptor, it is looked for this often.
const REAP_INTERVAL: Duration = Duration::from_millis(10);
/// Daemons are killed at the program's end; one that does not end (in uninterruptible sleep) is not waited for longer.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// A fork has no thread of its parent's, and none of its children: it begins anew.
static KEEPER: PerProcess<Kept> = PerProcess::new();

#[derive(Default)]
struct Kept {
    keeper: Lock<Keeper>,
    /// Some process has ended.
    changed: Condition,
}

#[derive(Default)]
struct Keeper {
    /// What wakes the thread, while it runs.
    waker: Option<Arc<Waker>>,
    orders: Vec<Order>,
    children: Vec<Arc<Child>>,
}

impl Ranked for Keeper {
    const RANK: Rank = Rank::Keeper;
}

/// A process to be started.
struct Order {
    entry: Entry,
    role: Role,
    name: String,
    chunk: Chunk,
    surroundings: Surroundings,
    answer: Sender<std::result::Result<Arc<Child>, String>>,
}

/// Starts a process, on the keeper's thread.
pub(super) fn start(entry: &Entry, role: Role, name: String, chunk: Chunk) -> Result<Arc<Child>> {
    let (answer, answered) = channel();
    let failed = {
        let name = name.clone();
        move |why: &str| Error::start(format!("process `{name}` could not be started: {why}"))
    };
    // Of this moment, and not of that in which the keeper gets to it.
    let surroundings = Surroundings::capture().map_err(|error| failed(&sys::explained(&error)))?;
    let mut keeper = lock();
    keeper.orders.push(Order { entry: entry.clone(), role, name, chunk, surroundings, answer });
    match &keeper.waker {
        Some(waker) => waker.wake(),
        None => {
            if let Err(error) = keeper.begin() {
                keeper.orders.clear();
                return Err(failed(&sys::explained(&error)));
            }
        }
    }
    drop(keeper);
    match answered.recv() {
        Ok(Ok(child)) => Ok(child),
        Ok(Err(why)) => Err(failed(&why)),
        Err(_) => Err(failed("the thread that starts processes ended")),
    }
}

/// The processes that are not reaped.
pub(super) fn children() -> Vec<Arc<Child>> {
    lock().children.clone()
}

/// Has the keeper look after a process that was to be killed: that may have failed.
pub(super) fn look() {
    lock().waker.iter().for_each(|waker| waker.wake());
}

/// What a program does at its end: waits for every process that is no daemon, and ends the daemons.
pub(crate) fn leave() {
    let mut keeper = lock();
    while !keeper.orders.is_empty() || keeper.children.iter().any(|child| !child.is_daemon() && !child.is_reaped()) {
        keeper = KEEPER.get().changed.wait(keeper);
    }
    let daemons = keeper.children.clone();
    drop(keeper);
    daemons.iter().for_each(|daemon| daemon.kill());
    look();
    let deadline = Instant::now() + END_TIME_MAX;
    for daemon in daemons {
        daemon.wait(Some(deadline));
    }
}

fn lock() -> Locked<'static, Keeper> {
    KEEPER.get().keeper.lock()
}

impl Keeper {
    /// Begins the thread.
    fn begin(&mut self) -> std::io::Result<()> {
        let waker = Arc::new(Waker::new()?);
        let of_thread = Arc::clone(&waker);
        std::thread::Builder::new().name("poolmap-keeper".to_owned()).spawn(move || {
            let _abandon = AbandonOnPanic;
            run(&of_thread);
        })?;
        self.waker = Some(waker);
        Ok(())
    }
}

/// Runs until there is nothing left to look after.
fn run(waker: &Waker) {
    loop {
        let (orders, children) = {
            let mut keeper = lock();
            let orders = std::mem::take(&mut keeper.orders);
            if orders.is_empty() && keeper.children.is_empty() {
                keeper.waker = None;
                return;
            }
            (orders, keeper.children.clone())
        };
        if !orders.is_empty() {
            orders.into_iter().for_each(carry_out);
            KEEPER.get().changed.notify_all();
            continue;
        }
        let attended = wait_for(waker, &children);
        let now = Instant::now();
        let mut has_ended = false;
        for child in attended {
            has_ended |= child.attend(now);
        }
        if has_ended {
            lock().children.retain(|child| !child.is_gone());
            KEEPER.get().changed.notify_all();
        }
    }
}

fn carry_out(order: Order) {
    let Order { entry, role, name, chunk, surroundings, answer } = order;
    let started = Child::start(&entry, role, &surroundings, name, chunk).map(Arc::new);
    // Before who asked can count descriptors.
    drop(surroundings);
    if let Ok(child) = &started {
        lock().children.push(Arc::clone(child));
    }
    // Who asked waits for it.
    let _ = answer.send(started.map_err(|error| error.to_string()));
}

/// Waits until there is something to do, and gives those for whom there may be.
fn wait_for<'a>(waker: &Waker, children: &'a [Arc<Child>]) -> Vec<&'a Arc<Child>> {
    let watched: Vec<Watched> = children.iter().map(|child| child.watched()).collect();
    let mut watches = vec![Watch::read(std::os::fd::AsFd::as_fd(waker))];
    let mut of = vec![None];
    for (index, child) in watched.iter().enumerate() {
        watches.extend(child.watches());
        of.resize(watches.len(), Some(index));
    }
    let now = Instant::now();
    let deadline = watched.iter().filter_map(|child| child.deadline).min();
    let until_deadline = deadline.map(|deadline| deadline.saturating_duration_since(now));
    let is_blind = watched.iter().any(Watched::is_blind);
    let timeout = until_deadline.into_iter().chain(is_blind.then_some(REAP_INTERVAL)).min();
    if sys::poll(&mut watches, timeout).is_err() {
        // The kernel is out of memory: nothing is known, and it is tried again a little later.
        std::thread::sleep(REAP_INTERVAL);
        return children.iter().collect();
    }
    if watches[0].ready {
        waker.clear();
    }
    let now = Instant::now();
    let mut is_due: Vec<bool> = watched
        .iter()
        .map(|child| child.is_blind() || child.deadline.is_some_and(|deadline| deadline <= now))
        .collect();
    for (watch, of) in watches.iter().zip(of) {
        if let Some(index) = of.filter(|_| watch.ready) {
            is_due[index] = true;
        }
    }
    children.iter().zip(is_due).filter_map(|(child, is_due)| is_due.then_some(child)).collect()
}

/// Whatever ends the thread, nobody waits for it after that.
struct AbandonOnPanic;

impl Drop for AbandonOnPanic {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut keeper = lock();
        keeper.waker = None;
        keeper.orders.clear();
        std::mem::take(&mut keeper.children).iter().for_each(|child| child.abandon());
        drop(keeper);
        KEEPER.get().changed.notify_all();
    }
}
