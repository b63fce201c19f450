//! How pools in process end while other threads use them, and what their calls wait for.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Barrier, OnceLock};
use std::time::Duration;

use futures_lite::StreamExt;
use poolmap::{Pool, TaskErrorKind, pool_iter, pool_map, pool_stream, pool_try_map, worker};

use crate::streams::{begin, block_on, feed};
use crate::{common, in_process, square};

/// Makes tasks wait until the test has them go on.
struct Gate {
    arrived: AtomicU32,
    is_open: AtomicBool,
}

impl Gate {
    const fn new() -> Self {
        Self { arrived: AtomicU32::new(0), is_open: AtomicBool::new(false) }
    }

    fn close(&self) {
        self.arrived.store(0, Ordering::SeqCst);
        self.is_open.store(false, Ordering::SeqCst);
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    fn pass(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        common::wait_until("the gate is open", || self.is_open.load(Ordering::SeqCst));
    }

    fn wait_for_task(&self) {
        common::wait_until("a task has come to the gate", || self.arrived.load(Ordering::SeqCst) > 0);
    }
}

static GATE: Gate = Gate::new();
static RUN: AtomicU32 = AtomicU32::new(0);

#[worker]
fn pass_gate() {
    GATE.pass();
}

/// Counts its executions, behind the gate.
#[worker]
fn pass_and_count() {
    GATE.pass();
    RUN.fetch_add(1, Ordering::SeqCst);
}

#[worker]
fn count() -> u32 {
    RUN.fetch_add(1, Ordering::SeqCst) + 1
}

#[worker]
fn count_task(task: u32) -> u32 {
    RUN.fetch_add(1, Ordering::SeqCst);
    task
}

#[worker]
fn fail_before(execution: u32) -> Result<u32, String> {
    let now = RUN.fetch_add(1, Ordering::SeqCst) + 1;
    if now < execution { Err(format!("execution {now}")) } else { Ok(now) }
}

fn reset() {
    GATE.close();
    RUN.store(0, Ordering::SeqCst);
}

#[poolmap::test]
fn a_pool_is_joined_while_a_stream_is_open() {
    let _guard = common::guard();
    for is_waiting in [false, true] {
        let pool = in_process();
        let (feeder, fed) = feed();
        let mut stream = pool_stream!(in &pool, square, poolmap::stream(fed)).unwrap();
        feeder.send(3);
        assert_eq!(block_on(stream.try_next()).unwrap(), Some(9));
        if is_waiting {
            begin(&mut stream);
        }
        pool.join().unwrap();
        feeder.send(4);
        assert!(block_on(stream.try_next()).unwrap_err().is_closed());
        assert_eq!(block_on(stream.try_next()).unwrap(), None);
    }
}

#[poolmap::test]
fn no_task_begins_with_the_finalizer_or_behind_it() {
    let _guard = common::guard();
    reset();
    let pool = Pool::builder().in_process().finalizer(pass_gate {}).build().unwrap();
    let mut lazy = pool_iter!(in &pool, count_task, 0..).unwrap();
    assert_eq!(lazy.next().unwrap().unwrap(), 0);
    std::thread::scope(|scope| {
        let joining = scope.spawn(|| pool.join().unwrap());
        GATE.wait_for_task();
        assert!(lazy.find_map(Result::err).unwrap().is_closed());
        assert_eq!(RUN.load(Ordering::SeqCst), 1);
        GATE.open();
        joining.join().unwrap();
    });
    assert_eq!(pool.finalizer_results::<pass_gate>().unwrap().len(), 1);
}

#[poolmap::test]
fn threads_that_join_at_once_wait_for_one_finalizer() {
    let _guard = common::guard();
    for _ in 0..200 {
        reset();
        let pool = Pool::builder().in_process().finalizer(count {}).build().unwrap();
        pool.ready().unwrap();
        let barrier = Barrier::new(3);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    barrier.wait();
                    pool.join().unwrap();
                    assert_eq!(RUN.load(Ordering::SeqCst), 1);
                });
            }
        });
        assert_eq!(pool.finalizer_results::<count>().unwrap().len(), 1);
    }
}

static OTHER: OnceLock<Pool> = OnceLock::new();

#[worker]
fn join_other() -> u32 {
    OTHER.get().unwrap().join().unwrap();
    RUN.load(Ordering::SeqCst)
}

#[poolmap::test]
fn a_task_that_ends_another_pool_waits_for_that_pool() {
    let _guard = common::guard();
    reset();
    let other = OTHER.get_or_init(in_process);
    std::thread::scope(|scope| {
        scope.spawn(|| other.apply(pass_and_count {}).unwrap());
        GATE.wait_for_task();
        let joining = scope.spawn(|| in_process().apply(join_other {}).unwrap());
        common::wait_until("the pool is closed", || {
            other.submit(square { x: 1 }).is_err_and(|error| error.is_closed())
        });
        GATE.open();
        assert_eq!(joining.join().unwrap(), 1);
    });
}

