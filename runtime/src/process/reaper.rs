//! The one thread that starts, watches and reaps every `Process` of this program. It begins with the first and ends with the
//! last of them.
//!
//! The kernel ends a daemon when the thread that started it ends, and any thread of the program may end at any time; so this
//! one starts them, and lives as long as one of them does.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::started::{ProcessOptions, StartedProcess, WatchedProcess};
use crate::child::EntryPoint;
use crate::error::{Error, Result};
use crate::locks::{Condition, Lock, Locked, Rank, Ranked};
use crate::output::PendingOutput;
use crate::sys::{self, PerProcess, Surroundings, SurroundingsChanges, Waker, Watch};
use crate::transport::Chunk;

/// Where a process's end cannot be waited for by a descriptor, it is looked for this often.
const REAP_INTERVAL: Duration = Duration::from_millis(10);
/// Daemons are killed at the program's end; one that does not end (in uninterruptible sleep) is not waited for longer.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// A fork has no thread of its parent's, and none of its children: it begins anew.
static REAPER: PerProcess<ReaperLock> = PerProcess::new();

#[derive(Default)]
struct ReaperLock {
    reaper: Lock<Reaper>,
    /// Some process has ended.
    changed: Condition,
}

#[derive(Default)]
struct Reaper {
    /// Wakes the thread, while it runs.
    waker: Option<Arc<Waker>>,
    requests: Vec<StartRequest>,
    children: Vec<Arc<StartedProcess>>,
}

impl Ranked for Reaper {
    const RANK: Rank = Rank::Reaper;
}

/// A process to be started.
struct StartRequest {
    entry: EntryPoint,
    options: ProcessOptions,
    name: String,
    chunk: Chunk,
    surroundings: Surroundings,
    answer: Sender<std::result::Result<Arc<StartedProcess>, String>>,
}

/// Starts a process, on the reaper's thread.
pub(super) fn start(
    entry: &EntryPoint,
    options: ProcessOptions,
    changes: &SurroundingsChanges,
    name: String,
    chunk: Chunk,
) -> Result<Arc<StartedProcess>> {
    let (answer, answered) = channel();
    let failed = {
        let name = name.clone();
        move |why: &str| Error::start(format!("process `{name}` could not be started: {why}"))
    };
    // Of this moment, and not of that in which the reaper gets to it.
    let surroundings = Surroundings::capture(changes).map_err(|error| failed(&sys::explained(&error)))?;
    let mut reaper = lock();
    reaper.requests.push(StartRequest { entry: entry.clone(), options, name, chunk, surroundings, answer });
    match &reaper.waker {
        Some(waker) => waker.wake(),
        None => {
            if let Err(error) = reaper.begin() {
                reaper.requests.clear();
                return Err(failed(&sys::explained(&error)));
            }
        }
    }
    drop(reaper);
    match answered.recv() {
        Ok(Ok(child)) => Ok(child),
        Ok(Err(why)) => Err(failed(&why)),
        Err(_) => Err(failed("the thread that starts processes ended")),
    }
}

/// The processes that are not reaped.
pub(super) fn children() -> Vec<Arc<StartedProcess>> {
    lock().children.clone()
}

/// Has the reaper look after a process that was to be killed: that may have failed.
pub(super) fn wake() {
    lock().waker.iter().for_each(|waker| waker.wake());
}

/// Waits for every process that is no daemon, and ends the daemons. A program calls it at its end.
pub(crate) fn wait_for_children() {
    let mut reaper = lock();
    while !reaper.requests.is_empty() || reaper.children.iter().any(|child| !child.is_daemon() && !child.is_reaped()) {
        reaper = REAPER.get().changed.wait(reaper);
    }
    let daemons = reaper.children.clone();
    drop(reaper);
    daemons.iter().for_each(|daemon| daemon.kill());
    wake();
    let deadline = Instant::now() + END_TIME_MAX;
    for daemon in daemons {
        daemon.wait(Some(deadline));
    }
}

fn lock() -> Locked<'static, Reaper> {
    REAPER.get().reaper.lock()
}

impl Reaper {
    /// Begins the thread.
    fn begin(&mut self) -> std::io::Result<()> {
        let waker = Arc::new(Waker::new()?);
        let of_thread = Arc::clone(&waker);
        std::thread::Builder::new().name("poolmap-reaper".to_owned()).spawn(move || {
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
        let (requests, children) = {
            let mut reaper = lock();
            let requests = std::mem::take(&mut reaper.requests);
            if requests.is_empty() && reaper.children.is_empty() {
                reaper.waker = None;
                return;
            }
            (requests, reaper.children.clone())
        };
        if !requests.is_empty() {
            requests.into_iter().for_each(carry_out);
            REAPER.get().changed.notify_all();
            continue;
        }
        let attended = wait_for(waker, &children);
        let now = Instant::now();
        let mut has_ended = false;
        let mut unwritten = Vec::new();
        for child in attended {
            has_ended |= child.attend(now);
            unwritten.extend(child.take_unwritten());
        }
        if has_ended {
            lock().children.retain(|child| !child.is_gone());
            REAPER.get().changed.notify_all();
        }
        unwritten.into_iter().for_each(PendingOutput::write_patiently);
    }
}

fn carry_out(request: StartRequest) {
    let StartRequest { entry, options, name, chunk, surroundings, answer } = request;
    let started = StartedProcess::start(&entry, &options, &surroundings, name, chunk).map(Arc::new);
    // Before who asked can count descriptors.
    drop(surroundings);
    if let Ok(child) = &started {
        lock().children.push(Arc::clone(child));
    }
    // The thread that asked waits for it.
    let _ = answer.send(started.map_err(|error| error.to_string()));
}

/// Waits until there is something to do, and returns those for whom there may be.
fn wait_for<'a>(waker: &Waker, children: &'a [Arc<StartedProcess>]) -> Vec<&'a Arc<StartedProcess>> {
    let watched: Vec<WatchedProcess> = children.iter().map(|child| child.watched()).collect();
    let mut watches = vec![Watch::read(std::os::fd::AsFd::as_fd(waker))];
    let mut of = vec![None];
    for (index, child) in watched.iter().enumerate() {
        watches.extend(child.watches());
        of.resize(watches.len(), Some(index));
    }
    let now = Instant::now();
    let deadline = watched.iter().filter_map(|child| child.deadline).min();
    let until_deadline = deadline.map(|deadline| deadline.saturating_duration_since(now));
    let is_blind = watched.iter().any(WatchedProcess::is_blind);
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

/// However the thread ends, no other waits for it after that.
struct AbandonOnPanic;

impl Drop for AbandonOnPanic {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut reaper = lock();
        reaper.waker = None;
        reaper.requests.clear();
        std::mem::take(&mut reaper.children).iter().for_each(|child| child.abandon());
        drop(reaper);
        REAPER.get().changed.notify_all();
    }
}
