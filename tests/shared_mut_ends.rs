//! Numbers that workers fill in place, and tasks that do not come to their end: what is read after a call is never written any
//! more, whatever became of its tasks.

mod common;

use std::iter::repeat;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::numbers::{firsts, squares, zeros};
use poolmap::{SharedSliceMut, TaskError, TaskErrorKind, current_worker, pool_iter, pool_map, pool_try_map, worker};

#[worker]
fn fill(mut part: SharedSliceMut<u64>, first: u64) {
    for (place, number) in part.iter_mut().zip(first..) {
        *place = number * number;
    }
}

/// Fills the first half of its part, and then does what it is told.
#[worker]
fn fill_half(mut part: SharedSliceMut<u64>, then: String) -> Result<u64, String> {
    let middle = part.len() / 2;
    part[..middle].fill(1);
    match then.as_str() {
        "abort" => std::process::abort(),
        "abort at first" if current_worker().is_some_and(|worker| worker.attempt() == 1) => std::process::abort(),
        "panic" => panic!("in the middle"),
        "fail" => return Err("in the middle".to_owned()),
        "spin" => spin(&mut part),
        _ => part[middle..].fill(2),
    }
    Ok(part.iter().sum())
}

fn spin(numbers: &mut [u64]) -> ! {
    loop {
        numbers.iter_mut().for_each(|number| *number = std::hint::black_box(*number + 1));
    }
}

static KEPT: Mutex<Option<SharedSliceMut<u64>>> = Mutex::new(None);

#[worker]
fn keep(mut part: SharedSliceMut<u64>, how: String) {
    part.fill(3);
    match how.as_str() {
        "static" => *KEPT.lock().unwrap() = Some(part),
        "thread" => drop(std::thread::spawn(move || spin(&mut part))),
        "forget" => std::mem::forget(part),
        "panic" => {
            *KEPT.lock().unwrap() = Some(part);
            panic!("with its part kept")
        }
        _ => {}
    }
}

/// Names its process in a file, waits and fills its part.
#[worker]
fn fill_slowly(part: SharedSliceMut<u64>, first: u64, running: PathBuf) {
    std::fs::write(running, std::process::id().to_string()).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    fill(part, first);
}

/// Fills its part with 1, goes on until there is a file, and fills it with 2.
#[worker]
fn fill_again_at(mut part: SharedSliceMut<u64>, path: PathBuf) {
    part.fill(1);
    while !path.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    part.fill(2);
}

fn note(error: &TaskError) -> String {
    match error.kind() {
        TaskErrorKind::Crashed { note, .. } => note.clone().unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

/// Reads the array at once, and again and again: nobody writes to it any more.
fn assert_still(array: &SharedSliceMut<u64>) {
    let read = array.to_vec();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(2));
        assert!(array[..] == read, "the numbers changed after the call had ended");
    }
}

#[poolmap::test]
fn a_task_that_ends_in_the_middle_of_its_part_costs_that_part() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(2);
    let mut array = zeros(1000);
    let then: Vec<&str> =
        (0..10).map(|task| ["", "abort", "panic", "fail"].get(task / 2).copied().unwrap_or("")).collect();
    for _ in 0..3 {
        array.fill(0);
        let outcomes = pool_try_map!(in &pool, fill_half, array.chunks_mut(100), &then).unwrap();
        for (task, outcome) in outcomes.iter().enumerate() {
            let kind = outcome.as_ref().map(|sum| *sum).map_err(TaskError::kind);
            match then[task] {
                "abort" => assert!(matches!(kind, Err(TaskErrorKind::Crashed { signal: Some(6), .. })), "{outcome:?}"),
                "panic" => assert!(matches!(kind, Err(TaskErrorKind::Panicked { .. })), "{outcome:?}"),
                "fail" => assert!(matches!(kind, Err(TaskErrorKind::Failed(..))), "{outcome:?}"),
                _ => assert!(matches!(kind, Ok(150)), "{outcome:?}"),
            }
        }
        for (part, then) in array.chunks_mut(100).zip(&then) {
            assert!(part[..50].iter().all(|&number| number == 1));
            assert!(part[50..].iter().all(|&number| number == if then.is_empty() { 2 } else { 0 }));
        }
    }
}

#[poolmap::test]
fn a_part_is_filled_anew_by_the_next_attempt() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let mut array = zeros(1000);
    let then = std::iter::repeat("abort at first");
    let sums = pool_map!(fill_half, array.chunks_mut(100), then; attempts = 2).unwrap();
    assert_eq!(sums, [150; 10]);
    assert_eq!(array.iter().sum::<u64>(), 1500);
}

