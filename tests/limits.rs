//! Time limits of tasks and of calls, and tasks that are executed again.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use poolmap::{
    Pool, TaskError, TaskErrorKind, current_worker, pool_iter, pool_iter_unordered, pool_map, pool_try_map, worker,
};

const LIMIT: Duration = Duration::from_millis(200);
/// Longer than any test waits.
const FOR_EVER: Duration = Duration::from_secs(600);

/// Ends at once, or not at all in the way named.
#[worker]
fn go_on(way: &str, task: usize) -> usize {
    match way {
        "end" => {}
        "nap" => std::thread::sleep(3 * LIMIT),
        "sleep" => std::thread::sleep(FOR_EVER),
        "work" => loop {
            std::hint::spin_loop();
        },
        "stop" => {
            common::kill(std::process::id(), "STOP");
            // Its threads stop one after another.
            std::thread::sleep(FOR_EVER);
        }
        other => panic!("no way to go on: {other}"),
    }
    task
}

#[worker]
fn sleep(task: usize, millis: u64) -> usize {
    std::thread::sleep(Duration::from_millis(millis));
    task
}

#[worker]
fn large(_task: usize, bytes: usize) -> Vec<u8> {
    vec![1; bytes]
}

#[worker]
fn pid(_task: usize) -> u32 {
    std::process::id()
}

/// Dies while its attempt is before this one; notes each execution in a file.
#[worker]
fn die_before(attempt: u32, task: usize, folder: &Path) -> usize {
    let this = current_worker().unwrap().attempt();
    std::fs::write(folder.join(format!("{task} {this}")), "").unwrap();
    if this < attempt {
        std::process::exit(i32::try_from(this).unwrap());
    }
    task
}

#[worker]
fn fail_or_die(task: usize) -> Result<usize, String> {
    match (task, current_worker().unwrap().attempt()) {
        (1, 1) => std::process::exit(1),
        (1, _) => Err("the second time".into()),
        _ => Ok(task),
    }
}

fn timed_out(outcome: &Result<usize, TaskError>) -> Option<Duration> {
    match outcome.as_ref().err()?.kind() {
        TaskErrorKind::TimedOut { limit, .. } => Some(*limit),
        other => panic!("not TimedOut: {other:?}"),
    }
}

#[poolmap::test]
fn a_limit_ends_the_tasks_that_are_over_it_and_no_other() {
    let _guard = common::guard();
    for workers in [1, 2, 5] {
        let pool = Pool::builder().workers(workers).build().unwrap();
        for chunk_size in [1, 40] {
            let ways: Vec<&str> = (0..120)
                .map(|task| match task {
                    7 => "sleep",
                    50 => "work",
                    51 => "stop",
                    _ => "end",
                })
                .collect();
            let outcomes = pool_try_map!(in &pool, go_on, ways, 0..; timeout = LIMIT, chunk_size = chunk_size).unwrap();
            for (task, outcome) in outcomes.iter().enumerate() {
                if [7, 50, 51].contains(&task) {
                    assert_eq!(timed_out(outcome), Some(LIMIT), "task {task}");
                } else {
                    assert_eq!(*outcome.as_ref().unwrap(), task);
                }
            }
        }
    }
}

#[poolmap::test]
fn tasks_that_end_about_when_their_limit_does_have_one_outcome() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let millis = |task: usize| if task.is_multiple_of(3) { 0 } else { 20 + (task as u64 * 7) % 30 };
    let limit = Duration::from_millis(30);
    let outcomes = pool_try_map!(in &pool, sleep, 0..200, (0..200).map(millis); timeout = limit).unwrap();
    assert_eq!(outcomes.len(), 200);
    let mut ended = 0;
    for (task, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(output) => assert_eq!(*output, task),
            Err(_) => {
                assert_eq!(timed_out(outcome), Some(limit));
                ended += 1;
                // It may also lose its processor for so long; no more of them are seen than would be killed for it.
                assert!(millis(task) > 0 || ended < 20, "task {task} took no time");
            }
        }
    }
}

