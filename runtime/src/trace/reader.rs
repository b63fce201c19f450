//! The thread that reads what workers write, of all pools and processes of this process. It begins with the first worker that is listened
//! to and ends with the last. The program's subscribers run on it, without a lock.
//!
//! 1. It reads in passes: as many packets of one worker as were there when the pass began, and some more at most. So no worker keeps it
//!    from the others.
//! 2. A thread that takes results of a worker counts them first (`results`), with the lock of the pool. The packets before them are in the socket by
//!    then. A pass looks at the count before it reads, so when it ends it has replayed all that stood before these results (`settled`).
//! 3. A thread that hands results out waits until what was counted is settled. It is settled too where no pass is under way and the socket is empty,
//!    which the waiting thread finds out itself: so workers that write nothing cost one look, and no wake-up.
//! 4. A worker that has ended is read to the end, its spans are exited and closed, and only then it is settled for good.
//! 5. On this thread nothing waits for it, and calls that begin here are not listened to: a subscriber may use pools.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::call_log::{ListenedCall, bury, is_reader, set_reader};
use super::record::PACKET_BYTES_MAX;
use super::replay::Replay;
use crate::locks::{Condition, Lock, Locked, Rank, Ranked};
use crate::sys::{self, PerProcess, Wait, Waker, Watch};

/// What a socket holds: some hundred packets, and no more than two of the largest.
pub(super) const SOCKET_BYTES: usize = 128 * 1024;
/// A pass reads so many at most. It is more than a socket holds, as the kernel counts at least 512 bytes for each.
const PASS_PACKETS_MAX: usize = 1024;
/// So many calls are kept for one worker that has tasks of theirs ahead, or has had some.
const CALLS_MAX: usize = 4096;
/// After a `poll` that failed, so long is waited.
const POLL_AGAIN: Duration = Duration::from_millis(10);

/// A fork has none of its parent's threads: it begins anew.
static READER: PerProcess<LogReader> = PerProcess::new();
/// How many workers are listened to.
static OPEN: AtomicUsize = AtomicUsize::new(0);

#[derive(Default)]
struct LogReader {
    state: Lock<Sources>,
    /// A pass has ended: threads that wait for it look again.
    changed: Condition,
}

#[derive(Default)]
struct Sources {
    /// Wakes the thread, while it runs.
    waker: Option<Arc<Waker>>,
    sources: BTreeMap<u64, HeardWorker>,
    last: u64,
}

impl Ranked for Sources {
    const RANK: Rank = Rank::LogReader;
}

/// A worker that is listened to.
struct HeardWorker {
    shared: Arc<WorkerSource>,
    /// The calls that it may write of, in the order in which it was given tasks of them.
    calls: VecDeque<Arc<ListenedCall>>,
    is_in_pass: bool,
    /// Nothing comes any more.
    has_hung_up: bool,
    settled: u64,
}

/// A worker that is listened to, as its channel and the thread share it.
pub(super) struct WorkerSource {
    number: u64,
    socket: OwnedFd,
    pub(super) worker: usize,
    pub(super) pid: AtomicU32,
    /// How often results were taken.
    results: AtomicU64,
    /// The process has ended, or is given up.
    has_ended: AtomicBool,
}

impl WorkerSource {
    /// Begins to listen to a worker; returns the end that it writes to.
    pub(super) fn open(worker: usize, pid: u32) -> io::Result<(Arc<Self>, OwnedFd)> {
        let (theirs, ours) = sys::packet_pair(SOCKET_BYTES, Duration::from_secs(1))?;
        let mut sources = lock();
        let waker = match &sources.waker {
            Some(waker) => Arc::clone(waker),
            None => {
                let waker = Arc::new(Waker::new()?);
                let of_thread = Arc::clone(&waker);
                std::thread::Builder::new().name("poolmap-logs".to_owned()).spawn(move || {
                    let _abandon = AbandonWorkers;
                    set_reader();
                    run(&of_thread);
                })?;
                sources.waker = Some(Arc::clone(&waker));
                waker
            }
        };
        sources.last += 1;
        let shared = Arc::new(Self {
            number: sources.last,
            socket: ours,
            worker,
            pid: AtomicU32::new(pid),
            results: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        });
        let source = HeardWorker {
            shared: Arc::clone(&shared),
            calls: VecDeque::new(),
            is_in_pass: false,
            has_hung_up: false,
            settled: 0,
        };
        sources.sources.insert(shared.number, source);
        OPEN.fetch_add(1, Ordering::Relaxed);
        waker.wake();
        Ok((shared, theirs))
    }

    /// The worker is about to be given tasks of this call.
    pub(super) fn expect(&self, call: &Arc<ListenedCall>) {
        let mut sources = lock();
        if let Some(HeardWorker { calls, .. }) = sources.sources.get_mut(&self.number)
            && !calls.back().is_some_and(|last| Arc::ptr_eq(last, call))
        {
            calls.push_back(Arc::clone(call));
            if calls.len() > CALLS_MAX {
                calls.pop_front();
            }
        }
    }

    /// Results of the worker were taken (rule 2).
    pub(super) fn note_results(&self) {
        self.results.fetch_add(1, Ordering::Release);
    }

    /// Nothing is written any more: the process has ended, or is given up.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        lock().waker.iter().for_each(|waker| waker.wake());
    }

    /// Whether there is something to be read.
    fn is_readable(&self) -> bool {
        let mut watches = [Watch::read(self.socket.as_fd())];
        sys::poll(&mut watches, Some(Duration::ZERO)).is_err() || watches[0].ready
    }
}