#[poolmap::test]
fn what_is_read_after_an_early_end_does_not_change() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(3);
    let mut array = zeros(30_000);
    let limit = Duration::from_millis(20);
    for _ in 0..5 {
        let spin = std::iter::repeat("spin");
        let outcomes = pool_try_map!(in &pool, fill_half, array.chunks_mut(10_000), spin; deadline = limit).unwrap();
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, Err(error) if matches!(error.kind(), TaskErrorKind::TimedOut { .. })))
        );
        assert_still(&array);

        let spin = std::iter::repeat("spin");
        let outcomes = pool_try_map!(in &pool, fill_half, array.chunks_mut(10_000), spin; timeout = limit).unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(error) if error.worker_pid().is_some())));
        assert_still(&array);

        let failed = pool_map!(in &pool, fill_half, array.chunks_mut(10_000), ["spin", "fail", "spin"]).unwrap_err();
        assert_eq!(failed.task().unwrap().index(), 1);
        assert_still(&array);

        let mut sums = pool_iter!(in &pool, fill_half, array.chunks_mut(10_000), ["", "spin", "spin"]).unwrap();
        assert_eq!(sums.next().unwrap().unwrap(), 15_000);
        drop(sums);
        assert_still(&array);
        pool.ready().unwrap();
    }
    let mut sums = pool_iter!(in &pool, fill_half, array.chunks_mut(10_000), ["", "spin", "spin"]).unwrap();
    assert_eq!(sums.next().unwrap().unwrap(), 15_000);
    drop(pool);
    assert!(sums.next().unwrap().unwrap_err().is_closed());
    drop(sums);
    assert_still(&array);
}

#[poolmap::test]
fn tasks_that_go_on_are_waited_for() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let pool = common::ready_pool(2);
    let mut array = zeros(200);
    let paths = std::iter::repeat(&gate);
    let deadline = Duration::from_millis(500);
    let outcomes =
        pool_try_map!(in &pool, fill_again_at, array.chunks_mut(100), paths; deadline = deadline, finish_running);
    assert!(outcomes.unwrap().iter().all(Result::is_err));
    assert!(!array.wait_timeout(Duration::from_millis(10)));
    let read = catch_unwind(AssertUnwindSafe(|| array[0])).unwrap_err();
    assert!(read.downcast_ref::<String>().unwrap().contains("wait_timeout"));
    std::fs::write(&gate, "").unwrap();
    assert!(array.wait_timeout(common::SOON));
    // Those that the deadline found begun have gone on to their end.
    assert!(array.chunks_mut(100).all(|part| part.iter().all(|&number| number == part[0] && number != 1)));
    assert!(array.contains(&2));
    assert_still(&array);
}

#[poolmap::test]
fn a_part_that_outlives_its_task_ends_the_worker() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let pool = common::ready_pool(2);
    let mut array = zeros(500);
    let how = ["static", "", "thread", "forget", "panic"];
    let outcomes = pool_try_map!(in &pool, keep, array.chunks_mut(100), how).unwrap();
    for (outcome, how) in outcomes.iter().zip(how) {
        match (how, outcome) {
            ("", Ok(())) => {}
            ("panic", Err(error)) => assert!(note(error).contains("with its part kept"), "{error}"),
            (_, Err(error)) => assert!(note(error).contains("a part of a SharedSliceMut outlived its task"), "{error}"),
            (_, Ok(())) => panic!("{how}: the part was kept"),
        }
    }
    assert_still(&array);
    pool_map!(in &pool, fill, array.chunks_mut(100), firsts(0, 100)).unwrap();
    assert!(array[..] == squares(0..500));
}

#[poolmap::test]
fn workers_that_are_killed_leave_no_part_unfilled() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let running = folder.path().join("running");
    let pool = common::ready_pool(3);
    let mut array = zeros(400);
    let (mut calls, start) = (0, Instant::now());
    let kills = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut kills = 0;
            for pause in (1..).map(|round| round * 7 % 41).take_while(|_| start.elapsed() < Duration::from_secs(1)) {
                std::thread::sleep(Duration::from_millis(pause));
                let pid = std::fs::read_to_string(&running).unwrap_or_default().parse();
                // Only one that has begun a task: the pool gives up when several in a row die before that.
                if let Some(worker) = pool.workers().iter().find(|worker| pid == Ok(worker.pid())) {
                    common::kill(worker.pid(), "KILL");
                    kills += 1;
                }
            }
            kills
        });
        while !killer.is_finished() {
            array.fill(0);
            let (firsts, running) = (firsts(0, 100), repeat(&running));
            pool_map!(in &pool, fill_slowly, array.chunks_mut(100), firsts, running; attempts = 1000).unwrap();
            assert!(array[..] == squares(0..400));
            calls += 1;
        }
        killer.join().unwrap()
    });
    println!("{kills} kills in {calls} calls");
    assert!(kills > 0, "no worker was killed");
}
