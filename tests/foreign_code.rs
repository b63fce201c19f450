//! The program's code on threads and under locks of ours: wakers, callbacks, destructors, payloads and subscribers that panic, or
//! that use the pool.

mod common;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use poolmap::{
    Pool, Process, TaskError, TaskHandle, current_worker, pool_iter, pool_map, pool_reduce, pool_try_map, shared,
    worker,
};
use serde::{Deserialize, Serialize};
use tracing::{Event, Metadata, Subscriber, span};

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

/// Waits until the file is there.
#[worker]
fn wait_for(path: &std::path::Path) {
    while !path.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A task that goes on until it is let.
struct Gate {
    folder: tempfile::TempDir,
}

impl Gate {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn wait(&self, pool: &Pool) -> TaskHandle<()> {
        pool.submit(wait_for { path: self.folder.path().join("go") }).unwrap()
    }

    fn open(&self) {
        std::fs::write(self.folder.path().join("go"), "").unwrap();
    }
}

fn poll<T>(handle: &mut TaskHandle<T>, waker: &Waker) -> Poll<poolmap::Result<T>> {
    Pin::new(handle).poll(&mut Context::from_waker(waker))
}

/// A later callback runs, and the pool is joined.
#[track_caller]
fn goes_on(pool: &Pool) {
    let (tell, told) = channel();
    pool.submit(square { x: 3 }).unwrap().on_done(move |output| tell.send(output.unwrap()).unwrap());
    assert_eq!(told.recv_timeout(common::SOON).unwrap(), 9);
    pool.close();
    pool.join().unwrap();
    assert_eq!(pool.stats(), poolmap::Stats::default());
}

/// A payload whose Drop panics, with such a payload again, so many times.
struct Payload(u32);

impl Drop for Payload {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Payload(self.0 - 1));
        }
    }
}

/// A waker that panics with such a payload when it is woken.
struct PanicsWoken;

impl Wake for PanicsWoken {
    fn wake(self: Arc<Self>) {
        panic_any(Payload(2));
    }
}

/// And one that does when it is dropped.
struct PanicsDropped;

impl Wake for PanicsDropped {
    fn wake(self: Arc<Self>) {}
}

impl Drop for PanicsDropped {
    fn drop(&mut self) {
        panic_any(Payload(2));
    }
}

#[poolmap::test]
fn a_waker_that_panics_ends_nothing() {
    let _guard = common::guard();
    let (pool, gate) = (common::pool(2), Gate::new());
    let mut handles: Vec<_> = (0..4).map(|_| gate.wait(&pool)).collect();
    for handle in &mut handles {
        assert!(poll(handle, &Waker::from(Arc::new(PanicsWoken))).is_pending());
        assert!(poll(handle, &Waker::from(Arc::new(PanicsDropped))).is_pending());
    }
    gate.open();
    for handle in handles {
        handle.join().unwrap();
    }
    goes_on(&pool);
}

#[poolmap::test]
fn a_waker_that_panics_when_its_handle_is_cancelled_ends_nothing() {
    let _guard = common::guard();
    let (pool, gate) = (common::ready_pool(1), Gate::new());
    let running = gate.wait(&pool);
    let mut waiting: Vec<_> = (0..3).map(|x| pool.submit(square { x }).unwrap()).collect();
    for handle in &mut waiting {
        assert!(poll(handle, &Waker::from(Arc::new(PanicsWoken))).is_pending());
    }
    assert!(waiting.pop().unwrap().cancel());
    drop(waiting);
    gate.open();
    running.join().unwrap();
    goes_on(&pool);
}

#[poolmap::test]
fn a_payload_whose_drop_panics_ends_nothing() {
    let _guard = common::guard();
    for again in [0, 1, 3, u32::MAX] {
        let pool = common::pool(1);
        pool.submit(square { x: 1 }).unwrap().on_done(move |_| panic_any(Payload(again)));
        goes_on(&pool);
    }
}

/// Panics when it is dropped.
struct Captured;

impl Drop for Captured {
    fn drop(&mut self) {
        panic_any(Payload(1));
    }
}

#[poolmap::test]
fn what_a_callback_owns_may_panic_when_it_is_dropped() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let captured = Captured;
    pool.submit(square { x: 1 }).unwrap().on_done(move |_| drop(captured));
    // One that is never called: the output was taken.
    let mut handle = pool.submit(square { x: 2 }).unwrap();
    while handle.join_timeout(Duration::from_secs(1)).unwrap().is_none() {}
    let captured = Captured;
    handle.on_done(move |_| drop(captured));
    goes_on(&pool);
    // And on this thread, when the pool has ended.
    let pool = common::pool(1);
    let handle = pool.submit(square { x: 2 }).unwrap();
    drop(pool);
    let captured = Captured;
    handle.on_done(move |_| drop(captured));
}

