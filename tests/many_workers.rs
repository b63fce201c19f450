//! Many workers: each that is idle gets a long task.

mod common;

use poolmap::{Barrier, pool_try_map, worker};

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

#[poolmap::test]
fn long_tasks_among_short_ones_reach_every_idle_worker() {
    let _guard = common::guard();
    let workers = 40;
    let pool = common::ready_pool(workers);
    let all = Barrier::new(workers).unwrap();
    // The short ones come first, so that workers are given several at once when the long ones come.
    let are_long = || (0..500).map(|task| task >= 500 - 40);
    for round in 0..3 {
        let met = pool_try_map!(in &pool, meet_if, are_long(), poolmap::shared(&all)).unwrap();
        assert!(met.iter().all(|met| matches!(met, Ok(true))), "round {round}");
    }
}