#[poolmap::test]
fn short_tasks_keep_to_their_limit() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let limit = Duration::from_secs(20);
    let ends = std::iter::repeat_n("end", 20_000);
    assert_eq!(pool_map!(in &pool, go_on, ends, 0..; timeout = limit).unwrap(), (0..20_000).collect::<Vec<_>>());
}

#[poolmap::test]
fn results_that_nobody_takes_do_not_count_against_a_limit() {
    let _guard = common::guard();
    let limit = Duration::from_secs(1);
    let pools = [1, 1, 1].map(common::pool);
    // There is room for one result until it is taken, so that a worker which has several tasks waits for more.
    let begin = |(pool, chunk_size)| {
        let bytes = std::iter::repeat(3 << 20);
        pool_iter!(in pool, large, 0..8, bytes; timeout = limit, chunk_size = chunk_size).unwrap()
    };
    let mut all: Vec<_> = pools.iter().zip([1, 4, 8]).map(begin).collect();
    for results in &mut all {
        assert!(results.next().unwrap().is_ok());
    }
    std::thread::sleep(3 * limit);
    for result in all.into_iter().flatten() {
        assert_eq!(result.unwrap().len(), 3 << 20);
    }
}

#[poolmap::test]
fn a_worker_that_was_stopped_before_it_has_a_task_costs_none() {
    let _guard = common::guard();
    // Of all that are stopped none is a failed start, however many there are.
    for (workers, stopped) in [(2, 1), (8, 8)] {
        let pool = Pool::builder().workers(workers).build().unwrap();
        pool.ready().unwrap();
        for worker in &pool.workers()[..stopped] {
            common::stop(worker.pid());
        }
        let ends = std::iter::repeat_n("end", 100);
        assert_eq!(pool_map!(in &pool, go_on, ends, 0..; timeout = LIMIT).unwrap(), (0..100).collect::<Vec<_>>());
    }
}

#[poolmap::test]
fn a_deadline_ends_what_is_not_finished_and_keeps_what_is() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let way = |task| if task < 50 { "end" } else { "sleep" };
    let known = (0..300).map(way);
    let outcomes = pool_try_map!(in &pool, go_on, known, 0..; deadline = 5 * LIMIT, window = 100).unwrap();
    let unknown = (0..300).filter(|_| true).map(way);
    let others = pool_try_map!(in &pool, go_on, unknown, 0..; deadline = 5 * LIMIT, window = 100).unwrap();
    for outcomes in [outcomes, others] {
        assert_eq!(outcomes.len(), 300);
        for (task, outcome) in outcomes.iter().enumerate() {
            if task < 50 {
                assert_eq!(*outcome.as_ref().unwrap(), task);
            } else {
                assert_eq!(timed_out(outcome), Some(5 * LIMIT));
                assert!(outcome.as_ref().unwrap_err().attempts() <= 1);
            }
        }
        let begun = outcomes.iter().filter(|outcome| outcome.as_ref().is_err_and(|error| error.attempts() == 1));
        assert_eq!(begun.count(), 2, "both workers were at a task");
    }
    assert_eq!(pool_map!(in &pool, go_on, ["end"], [1]).unwrap(), [1]);
    let error = pool_map!(in &pool, go_on, ["sleep"], [1]; deadline = LIMIT).unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::TimedOut { .. }), "{error}");
}

#[poolmap::test]
fn a_deadline_is_the_last_item_of_an_iterator() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let ways = || (0..).map(|task| if task < 10 { "end" } else { "sleep" });
    let mut items: Vec<_> =
        pool_iter!(in &pool, go_on, ways(), 0..; deadline = 5 * LIMIT, window = 20).unwrap().collect();
    assert!(items.pop().unwrap().unwrap_err().is_deadline());
    // As many as the window allows, or, over the socket, as the workers could begin at once.
    assert!((12..=30).contains(&items.len()), "{} items were read", items.len());
    for (task, item) in items.into_iter().enumerate() {
        match item {
            Ok(output) => assert_eq!(output, task),
            Err(error) => assert!(task >= 10 && error.task().unwrap().index() == task, "{error}"),
        }
    }
    let items: Vec<_> =
        pool_iter_unordered!(in &pool, go_on, ways(), 0..; deadline = 5 * LIMIT, window = 20).unwrap().collect();
    assert_eq!(items.iter().filter(|item| item.is_ok()).count(), 10);
    assert!(items.last().unwrap().as_ref().unwrap_err().is_deadline());
}

