//! Options of single calls beside limits and attempts: their priority, their deadline, their executions after an error.

mod common;

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use poolmap::{Counter, Event, Output, Pool, TaskErrorKind, current_worker, pool_map, worker};

#[worker]
fn place(order: &Counter) -> i64 {
    order.add(1)
}

#[worker]
fn wait_for(begun: &Event, go: &Event) {
    begun.set();
    go.wait();
}

#[worker]
fn gated_place(index: usize, begun: &Event, go: &Event, order: &Counter) -> i64 {
    if index == 0 {
        begun.set();
        go.wait();
    }
    order.add(1)
}

/// A pool of one worker that runs a call until `go` is set.
fn occupied() -> (Pool, Event) {
    let pool = common::pool(1);
    let (begun, go) = (Event::new().unwrap(), Event::new().unwrap());
    let call = wait_for { begun: begun.clone(), go: go.clone() };
    pool.submit(call).unwrap().on_done(|outcome| outcome.unwrap());
    begun.wait();
    (pool, go)
}

#[poolmap::test]
fn a_higher_priority_gets_the_free_worker_first() {
    let _guard = common::guard();
    let (pool, go) = occupied();
    let order = Counter::new(0).unwrap();
    let call = |priority| pool.call(place { order: order.clone() }).priority(priority).submit().unwrap();
    let handles = [0, -3, 7, i32::MIN, 7, i32::MAX, 0].map(call);
    let plain = pool.submit(place { order: order.clone() }).unwrap();
    go.set();
    assert_eq!(handles.map(|handle| handle.join().unwrap()), [3, 6, 1, 7, 2, 0, 4]);
    assert_eq!(plain.join().unwrap(), 5);
}

#[poolmap::test]
fn a_map_of_a_higher_priority_goes_before_calls_and_a_lower_one_behind_them() {
    let _guard = common::guard();
    for (priority, places) in [(1, (0..4, 4)), (-1, (1..5, 0))] {
        let (pool, go) = occupied();
        let order = Counter::new(0).unwrap();
        let call = pool.submit(place { order: order.clone() }).unwrap();
        let of_map: Vec<i64> = std::thread::scope(|scope| {
            let orders = [(); 4].map(|()| order.clone());
            let map = scope.spawn(|| pool_map!(in &pool, place, orders; priority = priority, chunk_size = 1).unwrap());
            common::wait_until("all tasks of the map wait", || pool.stats().tasks_waiting() == 5);
            go.set();
            map.join().unwrap()
        });
        assert_eq!(call.join().unwrap(), places.1, "priority {priority}");
        assert!(of_map.into_iter().eq(places.0), "priority {priority}");
    }
}

/// What a worker was given ahead, and has not claimed, goes behind a call of a higher priority.
#[poolmap::test]
fn a_call_goes_before_tasks_that_a_worker_was_given_ahead() {
    let _guard = common::guard();
    if !common::shares_memory() {
        return;
    }
    let pool = common::pool(1);
    let (begun, go, order) = (Event::new().unwrap(), Event::new().unwrap(), Counter::new(0).unwrap());
    std::thread::scope(|scope| {
        let repeat = |event: &Event| std::iter::repeat(event.clone());
        let (begun_each, go_each) = (repeat(&begun), repeat(&go));
        let order_each = std::iter::repeat(order.clone());
        let map = scope.spawn(|| {
            pool_map!(in &pool, gated_place, 0..50, begun_each, go_each, order_each; chunk_size = 50).unwrap()
        });
        begun.wait();
        let urgent = pool.call(place { order: order.clone() }).priority(1).submit().unwrap();
        go.set();
        // The task that had begun goes on.
        assert_eq!(urgent.join().unwrap(), 1);
        assert_eq!(map.join().unwrap().len(), 50);
    });
}

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(3600);

#[worker]
fn hang() {
    loop {
        std::thread::park();
    }
}

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

#[worker]
fn fails_before(attempt: u32, runs: &Counter) -> Result<u32, String> {
    runs.add(1);
    let now = current_worker().unwrap().attempt();
    println!("execution {now}");
    if now < attempt { Err(format!("execution {now}")) } else { Ok(now) }
}