/// As a task of an executor: the waker owns the task, and the task owns another handle.
struct Task {
    handle: Mutex<Option<TaskHandle<()>>>,
    pool: Arc<Pool>,
    dropped: Sender<()>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Task {
    fn drop(&mut self) {
        // The other thread hands out the first task's output meanwhile: it held its lock, and waited for that of the task.
        common::wait_until("the first has finished", || self.pool.stats().tasks_finished() > 0);
        (0..1000).for_each(|_| std::thread::yield_now());
        drop(self.handle.lock().unwrap().take());
        self.dropped.send(()).unwrap();
    }
}

#[poolmap::test]
fn a_waker_may_own_another_handle() {
    let _guard = common::guard();
    let pool = Arc::new(common::ready_pool(2));
    let (first_gate, second_gate) = (Gate::new(), Gate::new());
    let mut first = first_gate.wait(&pool);
    let second = second_gate.wait(&pool);
    let (dropped, told) = channel();
    let task = Task { handle: Mutex::new(Some(second)), pool: Arc::clone(&pool), dropped };
    assert!(poll(&mut first, &Waker::from(Arc::new(task))).is_pending());
    first_gate.open();
    first.on_done(|output| output.unwrap());
    told.recv_timeout(common::SOON).unwrap();
    second_gate.open();
    goes_on(&pool);
}

/// A waker whose clone and drop use another handle and the pool.
struct UsesPool {
    pool: Arc<Pool>,
    handle: Arc<TaskHandle<()>>,
    uses: Arc<AtomicUsize>,
}

impl UsesPool {
    fn act(&self) {
        self.handle.cancel();
        self.pool.stats();
        drop(self.pool.submit(square { x: 1 }));
        self.uses.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wake for UsesPool {
    fn wake(self: Arc<Self>) {
        self.act();
    }
}

impl Drop for UsesPool {
    fn drop(&mut self) {
        self.act();
    }
}

#[poolmap::test]
fn a_waker_may_use_the_pool_wherever_it_runs() {
    let _guard = common::guard();
    let pool = Arc::new(common::ready_pool(2));
    let uses = Arc::new(AtomicUsize::new(0));
    // A gate that is gone lets nobody through.
    let gates: Vec<Gate> = (0..4).map(|_| Gate::new()).collect();
    for (round, gate) in gates.iter().enumerate() {
        let other = Arc::new(gate.wait(&pool));
        let mut handle = gate.wait(&pool);
        for _ in 0..3 {
            let waker = UsesPool { pool: Arc::clone(&pool), handle: Arc::clone(&other), uses: Arc::clone(&uses) };
            assert!(poll(&mut handle, &Waker::from(Arc::new(waker))).is_pending());
        }
        match round {
            0 => handle.on_done(|_| ()),
            1 => drop(handle),
            _ => {
                gate.open();
                handle.join().unwrap();
            }
        }
        gate.open();
    }
    pool.close();
    pool.join().unwrap();
    assert!(uses.load(Ordering::SeqCst) >= 12);
}

/// Panics in a worker when it is dropped.
#[derive(Serialize, Deserialize)]
struct PanicsInWorker(u64);

impl Drop for PanicsInWorker {
    fn drop(&mut self) {
        if current_worker().is_some() {
            panic_any(Payload(2));
        }
    }
}

#[worker]
fn read(value: &PanicsInWorker, x: u64) -> u64 {
    value.0 + x
}

#[worker]
fn give(x: u64) -> PanicsInWorker {
    PanicsInWorker(x)
}

#[poolmap::test]
fn a_value_that_a_worker_keeps_may_panic_when_it_is_dropped() {
    let _guard = common::guard();
    if !common::shares_memory() {
        // It goes with each task, and is dropped in it.
        return;
    }
    let pool = common::ready_pool(2);
    for round in 0..3 {
        let value = PanicsInWorker(round);
        let sums = pool_map!(in &pool, read, shared(&value), 0..100u64).unwrap();
        assert!(sums.into_iter().eq(round..round + 100));
        drop(value);
    }
    assert_eq!(pool_map!(in &pool, square, [3; 100]).unwrap(), [9; 100]);
    assert_eq!(pool.stats().workers_lost(), 0);
}

/// Has a state whose Drop panics.
#[worker]
fn count(#[state] counted: &mut Counted) -> u64 {
    counted.count += 1;
    counted.count
}

#[derive(Default)]
struct Counted {
    count: u64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        panic_any(Payload(2));
    }
}

#[poolmap::test]
fn a_state_that_panics_when_it_is_dropped_is_no_crash() {
    let _guard = common::guard();
    let mut process = Process::new(count {}).start().unwrap();
    assert_eq!(process.join().unwrap(), 1);
    assert_eq!(process.exit_status().unwrap().code(), Some(0));
    let pool = Pool::builder().workers(1).max_tasks_per_worker(2).build().unwrap();
    for _ in 0..3 {
        assert_eq!(pool.apply(count {}).unwrap(), 1);
        assert_eq!(pool.apply(count {}).unwrap(), 2);
    }
    assert_eq!(pool.stats().workers_lost(), 0);
    goes_on(&pool);
}

#[poolmap::test]
fn an_output_that_panics_when_it_is_dropped_costs_its_task_alone() {
    let _guard = common::guard();
    let pool = common::ready_pool(2);
    let outcomes = pool_try_map!(in &pool, give, 0..100u64).unwrap();
    assert_eq!(outcomes.len(), 100);
    assert!(outcomes.iter().all(Result::is_err));
    assert_eq!(pool_map!(in &pool, square, [3; 100]).unwrap(), [9; 100]);
    assert_eq!(pool.stats().workers_lost(), 0);
}

/// An iterator that panics at its last item, or when it is dropped.
struct Input {
    left: u64,
    panics_dropped: bool,
}

impl Iterator for Input {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left -= 1;
        match self.left {
            0 if self.panics_dropped => None,
            0 => panic_any(Payload(1)),
            left => Some(left),
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if self.panics_dropped {
            panic_any(Payload(1));
        }
    }
}

#[worker]
fn add(x: u64, y: u64) -> u64 {
    x + y
}

#[worker]
fn fail(_x: u64) -> Result<u64, String> {
    Err("it has to".to_owned())
}

/// What panics on the thread that maps is that thread's: the call is closed, and the pool goes on.
#[poolmap::test]
fn a_panic_of_a_maps_own_code_reaches_its_caller_and_closes_the_call() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let panics = |act: &dyn Fn()| {
        let caught = catch_unwind(AssertUnwindSafe(act)).unwrap_err();
        // The payload's own Drop panics too.
        std::mem::forget(caught);
    };
    for panics_dropped in [false, true] {
        let input = || Input { left: 100, panics_dropped };
        panics(&|| drop(pool_map!(in &pool, square, input())));
        panics(&|| drop(pool_try_map!(in &pool, square, input())));
        panics(&|| drop(pool_iter!(in &pool, square, input()).map(Iterator::count)));
    }
    panics(&|| drop(pool_map!(in &pool, fail, 0..10u64; on_error = |_: &TaskError| -> u64 { panic_any(Payload(1)) })));
    assert_eq!(pool_reduce!(in &pool, square, 0..10u64; with = add, identity = 0).unwrap(), 285);
    // A join waits for calls that are open.
    goes_on(&pool);
}

/// Panics at each event, while it is asked to.
struct PanicsTold;

static PANICS: AtomicBool = AtomicBool::new(false);
static TOLD: AtomicUsize = AtomicUsize::new(0);

impl Subscriber for PanicsTold {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "poolmap" && PANICS.load(Ordering::SeqCst)
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, _event: &Event<'_>) {
        TOLD.fetch_add(1, Ordering::SeqCst);
        panic_any(Payload(1));
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

#[poolmap::test]
fn a_subscriber_that_panics_ends_nothing() {
    let _guard = common::guard();
    tracing::subscriber::set_global_default(PanicsTold).unwrap();
    PANICS.store(true, Ordering::SeqCst);
    let pool = common::ready_pool(2);
    assert_eq!(pool_map!(in &pool, square, 0..10u64).unwrap().len(), 10);
    let outcomes = pool_try_map!(in &pool, give, 0..3u64).unwrap();
    assert!(outcomes.iter().all(Result::is_err));
    common::kill(pool.workers()[0].pid(), "KILL");
    assert!(pool_map!(in &pool, square, 0..10u64).is_ok());
    goes_on(&pool);
    PANICS.store(false, Ordering::SeqCst);
    assert!(TOLD.load(Ordering::SeqCst) > 5);
}
