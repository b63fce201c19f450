//! First come, first served: no task waits behind a long one while a later one is begun elsewhere.

mod common;

use std::time::{Duration, Instant};

use poolmap::{Counter, Pool, current_worker, pool_iter_unordered, pool_try_map, worker};

/// A long task does not wait longer for those that must be run while it does.
const LONG: Duration = common::SOON;

/// A short task takes so long as it says, and is counted. A long one ends once so many short ones have: it tells whether they did.
#[worker]
fn nap(nap: &Nap, finished: &Counter) -> bool {
    match nap {
        Nap::Short(micros) => {
            std::thread::sleep(Duration::from_micros(*micros));
            finished.add(1);
            true
        }
        Nap::Until(count) => {
            let started = Instant::now();
            while finished.get() < *count && started.elapsed() < LONG {
                std::thread::sleep(Duration::from_millis(1));
            }
            finished.get() >= *count
        }
    }
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum Nap {
    Short(u64),
    Until(i64),
}

/// The naps of a pattern: `s` is a short one, `L` one that waits for all short ones before the last `L`, so that each of them must
/// be begun by a worker that is not at an `L`.
fn naps(pattern: &str, micros: u64) -> Vec<Nap> {
    let last = pattern.rfind('L').unwrap_or(0);
    let before = pattern[..last].bytes().filter(|&nap| nap == b's').count() as i64;
    pattern.bytes().map(|nap| if nap == b's' { Nap::Short(micros) } else { Nap::Until(before) }).collect()
}

/// As many long naps as workers: the last of them is begun last.
const PATTERNS: [(usize, &str); 8] = [
    (2, "ssLsLs"),
    (2, "ssLssL"),
    (2, "ssLssssLss"),
    (2, "sLssssssssssssL"),
    (3, "ssLsLsLs"),
    (3, "sssLLssssL"),
    (3, "sssssLsssLssssssLs"),
    (5, "ssLsLsLsssLssssssssL"),
];

#[poolmap::test]
fn a_short_task_never_waits_behind_a_long_one_while_a_later_one_is_begun() {
    let _guard = common::guard();
    for workers in [2, 3, 5] {
        let pool = common::ready_pool(workers);
        for (_, pattern) in PATTERNS.iter().filter(|(of, _)| *of == workers) {
            for round in 0..4 {
                let naps = naps(pattern, 1000);
                let finished = Counter::new(0).unwrap();
                let shared = poolmap::shared(&finished);
                let outcomes = match round {
                    0 | 1 => pool_try_map!(in &pool, nap, &naps, shared; chunk_size = 1),
                    2 => pool_try_map!(in &pool, nap, &naps, shared),
                    _ => pool_try_map!(in &pool, nap, &naps, shared; timeout = 10 * LONG),
                };
                let outcomes = outcomes.unwrap();
                assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(true))), "{workers} {pattern} {round}");
            }
        }
    }
}

#[poolmap::test]
fn tasks_that_take_no_time_do_not_hide_a_long_one() {
    let _guard = common::guard();
    let pool = common::ready_pool(2);
    for round in 0..10 {
        let naps = naps("ssssssssLssssLssss", 0);
        let finished = Counter::new(0).unwrap();
        let outcomes = pool_try_map!(in &pool, nap, &naps, poolmap::shared(&finished); chunk_size = 1).unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(true))), "round {round}");
    }
}

#[poolmap::test]
fn what_waits_behind_a_long_task_is_run_by_the_others_however_short_it_is() {
    let _guard = common::guard();
    let pool = common::ready_pool(2);
    for micros in [0, 30] {
        // They are given ahead, many at once, and one of them is long: it waits for all the others.
        let pattern = format!("{}L{}L", "s".repeat(3000), "s".repeat(3000));
        let mut naps = naps(&pattern, micros);
        naps.truncate(6001);
        let finished = Counter::new(0).unwrap();
        let started = Instant::now();
        let results = pool_iter_unordered!(in &pool, nap, &naps, poolmap::shared(&finished); chunk_size = 1).unwrap();
        let mut count = 0;
        // The long one tells whether the others have finished before its time was over; their results may come behind its own.
        for result in results {
            let (index, is_whole) = result.unwrap();
            assert!(is_whole, "task {index} waited {:?} for the others", started.elapsed());
            count += 1;
        }
        assert_eq!(count, 6001);
    }
}

/// When a task was begun, among all.
#[worker]
fn stamp(_index: usize, begun: &Counter) -> (i64, usize) {
    let stamp = begun.add(1);
    std::thread::sleep(Duration::from_millis(2));
    (stamp, current_worker().map_or(0, |worker| worker.index()))
}

/// So many of 60 tasks may be begun late by a machine that is busy with other work.
const LATE_MAX: usize = 5;

#[poolmap::test]
fn tasks_that_go_one_by_one_begin_in_order() {
    let _guard = common::guard();
    for workers in [1, 2, 4] {
        let pool: Pool = common::ready_pool(workers);
        let begun = Counter::new(0).unwrap();
        let stamps = pool_try_map!(in &pool, stamp, 0..60, poolmap::shared(&begun); chunk_size = 1).unwrap();
        let stamps: Vec<(i64, usize)> = stamps.into_iter().map(Result::unwrap).collect();
        // Those of one worker begin in order, but for the few that another was given, and was so slow to begin that they were taken
        // back from it.
        for worker in 0..workers {
            let of_worker: Vec<i64> = stamps.iter().filter(|(_, by)| *by == worker).map(|(stamp, _)| *stamp).collect();
            let late = of_worker.windows(2).filter(|pair| pair[0] > pair[1]).count();
            assert!(late <= LATE_MAX, "worker {worker} of {workers}: {of_worker:?}");
        }
        if workers == 1 {
            assert!(stamps.iter().map(|(stamp, _)| *stamp).is_sorted());
        }
    }
}