#[worker]
fn panics_before(attempt: u32) -> Vec<u8> {
    let now = current_worker().unwrap().attempt();
    assert!(now >= attempt, "execution {now}");
    vec![7; 5 << 20]
}

/// It dies, fails, hangs, in turn.
#[worker]
fn dies_fails_hangs() -> Result<(), String> {
    match current_worker().unwrap().attempt() {
        1 => std::process::abort(),
        2 => Err("it fails".into()),
        _ => loop {
            std::thread::park();
        },
    }
}

fn no_counter() -> Counter {
    Counter::new(0).unwrap()
}

#[poolmap::test]
fn a_call_that_waits_at_its_deadline_costs_no_worker() {
    let _guard = common::guard();
    let (pool, go) = occupied();
    let started = pool.stats().workers_started();
    let call = || pool.call(double { x: 1 }).deadline(SHORT).submit().unwrap();
    let submitted = Instant::now();
    for handle in [call(), call()] {
        let error = handle.join().unwrap_err();
        assert!(error.is_deadline(), "{error}");
        let task = error.task().unwrap();
        assert!(matches!(task.kind(), TaskErrorKind::TimedOut { limit: SHORT, .. }) && task.attempts() == 0);
    }
    assert!(submitted.elapsed() >= SHORT);
    assert_eq!(pool.stats().tasks_waiting(), 0);
    go.set();
    assert_eq!(pool.call(double { x: 2 }).deadline(LONG).apply().unwrap(), 4);
    assert_eq!(pool.call(double { x: 3 }).deadline(Duration::MAX).apply().unwrap(), 6);
    assert_eq!(pool.stats().workers_started(), started);
}

#[poolmap::test]
fn a_call_that_runs_at_its_deadline_is_ended() {
    let _guard = common::guard();
    let pool = common::pool(2);
    for _ in 0..3 {
        let hanging = [(); 2].map(|()| pool.call(hang {}).deadline(SHORT).submit().unwrap());
        for handle in hanging {
            let error = handle.join().unwrap_err();
            assert!(error.is_deadline(), "{error}");
            assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::TimedOut { limit: SHORT, .. }), "{error}");
        }
        assert_eq!(pool.apply(double { x: 4 }).unwrap(), 8);
    }
    assert_eq!(pool.stats().workers_lost(), 0, "the program's own end of a worker is no loss");
    // A limit of the call itself is no deadline.
    let error = pool.call(hang {}).timeout(SHORT).deadline(LONG).apply().unwrap_err();
    assert!(!error.is_deadline() && matches!(error.task().unwrap().kind(), TaskErrorKind::TimedOut { .. }), "{error}");
}

/// The deadline of a map ends its tasks with the same.
#[poolmap::test]
fn a_task_of_a_map_knows_that_the_deadline_ended_it() {
    let _guard = common::guard();
    let pool = common::pool(1);
    assert!(
        pool_map!(in &pool, fails_before, [9], [no_counter()]; deadline = SHORT, retry_errors = 1000)
            .unwrap_err()
            .is_deadline()
    );
    assert!(!pool_map!(in &pool, fails_before, [9], [no_counter()]; deadline = LONG).unwrap_err().is_deadline());
}

#[poolmap::test]
fn a_deadline_holds_while_a_callback_runs() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let (done, is_done) = channel();
    let (go_on, may_go_on) = channel::<()>();
    pool.submit(double { x: 1 }).unwrap().on_done(move |_| {
        done.send(()).unwrap();
        let _ = may_go_on.recv();
    });
    is_done.recv().unwrap();
    let pid = pool.workers()[0].pid();
    let handle = pool.call(hang {}).deadline(SHORT).submit().unwrap();
    // Nobody waits for the handle, and the thread that runs callbacks is busy.
    common::wait_until("the worker is replaced", || pool.workers().first().is_some_and(|worker| worker.pid() != pid));
    drop(go_on);
    common::wait_until("the handle has it", || handle.is_finished());
    assert!(handle.join().unwrap_err().is_deadline());
}