#[poolmap::test]
fn a_deadline_may_let_tasks_that_run_finish() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let before = pool_map!(in &pool, pid, [0]).unwrap();
    let outcomes = pool_try_map!(in &pool, sleep, 0..3, [1000, 0, 0]; deadline = LIMIT, finish_running).unwrap();
    assert!(outcomes.iter().all(|outcome| timed_out(outcome).is_some()));
    assert_eq!(pool_map!(in &pool, pid, [0]).unwrap(), before, "the worker was replaced");
}

#[poolmap::test]
fn a_task_whose_worker_dies_is_executed_once_unless_it_may_be_again() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let pool = Pool::builder().workers(2).build().unwrap();
    // Task 3 needs three executions, task 5 five, task 7 two.
    let needed = |task: usize| match task {
        3 => 3,
        5 => 5,
        7 => 2,
        _ => 1,
    };
    let outcomes = pool_try_map!(in &pool, die_before, (0..20).map(needed), 0.., std::iter::repeat(folder.path());
        attempts = 3, chunk_size = 20)
    .unwrap();
    for (task, outcome) in outcomes.iter().enumerate() {
        let Err(error) = outcome else {
            assert_eq!(*outcome.as_ref().unwrap(), task);
            continue;
        };
        assert_eq!((task, error.attempts()), (5, 3));
        let codes: Vec<i32> = error
            .causes()
            .map(|cause| match cause {
                TaskErrorKind::Crashed { exit_code, .. } => exit_code.unwrap(),
                other => panic!("not Crashed: {other:?}"),
            })
            .collect();
        assert_eq!(codes, [1, 2, 3]);
        assert!(error.to_string().ends_with("(it was executed 3 times)"), "{error}");
    }
    let executions =
        |task: usize| (1..10).filter(|attempt| folder.path().join(format!("{task} {attempt}")).exists()).count();
    for task in 0..20 {
        assert_eq!(executions(task), needed(task).min(3) as usize, "task {task}");
    }
    let folder = tempfile::tempdir().unwrap();
    let outcomes = pool_try_map!(in &pool, die_before, [2; 6], 0.., std::iter::repeat(folder.path()); chunk_size = 6);
    assert!(outcomes.unwrap().iter().all(|outcome| outcome.as_ref().unwrap_err().causes().count() == 1));
    assert_eq!(common::files(folder.path()).len(), 6, "a task was executed twice unasked");
}

#[poolmap::test]
fn an_execution_that_fails_has_the_deaths_before_it() {
    let _guard = common::guard();
    let outcomes = pool_try_map!(fail_or_die, 0..3; attempts = 5).unwrap();
    let error = outcomes[1].as_ref().unwrap_err();
    let causes: Vec<_> = error.causes().collect();
    assert!(matches!(causes[..], [TaskErrorKind::Crashed { .. }, TaskErrorKind::Failed(_)]), "{causes:?}");
    assert_eq!((error.attempts(), outcomes[0].is_ok(), outcomes[2].is_ok()), (2, true, true));
}

#[poolmap::test]
fn a_limit_is_kept_while_the_caller_does_something_else() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let begun = || {
        let mut results = pool_iter!(in &pool, go_on, ["end", "work", "end"], 0..; timeout = LIMIT).unwrap();
        assert_eq!(results.next().unwrap().unwrap(), 0);
        // An input that was slow, as on a busy machine, is not read on before the next result is wanted.
        (pool.stats().tasks_at_workers() > 0).then_some(results)
    };
    let mut results = (0..100).find_map(|_| begun()).expect("the second task is sent before the first is given out");
    let before = pool.workers()[0].pid();
    let start = Instant::now();
    while common::is_alive(before) {
        assert!(start.elapsed() < common::SOON, "the task goes on");
        std::thread::sleep(Duration::from_millis(1));
    }
    let error = results.next().unwrap().unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::TimedOut { .. }), "{error}");
    assert_eq!(results.next().unwrap().unwrap(), 2);
}

