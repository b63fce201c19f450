//! What a pool counts: times, bytes, executions, and how workers have ended.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, raise};
use poolmap::{
    DeathCause, Deaths, Histogram, Pool, Stats, current_worker, pool_iter, pool_map, pool_reduce, pool_try_map, worker,
};

const MINUTE: u64 = 60_000;

#[worker]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

#[worker]
fn square(x: u64) -> u64 {
    x.wrapping_mul(x)
}

#[worker]
fn add(a: u64, b: u64) -> u64 {
    a.wrapping_add(b)
}

#[worker]
fn even(x: u64) -> Result<u64, String> {
    if x.is_multiple_of(2) { Ok(x) } else { Err("odd".to_owned()) }
}

#[worker]
fn panic_below_four(x: u64) -> u64 {
    assert!(x >= 4, "{x} is below 4");
    x
}

#[worker]
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[worker]
fn flaky(_task: u64) -> Result<u32, String> {
    match current_worker().map_or(1, |worker| worker.attempt()) {
        3 => Ok(3),
        attempt => Err(format!("attempt {attempt}")),
    }
}

#[worker]
fn die_once(millis: u64) -> u32 {
    let attempt = current_worker().unwrap().attempt();
    if attempt == 1 {
        std::thread::sleep(Duration::from_millis(millis));
        std::process::abort();
    }
    attempt
}

/// Ends its process in some way.
#[worker]
fn end(how: String) {
    match how.as_str() {
        "abort" => std::process::abort(),
        "fault" => raise(Signal::SIGSEGV).unwrap(),
        "exit" => std::process::exit(3),
        "kill" => raise(Signal::SIGKILL).unwrap(),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "allocate" => drop(std::hint::black_box(vec![1_u8; 8 << 30])),
        _ => std::thread::sleep(Duration::from_secs(60)),
    }
}

#[worker]
fn set_up(is_well: bool, millis: u64) -> Result<(), String> {
    std::thread::sleep(Duration::from_millis(millis));
    if is_well { Ok(()) } else { Err("there is no model".to_owned()) }
}

/// How many durations are from so many milliseconds on, to the end of the bucket that they are in.
fn from_millis(histogram: &Histogram, millis: u64) -> u64 {
    let from = Duration::from_millis(millis);
    histogram.buckets().filter(|(bound, _)| *bound >= from).map(|(_, count)| count).sum()
}

/// Checks what holds whatever has run, and while it runs.
fn check(stats: &Stats) {
    let executions = stats.tasks_done() + stats.tasks_failed();
    assert_eq!((stats.running().count(), stats.waiting().count()), (executions, executions), "{stats:?}");
    assert_eq!(stats.workers_lost(), stats.deaths().total());
    for histogram in [stats.running(), stats.waiting()] {
        let most = histogram.buckets().filter(|(_, count)| *count > 0).last();
        if let Some((bound, _)) = most {
            assert!(histogram.quantile(1.0).unwrap() <= bound);
            assert!(histogram.sum() <= bound.saturating_mul(u32::try_from(histogram.count()).unwrap_or(u32::MAX)));
        }
    }
}

fn pools() -> Vec<Pool> {
    let in_process = Pool::builder().in_process().build().unwrap();
    vec![common::ready_pool(2), in_process]
}

#[poolmap::test]
fn a_new_pool_and_one_that_has_ended_have_counted_nothing() {
    let _guard = common::guard();
    for pool in pools() {
        let stats = pool.stats();
        check(&stats);
        assert_eq!((stats.running().count(), stats.bytes_sent(), stats.bytes_received()), (0, 0, 0));
        assert_eq!((stats.running().quantile(0.5), stats.deaths()), (None, &Deaths::default()));
        pool.apply(square { x: 1 }).unwrap();
        pool.terminate();
        assert_eq!(pool.stats(), Stats::default());
    }
}

#[poolmap::test]
fn sleeps_are_in_their_buckets_and_every_task_counts_once() {
    let _guard = common::guard();
    for pool in pools() {
        pool_map!(in &pool, sleep, [30, 1, 1, 90, 1, 1]).unwrap();
        pool.apply(sleep { millis: 30 }).unwrap();
        pool.submit(sleep { millis: 1 }).unwrap().join().unwrap();
        let stats = pool.stats();
        check(&stats);
        assert_eq!((stats.tasks_done(), stats.tasks_failed(), stats.tasks_retried()), (8, 0, 0));
        let running = stats.running();
        assert!(from_millis(running, 90) >= 1 && from_millis(running, 30) >= 3, "{running:?}");
        assert!(running.sum() >= Duration::from_millis(30 + 90 + 30 + 5), "{running:?}");
        // None took less than it slept.
        assert_eq!(from_millis(running, 1), 8, "{running:?}");
        assert!(running.quantile(0.99).unwrap() > Duration::from_millis(60));
    }
}