#[poolmap::test]
fn a_call_is_executed_again_after_an_error_as_often_as_it_may() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let runs = Counter::new(0).unwrap();
    let call = |attempt| pool.call(fails_before { attempt, runs: runs.clone() });
    assert_eq!(call(3).retry_errors(2).apply().unwrap(), 3);
    assert_eq!(call(1).retry_errors(2).apply().unwrap(), 1);
    assert_eq!(runs.get(), 4);
    let error = call(3).retry_errors(1).apply().unwrap_err();
    let task = error.task().unwrap();
    let causes: Vec<String> = task
        .causes()
        .map(|cause| match cause {
            TaskErrorKind::Failed(failure) => failure.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((task.attempts(), causes), (2, vec!["execution 1".to_owned(), "execution 2".to_owned()]));
    assert!(call(2).apply().is_err());
    assert_eq!(pool.call(panics_before { attempt: 2 }).retry_errors(1).apply().unwrap(), vec![7; 5 << 20]);
    let error = pool.call(panics_before { attempt: 9 }).retry_errors(1).apply().unwrap_err();
    assert!(
        matches!(error.task().unwrap().kind(), TaskErrorKind::Panicked { .. }) && error.task().unwrap().attempts() == 2
    );
    assert!(pool.call(double { x: 1 }).retry_errors(0).apply().unwrap_err().is_invalid_option());
    assert!(pool.call(double { x: 1 }).deadline(Duration::ZERO).apply().unwrap_err().is_invalid_option());
}

#[poolmap::test]
fn an_execution_after_an_error_keeps_the_rules_of_its_call() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let call = || pool.call(dies_fails_hangs {}).attempts(2).timeout(SHORT).deadline(LONG);
    let error = call().retry_errors(1).apply().unwrap_err();
    let task = error.task().unwrap();
    let causes: Vec<&TaskErrorKind> = task.causes().collect();
    assert!(
        matches!(
            causes[..],
            [TaskErrorKind::Crashed { .. }, TaskErrorKind::Failed(_), TaskErrorKind::TimedOut { limit: SHORT, .. }]
        ),
        "{causes:?}"
    );
    assert!(task.attempts() == 3 && !error.is_deadline());
    assert!(matches!(call().apply().unwrap_err().task().unwrap().kind(), TaskErrorKind::Failed(_)));
}

#[poolmap::test]
fn a_deadline_ends_the_wait_for_another_execution() {
    let _guard = common::guard();
    let pool = common::pool(1);
    pool.ready().unwrap();
    let runs = Counter::new(0).unwrap();
    let call = fails_before { attempt: 1000, runs: runs.clone() };
    let error = pool.call(call).retry_errors(1000).deadline(Duration::from_secs(1)).apply().unwrap_err();
    assert!(error.is_deadline(), "{error}");
    let task = error.task().unwrap();
    assert!(matches!(task.kind(), TaskErrorKind::TimedOut { .. }));
    // The time was over in a wait, or in an execution that had just begun.
    let (causes, attempts) = (task.causes().count() as u32, task.attempts());
    assert!(causes == attempts + 1 || causes == attempts, "{causes} causes of {attempts} executions");
    assert!(i64::from(attempts).abs_diff(runs.get()) <= 1, "{attempts} and {}", runs.get());
    assert_eq!(pool.apply(double { x: 5 }).unwrap(), 10);
}

#[poolmap::test]
fn a_call_that_waits_for_another_execution_can_be_ended() {
    let _guard = common::guard();
    let pool = common::pool(1);
    for round in 0..8 {
        let runs = Counter::new(0).unwrap();
        let call = fails_before { attempt: 1000, runs: runs.clone() };
        let handle = pool.call(call).retry_errors(1000).submit().unwrap();
        common::wait_until("it has failed", || runs.get() > 0);
        if round % 2 == 0 {
            // It may be about to wait, and waits after that.
            common::wait_until("it waits", || handle.worker().is_none());
        }
        assert!(!handle.is_finished());
        match round % 4 {
            3 => drop(handle.abort_on_drop()),
            _ => {
                assert!(handle.abort() && handle.is_finished() && !handle.abort() && !handle.cancel());
                let error = handle.join().unwrap_err();
                assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Cancelled), "{error}");
            }
        }
        let times = runs.get();
        // It would have been executed again by then.
        assert_eq!(pool.call(fails_before { attempt: 3, runs: no_counter() }).retry_errors(2).apply().unwrap(), 3);
        // Its worker may have run for some milliseconds more.
        assert!(runs.get() <= times + 1);
    }
}