impl HeardWorker {
    /// Whether what stood before these results is replayed; it looks for itself (rule 3).
    fn is_settled(&mut self, results: u64) -> bool {
        if self.shared.has_ended.load(Ordering::Acquire) {
            return false;
        }
        if self.settled < results && !self.is_in_pass && (self.has_hung_up || !self.shared.is_readable()) {
            self.settled = results;
        }
        self.settled >= results
    }

    /// Lets go of the calls that have no task any more, once what was written of them is replayed.
    fn forget_calls(&mut self) {
        if self.settled >= self.shared.results.load(Ordering::Acquire) {
            self.calls.retain(|call| Arc::strong_count(call) > 1);
        }
    }
}

/// Waits until all that workers had written before the results that were taken so far is with the program's subscriber. It runs code of
/// the program's, and must be called without a lock.
#[inline]
pub(crate) fn settle() {
    bury();
    if OPEN.load(Ordering::Relaxed) > 0 && !is_reader() {
        settle_all();
    }
}

#[cold]
fn settle_all() {
    let mut sources = lock();
    let wanted: Vec<(u64, u64)> = sources
        .sources
        .iter()
        .map(|(&number, source)| (number, source.shared.results.load(Ordering::Acquire), source))
        .filter(|(_, results, source)| source.settled < *results || source.shared.has_ended.load(Ordering::Acquire))
        .map(|(number, results, _)| (number, results))
        .collect();
    for (number, results) in wanted {
        // A source that is there no more was read to its end.
        while let Some(source) = sources.sources.get_mut(&number) {
            if source.is_settled(results) {
                source.forget_calls();
                break;
            }
            sources = READER.get().changed.wait(sources);
        }
    }
    drop(sources);
    bury();
}

fn lock() -> Locked<'static, Sources> {
    READER.get().state.lock()
}

/// Runs until no worker is listened to.
fn run(waker: &Waker) {
    let mut replays: BTreeMap<u64, Replay> = BTreeMap::new();
    // One byte more shows that a packet is too large.
    let mut room = vec![0; PACKET_BYTES_MAX + 1];
    loop {
        bury();
        let sources: Vec<Arc<WorkerSource>> = {
            let mut sources = lock();
            if sources.sources.is_empty() {
                sources.waker = None;
                return;
            }
            let listens =
                |source: &&HeardWorker| !source.has_hung_up || source.shared.has_ended.load(Ordering::Acquire);
            sources.sources.values().filter(listens).map(|source| Arc::clone(&source.shared)).collect()
        };
        for source in wait_for(waker, &sources) {
            let replay = replays.entry(source.number).or_insert_with(|| Replay::new(source.worker));
            if pass(source, replay, &mut room) {
                replays.remove(&source.number);
            }
        }
    }
}

/// Waits until there is something to read, and returns the workers that it is of, and those that have ended.
fn wait_for<'a>(waker: &Waker, sources: &'a [Arc<WorkerSource>]) -> Vec<&'a Arc<WorkerSource>> {
    let has_ended = |source: &WorkerSource| source.has_ended.load(Ordering::Acquire);
    let mut watches = vec![Watch::read(waker.as_fd())];
    watches.extend(sources.iter().map(|source| Watch::read(source.socket.as_fd())));
    // Whatever ends from now on wakes this thread.
    let timeout = sources.iter().any(|source| has_ended(source)).then_some(Duration::ZERO);
    if sys::poll(&mut watches, timeout).is_err() {
        // The kernel is out of memory: it is tried again a little later.
        std::thread::sleep(POLL_AGAIN);
        return sources.iter().collect();
    }
    if watches[0].ready {
        waker.clear();
    }
    let due = sources.iter().zip(&watches[1..]).filter(|(source, watch)| watch.ready || has_ended(source));
    due.map(|(source, _)| source).collect()
}

/// Reads packets of a worker, and replays them; returns whether it was the last time.
fn pass(source: &WorkerSource, replay: &mut Replay, room: &mut [u8]) -> bool {
    let results = source.results.load(Ordering::Acquire);
    let is_last = source.has_ended.load(Ordering::Acquire);
    if let Some(source) = lock().sources.get_mut(&source.number) {
        source.is_in_pass = true;
    }
    replay.pid = source.pid.load(Ordering::Relaxed);
    let mut has_hung_up = false;
    for _ in 0..PASS_PACKETS_MAX {
        match sys::receive_packet(source.socket.as_fd(), room, Wait::No) {
            Ok((0, _)) => {
                has_hung_up = true;
                break;
            }
            Ok((bytes, _)) => replay.apply(&room[..bytes], |ticket| call_of(source, ticket)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => replay.refuse("a packet came with descriptors"),
            Err(_) => {
                has_hung_up = true;
                break;
            }
        }
    }
    if is_last {
        replay.end();
    }
    let mut sources = lock();
    if let Some(source) = sources.sources.get_mut(&source.number) {
        source.is_in_pass = false;
        source.has_hung_up |= has_hung_up;
        source.settled = source.settled.max(results);
        source.forget_calls();
    }
    if is_last && sources.sources.remove(&source.number).is_some() {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
    drop(sources);
    READER.get().changed.notify_all();
    is_last
}

/// The call with this ticket, if the worker was given tasks of it. Those before it are over.
fn call_of(source: &WorkerSource, ticket: u64) -> Option<Arc<ListenedCall>> {
    let mut sources = lock();
    let HeardWorker { calls, .. } = sources.sources.get_mut(&source.number)?;
    let place = calls.iter().position(|call| call.ticket == ticket)?;
    calls.drain(..place);
    calls.front().cloned()
}

/// However the thread ends, no other waits for it after that.
struct AbandonWorkers;

impl Drop for AbandonWorkers {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut sources = lock();
        sources.waker = None;
        let left = std::mem::take(&mut sources.sources);
        OPEN.fetch_sub(left.len(), Ordering::Relaxed);
        drop(sources);
        READER.get().changed.notify_all();
    }
}