#[poolmap::test]
fn what_waits_behind_others_has_waited() {
    let _guard = common::guard();
    let pool = common::ready_pool(1);
    pool.apply(square { x: 1 }).unwrap();
    let handles: Vec<_> = (0..3).map(|_| pool.submit(sleep { millis: 50 }).unwrap()).collect();
    handles.into_iter().for_each(|handle| assert!(handle.join().is_ok()));
    let waiting = pool.stats().waiting().clone();
    assert_eq!(waiting.count(), 4);
    // The second has waited for the first, and the third for both.
    assert!(from_millis(&waiting, 90) >= 1 && from_millis(&waiting, 45) >= 2, "{waiting:?}");
    assert!(waiting.sum() >= Duration::from_millis(140), "{waiting:?}");
}

#[poolmap::test]
fn short_tasks_are_counted_exactly() {
    let _guard = common::guard();
    for pool in pools() {
        let mut all = 0;
        for round in 1..=10 {
            pool_map!(in &pool, square, 0..round * 100).unwrap();
            all += round * 100;
            let stats = pool.stats();
            check(&stats);
            assert_eq!(stats.tasks_done(), all);
        }
        let sum = pool_reduce!(in &pool, square, 0..1_000; with = add, identity = 0).unwrap();
        assert_eq!(sum, (0..1_000).map(|x| x * x).sum::<u64>());
        let stats = pool.stats();
        check(&stats);
        assert_eq!(stats.tasks_done(), all + 1_000);
        assert!(stats.running().sum() > Duration::ZERO);
    }
}

#[poolmap::test]
fn failures_and_panics_are_counted_by_executions() {
    let _guard = common::guard();
    for pool in pools() {
        let outcomes = pool_try_map!(in &pool, even, 0..1000).unwrap();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 500);
        let stats = pool.stats();
        check(&stats);
        assert_eq!((stats.tasks_done(), stats.tasks_failed(), stats.tasks_retried()), (500, 500, 0));
        assert_eq!(
            pool_try_map!(in &pool, panic_below_four, 0..10).unwrap().iter().filter(|out| out.is_err()).count(),
            4
        );
        let stats = pool.stats();
        check(&stats);
        assert_eq!((stats.tasks_done(), stats.tasks_failed()), (506, 504));
    }
}

#[poolmap::test]
fn each_execution_after_an_error_counts() {
    let _guard = common::guard();
    let pool = common::ready_pool(2);
    assert_eq!(pool_map!(in &pool, flaky, 0..10; retry_errors = 2).unwrap(), [3; 10]);
    let stats = pool.stats();
    check(&stats);
    assert_eq!((stats.tasks_done(), stats.tasks_failed(), stats.tasks_retried()), (10, 20, 20));
    assert_eq!(pool.call(flaky { _task: 0 }).retry_errors(2).apply().unwrap(), 3);
    let stats = pool.stats();
    check(&stats);
    assert_eq!((stats.tasks_done(), stats.tasks_failed(), stats.tasks_retried()), (11, 22, 22));
    let in_process = Pool::builder().in_process().build().unwrap();
    pool_map!(in &in_process, even, [1, 2]; retry_errors = 2).unwrap_err();
    in_process.call(even { x: 1 }).retry_errors(3).apply().unwrap_err();
    let stats = in_process.stats();
    check(&stats);
    assert_eq!((stats.tasks_failed(), stats.tasks_retried()), (3 + 4, 2 + 3));
}

#[poolmap::test]
fn a_task_that_dies_counts_with_its_time_and_again() {
    let _guard = common::guard();
    let pool = common::ready_pool(2);
    assert_eq!(pool_map!(in &pool, die_once, [60, 60]; attempts = 2).unwrap(), [2, 2]);
    let stats = pool.stats();
    check(&stats);
    assert_eq!((stats.tasks_done(), stats.tasks_failed(), stats.tasks_retried()), (2, 2, 2));
    // Over the socket, an execution has begun when the parent has read of it.
    if common::shares_memory() {
        assert_eq!(from_millis(stats.running(), 60), 2, "{stats:?}");
    }
    assert_eq!(stats.deaths().of(DeathCause::Crashed { signal: 6 }), 2);
    assert_eq!(stats.deaths().iter().map(|(cause, _)| cause.to_string()).collect::<Vec<_>>(), ["crashed (SIGABRT)"]);
}

