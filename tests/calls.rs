//! Single calls with options: limits, attempts, and their end by their handle.

mod common;

use std::time::Duration;

use poolmap::{Counter, Output, Pool, TaskErrorKind, TaskHandle, current_worker, pool_map, worker};

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3600);

#[worker]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

#[worker]
fn hang() {
    loop {
        std::thread::park();
    }
}

#[worker]
fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

#[worker]
fn dies_before(attempt: u32) -> u32 {
    let now = current_worker().unwrap().attempt();
    if now < attempt {
        std::process::abort();
    }
    now
}

#[worker]
fn count(counter: &Counter, millis: u64) -> i64 {
    let before = counter.add(1);
    std::thread::sleep(Duration::from_millis(millis));
    before
}

#[worker]
fn count_and_die(counter: &Counter) {
    counter.add(1);
    std::process::abort();
}

#[worker]
fn print_and_hang(counter: &Counter) {
    println!("begun");
    counter.add(1);
    loop {
        std::thread::park();
    }
}

fn kind<T>(result: poolmap::Result<T>) -> TaskErrorKind {
    let Err(error) = result else { panic!("no error") };
    error.task().unwrap_or_else(|| panic!("{error}")).kind().clone()
}

#[poolmap::test]
fn a_call_over_its_limit_ends_and_others_do_not() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let error = pool.call(hang {}).timeout(SHORT).apply().unwrap_err();
    let task = error.task().unwrap();
    assert!(matches!(task.kind(), TaskErrorKind::TimedOut { limit: SHORT, .. }) && task.attempts() == 1, "{error}");
    // In one worker, one behind the other: each has its own limit, or none.
    let handles = [
        pool.submit(sleep { millis: 300 }).unwrap(),
        pool.call(sleep { millis: 1 }).timeout(LONG).submit().unwrap(),
        pool.call(sleep { millis: 60_000 }).timeout(SHORT).submit().unwrap(),
        pool.submit(sleep { millis: 301 }).unwrap(),
    ];
    let [first, second, third, fourth] = handles.map(TaskHandle::join);
    assert_eq!((first.unwrap(), second.unwrap(), fourth.unwrap()), (300, 1, 301));
    assert!(matches!(kind(third), TaskErrorKind::TimedOut { limit: SHORT, .. }));
}

#[poolmap::test]
fn a_call_over_its_processor_time_ends() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let spun = pool.call(spin {}).cpu_limit(SHORT).apply();
    if spun.as_ref().is_err_and(poolmap::Error::is_invalid_option) {
        // A system that does not report the processor time of another process.
        return;
    }
    assert!(matches!(kind(spun), TaskErrorKind::CpuLimit { limit: SHORT, .. }));
    // Sleep takes none.
    assert_eq!(pool.call(sleep { millis: 300 }).cpu_limit(SHORT).apply().unwrap(), 300);
}

#[poolmap::test]
fn a_call_is_executed_as_often_as_it_may() {
    let _guard = common::guard();
    let pool = common::pool(2);
    assert_eq!(pool.call(dies_before { attempt: 3 }).attempts(3).apply().unwrap(), 3);
    let error = pool.call(dies_before { attempt: 3 }).attempts(2).apply().unwrap_err();
    assert_eq!(error.task().unwrap().attempts(), 2);
    assert!(matches!(kind(pool.call(dies_before { attempt: 2 }).apply()), TaskErrorKind::Crashed { .. }));
}

#[poolmap::test]
fn options_that_allow_nothing_are_errors() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let call = || pool.call(sleep { millis: 0 });
    for (option, call) in [
        ("timeout", call().timeout(Duration::ZERO)),
        ("cpu_limit", call().cpu_limit(Duration::ZERO)),
        ("attempts", call().attempts(0)),
    ] {
        assert!(format!("{call:?}").contains(option));
        let error = call.submit().unwrap_err();
        assert_eq!(error.to_string(), format!("`{option}` must be greater than zero, got 0"));
        assert!(error.is_invalid_option());
    }
}

#[poolmap::test]
fn an_aborted_call_is_cancelled_and_costs_a_worker_only_if_it_runs() {
    let _guard = common::guard();
    let pool = common::pool(1);
    assert_eq!(pool.apply(sleep { millis: 0 }).unwrap(), 0);
    let begun = Counter::new(0).unwrap();
    let running = pool.submit(count { counter: begun.clone(), millis: 3_600_000 }).unwrap();
    let waiting = pool.submit(sleep { millis: 0 }).unwrap();
    common::wait_until("a worker runs the call", || begun.get() == 1);
    if common::shares_memory() {
        let started = pool.stats().workers_started();
        assert!(waiting.abort() && !waiting.abort());
        assert!(matches!(kind(waiting.join()), TaskErrorKind::Cancelled));
        assert_eq!(pool.stats().workers_started(), started);
    }
    let pid = pool.workers()[0].pid();
    let worker = running.worker().unwrap();
    assert_eq!((worker.index(), worker.pid(), worker.attempt(), worker.parent_pid()), (0, pid, 1, std::process::id()));
    assert!(running.abort() && running.worker().is_none());
    assert!(running.is_finished() && !running.abort() && !running.cancel());
    assert!(matches!(kind(running.join()), TaskErrorKind::Cancelled));
    assert_eq!(pool.apply(sleep { millis: 1 }).unwrap(), 1);
    assert_ne!(pool.workers()[0].pid(), pid);
    assert_eq!(pool.stats().workers_lost(), 0, "the program's own end of a worker is no loss");
    let ended = pool.submit(sleep { millis: 2 }).unwrap();
    common::wait_until("the call has ended", || ended.is_finished());
    assert!(!ended.abort());
    assert_eq!(ended.join().unwrap(), 2);
}