#[poolmap::test]
fn what_the_last_execution_printed_is_captured() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).output(Output::Captured).build().unwrap();
    let call = |attempt| pool.call(fails_before { attempt, runs: no_counter() }).retry_errors(1).submit().unwrap();
    let captured = call(2).join_captured().unwrap();
    assert_eq!((captured.outcome.unwrap(), &*captured.stdout), (2, "execution 2\n"));
    let captured = call(3).join_captured().unwrap();
    assert_eq!((captured.outcome.unwrap_err().attempts(), &*captured.stdout), (2, "execution 2\n"));
}

#[poolmap::test]
fn a_pool_that_is_joined_waits_for_executions_after_an_error_and_a_dropped_one_does_not() {
    let _guard = common::guard();
    let pool = common::pool(1);
    let handle = pool.call(fails_before { attempt: 3, runs: no_counter() }).retry_errors(2).submit().unwrap();
    pool.close();
    pool.join().unwrap();
    assert!(handle.is_finished());
    assert_eq!(handle.join().unwrap(), 3);
    let pool = common::pool(1);
    let runs = Counter::new(0).unwrap();
    let handle = pool.call(fails_before { attempt: 1000, runs: runs.clone() }).retry_errors(1000).submit().unwrap();
    common::wait_until("it has failed", || runs.get() > 0);
    drop(pool);
    assert!(handle.join().unwrap_err().is_closed());
}

#[poolmap::test]
fn a_call_too_many_is_refused_while_others_wait() {
    let _guard = common::guard();
    assert!(Pool::builder().max_waiting(0).build().unwrap_err().is_invalid_option());
    let pool = Pool::builder().workers(2).max_waiting(3).build().unwrap();
    pool.ready().unwrap();
    let go = Event::new().unwrap();
    let call = || wait_for { begun: Event::new().unwrap(), go: go.clone() };
    let mut handles: Vec<_> = (0..5).map(|_| pool.submit(call()).unwrap()).collect();
    for _ in 0..3 {
        let error = pool.submit(call()).unwrap_err();
        assert!(error.is_full(), "{error}");
        assert!(pool.call(call()).priority(9).retry_errors(1).submit().unwrap_err().is_full());
    }
    // One that is taken out of the queue makes room, and one that runs does too.
    for place in [4, 0] {
        assert!(handles.remove(place).abort());
        common::wait_until("there is room", || match pool.submit(call()) {
            Ok(handle) => {
                handles.push(handle);
                true
            }
            Err(error) => {
                assert!(error.is_full());
                false
            }
        });
        assert!(pool.submit(call()).unwrap_err().is_full());
    }
    std::thread::scope(|scope| {
        // They wait for a worker, and count for nothing.
        let applied = scope.spawn(|| (pool.apply(double { x: 1 }), pool.call(double { x: 2 }).apply()));
        let mapped = scope.spawn(|| pool_map!(in &pool, double, 0..100));
        common::wait_until("they wait", || pool.stats().tasks_waiting() > 3);
        assert!(pool.submit(call()).unwrap_err().is_full());
        go.set();
        let (first, second) = applied.join().unwrap();
        assert_eq!((first.unwrap(), second.unwrap()), (2, 4));
        assert_eq!(mapped.join().unwrap().unwrap().len(), 100);
    });
    for handle in handles {
        handle.join().unwrap();
    }
    pool.close();
    assert!(pool.submit(call()).unwrap_err().is_closed());
}

#[poolmap::test]
fn calls_that_are_submitted_whenever_there_is_room_run_once_each() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).max_waiting(2).build().unwrap();
    let order = Counter::new(0).unwrap();
    let submit_some = || {
        for _ in 0..200 {
            loop {
                match pool.submit(place { order: order.clone() }) {
                    Ok(handle) => break handle.on_done(|outcome| assert!(outcome.unwrap() >= 0)),
                    Err(error) => assert!(error.is_full(), "{error}"),
                }
                std::thread::yield_now();
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(submit_some);
        scope.spawn(submit_some);
    });
    pool.close();
    pool.join().unwrap();
    assert_eq!(order.get(), 400);
}