#[poolmap::test]
fn each_death_has_its_cause() {
    let _guard = common::guard();
    let pool = common::ready_pool(1);
    let mut lost = 0;
    let mut dies = |how: &str, cause: DeathCause| {
        let (call, limit) = (end { how: how.to_owned() }, Duration::from_millis(80));
        let failed = match how {
            "time" => pool.call(call).timeout(limit).apply(),
            "spin" => pool.call(call).cpu_limit(limit).apply(),
            _ => pool.apply(call),
        };
        failed.unwrap_err();
        lost += 1;
        pool.ready().unwrap();
        let stats = pool.stats();
        check(&stats);
        assert_eq!((stats.deaths().of(cause), stats.workers_lost()), (1, lost), "{how}: {:?}", stats.deaths());
        assert_eq!((stats.tasks_failed(), stats.tasks_done()), (lost, 0));
    };
    dies("abort", DeathCause::Crashed { signal: 6 });
    dies("fault", DeathCause::Crashed { signal: 11 });
    dies("kill", DeathCause::Killed { signal: 9 });
    dies("exit", DeathCause::Exited);
    dies("time", DeathCause::TimedOut);
    dies("spin", DeathCause::CpuLimit);
    // The time until its limit.
    let running = pool.stats().running().clone();
    assert!(from_millis(&running, 80) >= 1, "{running:?}");
    let names: Vec<_> = pool.stats().deaths().iter().map(|(cause, _)| cause.name()).collect();
    assert_eq!(names, ["crashed", "crashed", "killed", "timed_out", "cpu_limit", "exited"]);
}

#[poolmap::test]
fn a_worker_that_is_killed_while_it_is_idle_is_killed_and_no_task_has_failed() {
    let _guard = common::guard();
    let pool = common::ready_pool(1);
    common::kill(pool.workers()[0].pid(), "KILL");
    common::wait_until("it is counted", || pool.stats().workers_lost() == 1);
    let stats = pool.stats();
    check(&stats);
    assert_eq!(stats.deaths().of(DeathCause::Killed { signal: 9 }), 1, "{:?}", stats.deaths());
    assert_eq!((stats.tasks_failed(), stats.tasks_done()), (0, 0));
}

#[poolmap::test]
fn a_memory_limit_is_a_cause() {
    let _guard = common::guard();
    if !common::limits_memory() {
        return;
    }
    let pool = Pool::builder().workers(1).memory_limit(1 << 30).build().unwrap();
    pool.apply(end { how: "allocate".to_owned() }).unwrap_err();
    let stats = pool.stats();
    check(&stats);
    assert_eq!(stats.deaths().of(DeathCause::MemoryLimit), 1, "{:?}", stats.deaths());
}

#[poolmap::test]
fn an_initializer_counts_in_nothing_and_its_failure_is_that_of_a_start() {
    let _guard = common::guard();
    let build = |is_well| {
        let builder = Pool::builder().workers(1).initializer(set_up { is_well, millis: 100 });
        builder.finalizer(set_up { is_well: true, millis: 100 }).max_tasks_per_worker(2).build().unwrap()
    };
    let pool = build(true);
    pool_map!(in &pool, square, 0..4).unwrap();
    common::wait_until("both have ended", || pool.stats().workers_retired() == 2);
    let stats = pool.stats();
    check(&stats);
    assert_eq!((stats.tasks_done(), stats.tasks_failed(), stats.workers_lost()), (4, 0, 0));
    assert!(stats.running().sum() < Duration::from_millis(100), "{stats:?}");
    let failing = build(false);
    failing.ready().unwrap_err();
    let stats = failing.stats();
    check(&stats);
    assert!(
        stats.workers_lost() > 0 && stats.deaths().of(DeathCause::FailedStart) == stats.workers_lost(),
        "{stats:?}"
    );
    assert_eq!(stats.tasks_failed(), 0);
}