#[poolmap::test]
fn a_handle_that_is_dropped_ends_its_call_where_it_was_asked_to() {
    let _guard = common::guard();
    let pool = common::pool(4);
    for _ in 0..3 {
        let hanging: Vec<_> = (0..4).map(|_| pool.submit(hang {}).unwrap().abort_on_drop()).collect();
        for mut handle in hanging {
            assert_eq!(handle.join_timeout(Duration::from_millis(20)).unwrap(), None);
        }
        // All workers hung.
        assert_eq!(pool.apply(sleep { millis: 1 }).unwrap(), 1);
    }
    let mut ended = pool.submit(sleep { millis: 0 }).unwrap().abort_on_drop();
    assert_eq!(ended.join_timeout(common::SOON).unwrap(), Some(0));
    let pids = |pool: &Pool| pool.workers().iter().map(poolmap::WorkerInfo::pid).collect::<Vec<_>>();
    pool.ready().unwrap();
    let before = pids(&pool);
    drop(ended);
    assert_eq!(pool_map!(in &pool, sleep, [0; 8]).unwrap(), [0; 8]);
    assert_eq!(pids(&pool), before);
}

/// Aborts a third of some calls, and checks that each was executed as often as its outcome says; returns how many were aborted.
fn abort_some(pool: &Pool, calls: usize, millis: u64, place_of_first: usize) -> usize {
    let counters: Vec<Counter> = (0..calls).map(|_| Counter::new(0).unwrap()).collect();
    let submit = |counter: &Counter| pool.submit(count { counter: counter.clone(), millis }).unwrap();
    let handles: Vec<_> = counters.iter().map(submit).collect();
    let aborted: Vec<bool> =
        handles.iter().enumerate().map(|(place, handle)| place % 3 == place_of_first && handle.abort()).collect();
    for (place, handle) in handles.into_iter().enumerate() {
        let (outcome, times) = (handle.join(), counters[place].get());
        if aborted[place] {
            assert!(matches!(kind(outcome), TaskErrorKind::Cancelled) && times <= 1, "call {place}: {times} times");
        } else {
            assert_eq!((outcome.unwrap(), times), (0, 1), "call {place}");
        }
    }
    // Nothing of an aborted call runs later.
    let before: Vec<i64> = counters.iter().map(Counter::get).collect();
    pool_map!(in pool, sleep, [0; 16]).unwrap();
    assert_eq!(counters.iter().map(Counter::get).collect::<Vec<_>>(), before);
    aborted.into_iter().filter(|aborted| *aborted).count()
}

#[poolmap::test]
fn calls_beside_aborted_ones_run_once() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let aborted: usize = (0..20).map(|round| abort_some(&pool, 12, 2, round % 3)).sum();
    assert!(aborted > 0);
}

/// Short calls are given to a worker several at a time, also behind one that is aborted.
#[poolmap::test]
fn short_calls_beside_aborted_ones_run_once() {
    let _guard = common::guard();
    let pool = common::pool(2);
    // The call that all submitted ones are tasks of stays open, and knows how short they are.
    let last = pool.submit(sleep { millis: 1500 }).unwrap();
    for handle in (0..64).map(|_| pool.submit(sleep { millis: 0 }).unwrap()).collect::<Vec<_>>() {
        handle.join().unwrap();
    }
    for round in 0..30 {
        abort_some(&pool, 40, 0, round % 3);
    }
    for _ in 0..10 {
        let hanging: Vec<_> = (0..6).map(|_| pool.submit(hang {}).unwrap()).collect();
        // Each hangs, or waits behind one that does: so each can be ended.
        assert!(hanging.iter().all(TaskHandle::abort));
    }
    last.join().unwrap();
}

#[poolmap::test]
fn an_aborted_call_is_not_executed_again() {
    let _guard = common::guard();
    let pool = common::pool(1);
    for _ in 0..10 {
        let counter = Counter::new(0).unwrap();
        let handle = pool.call(count_and_die { counter: counter.clone() }).attempts(1000).submit().unwrap();
        common::wait_until("it has died", || counter.get() > 1);
        assert!(handle.abort());
        assert!(matches!(kind(handle.join()), TaskErrorKind::Cancelled));
        assert_eq!(pool.apply(sleep { millis: 1 }).unwrap(), 1);
        let times = counter.get();
        assert_eq!(pool.apply(sleep { millis: 20 }).unwrap(), 20);
        assert_eq!(counter.get(), times);
    }
}

#[poolmap::test]
fn what_an_aborted_call_has_printed_is_captured() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).output(Output::Captured).build().unwrap();
    let counter = Counter::new(0).unwrap();
    let handle = pool.submit(print_and_hang { counter: counter.clone() }).unwrap();
    common::wait_until("it has printed", || counter.get() == 1);
    assert!(handle.abort());
    let captured = handle.join_captured().unwrap();
    assert_eq!(captured.stdout, "begun\n");
    let error = captured.outcome.unwrap_err();
    assert!(error.attempts() == 1 && error.to_string().ends_with("was cancelled"), "{error}");
}
