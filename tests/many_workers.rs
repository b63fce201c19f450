//! Many workers: each that is idle gets a long task, those that are there are looked after while others start, and what the parent
//! holds for each is bounded.

mod common;

use std::time::Duration;

use poolmap::{Barrier, TaskErrorKind, pool_reduce, pool_try_map, worker};

/// Waits until as many tasks run as the barrier has members.
#[worker]
fn meet(_task: usize, all: &Barrier) -> bool {
    all.wait_timeout(3 * common::SOON).is_ok()
}

#[poolmap::test]
fn long_tasks_reach_every_idle_worker() {
    let _guard = common::guard();
    let workers = 200;
    let pool = common::ready_pool(workers);
    for round in 0..2 {
        let all = Barrier::new(workers).unwrap();
        let met = match round {
            0 => pool_try_map!(in &pool, meet, 0..workers, poolmap::shared(&all)),
            _ => pool_try_map!(in &pool, meet, 0..workers, poolmap::shared(&all); chunk_size = 1),
        };
        assert!(met.unwrap().iter().all(|met| matches!(met, Ok(true))), "round {round}");
    }
}

/// Takes next to no time, or as long as it takes until all the others that are long run too.
#[worker]
fn meet_if(is_long: bool, all: &Barrier) -> bool {
    !is_long || all.wait_timeout(3 * common::SOON).is_ok()
}

/// So many short tasks, among which so many long ones stand together, as far from the end as from the start: whoever is given some
/// of them is given several.
fn long_among_short(short: usize, long: usize) -> impl ExactSizeIterator<Item = bool> {
    (0..short + long).map(move |task| (short / 2..short / 2 + long).contains(&task))
}

#[poolmap::test]
fn long_tasks_among_short_ones_reach_every_idle_worker() {
    let guard = common::guard();
    guard.allow(Duration::from_secs(300));
    let workers = 40;
    let pool = common::ready_pool(workers);
    let all = Barrier::new(workers).unwrap();
    // The short ones come first, so that workers are given several at once, and claim several, when the long ones come.
    let at_the_end = || (0..500).map(|task| task >= 500 - 40);
    for round in 0..3 {
        let met = pool_try_map!(in &pool, meet_if, at_the_end(), poolmap::shared(&all)).unwrap();
        assert!(met.iter().all(|met| matches!(met, Ok(true))), "round {round}, at the end");
        if !common::shares_memory() {
            continue;
        }
        let met = pool_try_map!(in &pool, meet_if, long_among_short(20_000, 40), poolmap::shared(&all)).unwrap();
        assert!(met.iter().all(|met| matches!(met, Ok(true))), "round {round}, in the middle");
        // A worker may report behind the last result that it has not run the recalled tasks.
        common::wait_until("no worker is busy", || pool.stats().busy_workers() == 0);
    }
}

#[worker]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

/// One, or none where a task that is long has waited in vain for the others.
#[worker]
fn count_met(is_long: bool, all: &Barrier) -> u64 {
    u64::from(meet_if(is_long, all))
}

#[poolmap::test]
fn long_tasks_whose_outputs_are_folded_reach_every_idle_worker() {
    let guard = common::guard();
    guard.allow(Duration::from_secs(300));
    // Over the socket, what was sent together stays together.
    if !common::shares_memory() {
        return;
    }
    let workers = 40;
    let pool = common::ready_pool(workers);
    let all = Barrier::new(workers).unwrap();
    for round in 0..3 {
        let met = pool_reduce!(in &pool, count_met, long_among_short(20_000, 40), poolmap::shared(&all); with = add, identity = 0);
        assert_eq!(met.unwrap(), 20_040, "round {round}");
    }
}

/// The memory of this process's own, and that which it shares, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |line: &str| line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok());
    status.lines().filter(|line| line.starts_with("RssAnon:") || line.starts_with("RssShmem:")).filter_map(of).sum()
}

#[poolmap::test]
fn five_hundred_workers_get_a_long_task_each_and_take_little_of_the_parent() {
    let guard = common::guard();
    guard.allow(Duration::from_secs(300));
    let workers = 500;
    let (memory_before, descriptors_before) = (memory(), common::descriptors());
    let pool = common::ready_pool(workers);
    // What the documentation of `workers` says.
    let most = if common::shares_memory() { 16 } else { 80 };
    let taken = memory().saturating_sub(memory_before);
    assert!(taken <= most * workers as u64, "{taken} KiB");
    if cfg!(target_os = "linux") {
        let taken = common::descriptors().len().saturating_sub(descriptors_before.len());
        assert!(taken <= 2 * workers + 8, "{taken} descriptors");
    }
    let all = Barrier::new(workers).unwrap();
    let met = pool_try_map!(in &pool, meet, 0..workers, poolmap::shared(&all)).unwrap();
    assert!(met.iter().all(|met| matches!(met, Ok(true))));
}

#[worker]
fn sleep_long(_task: usize) {
    std::thread::sleep(20 * common::SOON);
}

#[poolmap::test]
fn workers_are_looked_after_while_many_others_start() {
    let guard = common::guard();
    guard.allow(Duration::from_secs(300));
    let (few, many) = (1, 600);
    let pool = common::ready_pool(few);
    pool.resize(many).unwrap();
    let outcomes = pool_try_map!(in &pool, sleep_long, 0..1; timeout = Duration::from_millis(50)).unwrap();
    let started = pool.stats().workers_started();
    let error = outcomes[0].as_ref().unwrap_err();
    assert!(matches!(error.kind(), TaskErrorKind::TimedOut { .. }), "{error}");
    assert!(started < many as u64, "the limit waited until all {started} were started");
}