#[poolmap::test]
fn a_limit_of_processor_time_ends_work_and_not_sleep() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let ways = ["end", "work", "end", "nap", "end"];
    if cfg!(not(target_os = "linux")) || option_env!("POOLMAP_PORTABLE").is_some() {
        let error = pool_try_map!(in &pool, go_on, ways, 0..; cpu_limit = LIMIT).unwrap_err();
        assert!(error.is_invalid_option(), "{error}");
        return;
    }
    let outcomes = pool_try_map!(in &pool, go_on, ways, 0..; cpu_limit = LIMIT).unwrap();
    for (task, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(output) => assert_eq!((*output, task != 1), (task, true)),
            Err(error) => {
                assert!(matches!(error.kind(), TaskErrorKind::CpuLimit { limit, .. } if *limit == LIMIT), "{error}");
                assert_eq!(task, 1);
            }
        }
    }
}

/// How often the threads of this process have slept and were woken.
fn wakes() -> u64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF);
    u64::try_from(usage.unwrap().voluntary_context_switches()).unwrap()
}

#[worker]
fn sleep_for(time: Duration) {
    std::thread::sleep(time);
}

#[poolmap::test]
fn a_pool_that_waits_for_a_long_task_sleeps() {
    let _guard = common::guard();
    if !common::has_shared_memory() {
        // Where nothing tells of a process's end, it is looked for all the time.
        return;
    }
    let pool = common::ready_pool(2);
    let (time, limit) = (Duration::from_secs(3), Duration::from_secs(60));
    let before = wakes();
    pool_map!(in &pool, sleep_for, [time]; timeout = limit, cpu_limit = limit, deadline = limit).unwrap();
    let woken = wakes() - before;
    // 10 times a second, and what sends and ends the task.
    assert!(woken <= 10 * time.as_secs() + 20, "woken {woken} times in {time:?}");
}

/// The task goes to the other worker: at once, although its limit is far, and also where there is none.
#[poolmap::test]
fn a_stopped_worker_keeps_no_task_that_another_could_run() {
    let _guard = common::guard();
    if !common::shares_memory() {
        // What was sent is its worker's.
        return;
    }
    for limit in [None, Some(10 * common::SOON)] {
        let pool = common::ready_pool(2);
        // The one that was busy last gets the next task.
        let last = pool_map!(in &pool, pid, [0]).unwrap()[0];
        common::stop(last);
        let begun = Instant::now();
        let ran = match limit {
            None => pool_map!(in &pool, pid, [0]).unwrap(),
            Some(limit) => pool_map!(in &pool, pid, [0]; timeout = limit).unwrap(),
        };
        assert_ne!(ran, [last]);
        assert!(begun.elapsed() < common::SOON, "{:?}", begun.elapsed());
        common::kill(last, "CONT");
    }
}

#[poolmap::test]
fn a_limit_of_nothing_is_refused() {
    let _guard = common::guard();
    let zero = Duration::ZERO;
    for error in [
        pool_map!(pid, [1]; timeout = zero).unwrap_err(),
        pool_map!(pid, [1]; deadline = zero).unwrap_err(),
        pool_map!(pid, [1]; cpu_limit = zero).unwrap_err(),
        pool_map!(pid, [1]; attempts = 0).unwrap_err(),
    ] {
        assert!(error.is_invalid_option(), "{error}");
    }
    // One that never comes.
    assert!(pool_map!(pid, [1]; timeout = Duration::MAX, deadline = Duration::MAX).is_ok());
}

#[poolmap::test]
fn results_that_come_with_the_deadline_are_kept_and_counted() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    for _ in 0..10 {
        let outcomes = pool_try_map!(in &pool, pid, 0..200_000; deadline = Duration::from_millis(3)).unwrap();
        assert_eq!(outcomes.len(), 200_000);
        let is_late = |error: &TaskError| matches!(error.kind(), TaskErrorKind::TimedOut { .. });
        assert!(outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(is_late));
    }
}