#[poolmap::test]
fn ends_in_order_are_no_deaths_and_count_by_why() {
    let _guard = common::guard();
    let retiring = Pool::builder().workers(1).max_tasks_per_worker(1).build().unwrap();
    pool_map!(in &retiring, square, 0..3).unwrap();
    common::wait_until("three have ended", || retiring.stats().workers_retired() == 3);
    let idle = Pool::builder().workers(1).idle_timeout(Duration::from_millis(50)).build().unwrap();
    idle.apply(square { x: 1 }).unwrap();
    common::wait_until("it has ended", || idle.stats().workers_idle_stopped() == 1);
    let resized = common::ready_pool(3);
    resized.resize(1).unwrap();
    common::wait_until("two have ended", || resized.stats().workers_surplus() == 2);
    let aborted = common::ready_pool(1);
    let call = aborted.submit(sleep { millis: MINUTE }).unwrap();
    common::wait_until("it runs", || call.worker().is_some());
    assert!(call.abort());
    common::wait_until("its worker has ended", || aborted.stats().workers_aborted() == 1);
    assert_eq!((aborted.stats().tasks_failed(), aborted.stats().tasks_done()), (1, 0));
    let mut dropped = pool_iter!(in &aborted, sleep, [0, MINUTE, MINUTE]).unwrap();
    dropped.next().unwrap().unwrap();
    drop(dropped);
    for stats in [retiring.stats(), idle.stats(), resized.stats(), aborted.stats()] {
        check(&stats);
        assert_eq!((stats.workers_lost(), stats.deaths().iter().count()), (0, 0));
        let ended = [stats.workers_retired(), stats.workers_idle_stopped(), stats.workers_surplus()];
        assert!(ended.iter().filter(|count| **count > 0).count() <= 1, "{stats:?}");
    }
}

#[poolmap::test]
fn bytes_are_those_of_the_arguments_and_the_results() {
    let _guard = common::guard();
    for pool in pools() {
        let sizes: [usize; 4] = [0, 1000, 100_000, 9 << 20];
        pool_map!(in &pool, echo, sizes.map(|size| vec![7; size])).unwrap();
        let payload = sizes.iter().sum::<usize>() as u64;
        let stats = pool.stats();
        // A length of the value, and one of the task.
        for bytes in [stats.bytes_sent(), stats.bytes_received()] {
            assert!((payload..=payload + 4 * 64).contains(&bytes), "{bytes} of {payload}");
        }
        pool_map!(in &pool, square, 0..1000).unwrap();
        let more = pool.stats();
        let [sent, received] = [more.bytes_sent() - stats.bytes_sent(), more.bytes_received() - stats.bytes_received()];
        assert!(
            (8 * 1000..=16 * 1000).contains(&sent) && (8 * 1000..=16 * 1000).contains(&received),
            "{sent} {received}"
        );
    }
}

#[poolmap::test]
fn stats_are_consistent_while_threads_map_and_workers_die() {
    let _guard = common::guard();
    let (pool, is_over, looks) = (common::ready_pool(2), AtomicBool::new(false), AtomicU64::new(0));
    let (pool, is_over, looks) = (&pool, &is_over, &looks);
    std::thread::scope(|scope| {
        let looking = scope.spawn(move || {
            let mut before = Stats::default();
            while !is_over.load(Ordering::SeqCst) {
                let stats = pool.stats();
                check(&stats);
                // Nothing becomes smaller.
                assert!(stats.tasks_done() >= before.tasks_done() && stats.tasks_failed() >= before.tasks_failed());
                assert!(stats.bytes_sent() >= before.bytes_sent() && stats.bytes_received() >= before.bytes_received());
                for (now, then) in [(stats.running(), before.running()), (stats.waiting(), before.waiting())] {
                    assert!(now.sum() >= then.sum());
                    assert!(now.buckets().zip(then.buckets()).all(|(now, then)| now.1 >= then.1));
                }
                before = stats;
                looks.fetch_add(1, Ordering::SeqCst);
            }
        });
        let threads: Vec<_> = (0..4)
            .map(|thread: u64| {
                scope.spawn(move || {
                    for round in 0..10 {
                        pool_map!(in pool, square, 0..5_000).unwrap();
                        if thread == 0 && round % 3 == 0 {
                            pool.apply(end { how: "abort".to_owned() }).unwrap_err();
                        }
                        pool_try_map!(in pool, even, 0..100).unwrap();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        is_over.store(true, Ordering::SeqCst);
        looking.join().unwrap();
    });
    let stats = pool.stats();
    check(&stats);
    assert_eq!((stats.tasks_done(), stats.tasks_failed()), (4 * 10 * 5_050, 4 * 10 * 50 + 4));
    assert_eq!(stats.deaths().of(DeathCause::Crashed { signal: 6 }), 4);
    assert!(looks.load(Ordering::SeqCst) > 10);
}

#[poolmap::test]
fn a_long_task_among_short_ones_is_part_of_the_sum() {
    let _guard = common::guard();
    let pool = common::ready_pool(1);
    let start = Instant::now();
    pool_map!(in &pool, sleep, (0..5000).map(|task| if task == 4000 { 100 } else { 0 })).unwrap();
    let (elapsed, stats) = (start.elapsed(), pool.stats());
    check(&stats);
    assert!(stats.running().sum() >= Duration::from_millis(100) && stats.running().sum() <= elapsed, "{stats:?}");
}