#[poolmap::test]
fn a_submitted_call_that_waits_for_its_next_execution_ends_with_its_pool() {
    let _guard = common::guard();
    reset();
    let pool = in_process();
    std::thread::scope(|scope| {
        let call = pool.call(fail_before { execution: u32::MAX }).retry_errors(40);
        let waiting = scope.spawn(move || call.submit().unwrap().join());
        common::wait_until("it waits", || RUN.load(Ordering::SeqCst) > 2);
        pool.terminate();
        assert!(waiting.join().unwrap().unwrap_err().is_closed());
    });
}

#[poolmap::test]
fn a_join_waits_for_the_further_executions_of_a_submitted_call() {
    let _guard = common::guard();
    reset();
    let pool = in_process();
    std::thread::scope(|scope| {
        let call = pool.call(fail_before { execution: 4 }).retry_errors(5);
        let submitted = scope.spawn(move || call.submit().unwrap().join());
        common::wait_until("it was executed", || RUN.load(Ordering::SeqCst) > 0);
        pool.join().unwrap();
        assert_eq!(RUN.load(Ordering::SeqCst), 4);
        assert_eq!(submitted.join().unwrap().unwrap(), 4);
    });
}

#[poolmap::test]
fn a_call_that_waits_for_the_initializer_has_its_deadline_and_ends_with_its_pool() {
    let _guard = common::guard();
    reset();
    let pool = Pool::builder().in_process().initializer(pass_gate {}).build().unwrap();
    let short = Duration::from_millis(50);
    std::thread::scope(|scope| {
        let initializing = scope.spawn(|| pool.submit(count {}).unwrap().join());
        GATE.wait_for_task();
        let is_late = |error: &TaskErrorKind| matches!(error, TaskErrorKind::TimedOut { .. });
        let outcomes = pool_try_map!(in &pool, count_task, 0..3; deadline = short).unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|error| is_late(error.kind()))));
        let late = pool.call(count {}).deadline(short).apply().unwrap_err();
        assert!(late.is_deadline() && is_late(late.task().unwrap().kind()), "{late:#}");
        let waiting = [scope.spawn(|| pool_map!(in &pool, count_task, 0..3).map(drop)), scope.spawn(|| pool.ready())];
        pool.terminate();
        for waiting in waiting {
            assert!(waiting.join().unwrap().unwrap_err().is_closed());
        }
        GATE.open();
        assert!(initializing.join().unwrap().unwrap_err().is_closed());
        assert_eq!(RUN.load(Ordering::SeqCst), 0);
    });
}

#[poolmap::test]
fn a_deadline_that_the_initializer_has_used_up_leaves_no_time_for_the_task() {
    let _guard = common::guard();
    reset();
    let pool = Pool::builder().in_process().initializer(pass_gate {}).build().unwrap();
    std::thread::scope(|scope| {
        let late = scope.spawn(|| pool.call(count {}).deadline(Duration::from_millis(1)).apply().unwrap_err());
        GATE.wait_for_task();
        std::thread::sleep(Duration::from_millis(2));
        GATE.open();
        let late = late.join().unwrap();
        assert!(late.is_deadline(), "{late:#}");
    });
    assert_eq!((RUN.load(Ordering::SeqCst), pool.apply(count {}).unwrap()), (0, 1));
}

/// How often the thread that waits for streams has gone to sleep, once it has its name.
fn sleeps_of_streams_thread() -> u64 {
    common::wait_until("the thread has its name", || common::threads().contains("poolmap-stream"));
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let is_it = |name: String| name.trim() == "poolmap-stream";
    let mut threads = threads.filter(|folder| std::fs::read_to_string(folder.join("comm")).is_ok_and(is_it));
    let status = std::fs::read_to_string(threads.next().unwrap().join("status")).unwrap();
    let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    sleeps.unwrap().trim().parse().unwrap()
}

#[worker]
fn sleep_for(time: Duration) {
    std::thread::sleep(time);
}

#[poolmap::test]
fn nothing_wakes_while_a_stream_waits() {
    let _guard = common::guard();
    let pool = in_process();
    let (feeder, fed) = feed();
    let mut stream = pool_stream!(in &pool, square, poolmap::stream(fed)).unwrap();
    begin(&mut stream);
    let before = sleeps_of_streams_thread();
    pool_map!(in &pool, sleep_for, [Duration::from_millis(5); 100]).unwrap();
    let after = sleeps_of_streams_thread();
    assert!(after - before < 10, "the thread has slept {} times", after - before);
    feeder.send(3);
    feeder.close();
    assert_eq!(block_on(stream.try_collect::<_, _, Vec<_>>()).unwrap(), [9]);
}
