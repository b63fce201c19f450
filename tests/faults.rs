//! What workers do to the channel, and programs to their own process, costs the task that did it and nothing more.

mod common;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use common::{program, run, text};
use nix::libc;
use nix::sys::resource::{UsageWho, getrusage};
use poolmap::{Pool, TaskErrorKind, pool_iter, pool_iter_unordered, pool_map, pool_try_map, worker};

/// Forks, and comes back in both processes.
#[worker]
#[allow(unsafe_code, reason = "the fork is what the test is about")]
fn fork_and_give(bytes: usize) -> Vec<u8> {
    // SAFETY: the child does nothing but come back from here, which ends it.
    unsafe { libc::fork() };
    vec![1; bytes]
}

#[poolmap::test]
fn a_task_that_forks_gives_one_right_result() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    for bytes in [0, 100, 300_000, 4_000_000] {
        let results = pool_map!(in &pool, fork_and_give, [bytes; 10]).unwrap();
        assert!(results.iter().all(|result| result.len() == bytes && result.iter().all(|&byte| byte == 1)));
    }
}

/// Dies while a process that it forked, and that has left its group, goes on with all its descriptors.
#[worker]
#[allow(unsafe_code, reason = "the fork is what the test is about")]
fn leave_a_fork_behind(task: usize, path: &std::path::Path) -> usize {
    if task == 3 {
        // SAFETY: the child calls three functions that are safe after a fork, and ends.
        let fork = unsafe {
            let fork = libc::fork();
            if fork == 0 {
                libc::setsid();
                libc::sleep(600);
                libc::_exit(0);
            }
            fork
        };
        // SAFETY: it takes a number, and gives one.
        common::wait_until("the fork leaves its group", || unsafe { libc::getpgid(fork) } == fork);
        std::fs::write(path, fork.to_string()).unwrap();
        std::process::exit(9);
    }
    task
}

#[poolmap::test]
fn a_death_is_seen_while_a_fork_of_the_worker_holds_its_channel() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fork");
    let outcomes = pool_try_map!(in &pool, leave_a_fork_behind, 0..6, std::iter::repeat(&path)).unwrap();
    let fork: u32 = std::fs::read_to_string(path).unwrap().parse().unwrap();
    assert!(common::is_alive(fork), "the fork was to outlive its worker");
    common::kill(fork, "KILL");
    common::wait_until("the fork is gone", || !common::is_alive(fork));
    for (task, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(value) => assert!(task != 3 && *value == task),
            Err(error) => assert!(
                task == 3 && matches!(error.kind(), TaskErrorKind::Crashed { exit_code: Some(9), .. }),
                "{error}"
            ),
        }
    }
}

/// Writes a text to every descriptor but the standard ones, which may be a terminal.
#[worker]
#[allow(unsafe_code, reason = "the write is what the test is about")]
fn write_everywhere(text: &str, task: usize) -> usize {
    if !text.is_empty() {
        for descriptor in 3..256 {
            // SAFETY: the pointer and the length are those of a text that lives through the call.
            unsafe { libc::write(descriptor, text.as_ptr().cast(), text.len()) };
        }
    }
    task
}

#[poolmap::test]
fn bytes_that_are_no_frame_cost_the_task_that_wrote_them_at_most() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    for stray in ["x", "hello world, some text", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
        let texts = (0..10).map(|task| if task == 4 { stray } else { "" });
        let outcomes = pool_try_map!(in &pool, write_everywhere, texts, 0..10; chunk_size = 3).unwrap();
        for (task, outcome) in outcomes.iter().enumerate() {
            match outcome {
                // Where results do not go over the socket, what is written to it does no harm.
                Ok(value) => assert!(*value == task && (task != 4 || common::shares_memory())),
                Err(error) => {
                    assert!(task == 4 && error.to_string().contains("it broke the protocol"), "{task}: {error}");
                    assert!(!common::shares_memory());
                }
            }
        }
    }
}

#[poolmap::test]
fn workers_killed_while_they_are_idle_cost_no_task() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    for _ in 0..20 {
        pool.ready().unwrap();
        pool_map!(in &pool, write_everywhere, ["", ""], 0..2).unwrap();
        for worker in pool.workers() {
            common::kill(worker.pid(), "KILL");
        }
        let results = pool_map!(in &pool, write_everywhere, [""; 20], 0..20).unwrap();
        assert_eq!(results, Vec::from_iter(0..20));
    }
}

/// Closes its side of its channel, and goes on.
#[worker]
#[allow(unsafe_code, reason = "the fault is what the test is about")]
fn close_and_go_on(_task: usize) {
    for descriptor in 3..256 {
        // SAFETY: it takes two numbers, and touches no memory.
        unsafe { libc::shutdown(descriptor, libc::SHUT_WR) };
    }
    std::thread::sleep(common::SOON);
}

/// How long the CPUs have run this process.
fn cpu_time() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = |time: nix::sys::time::TimeVal| nix::sys::time::TimeValLike::num_microseconds(&time);
    micros(usage.user_time()) + micros(usage.system_time())
}

#[poolmap::test]
fn a_worker_that_takes_long_to_end_is_waited_for_asleep() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    pool.ready().unwrap();
    let (before, started) = (cpu_time(), Instant::now());
    let error = pool_map!(in &pool, close_and_go_on, [0]).unwrap_err();
    assert!(error.to_string().contains("it closed its channel and went on"), "{error}");
    let (took, used) = (started.elapsed().as_micros(), cpu_time() - before);
    assert!(u128::from(used.cast_unsigned()) < took / 4, "{used} of {took} µs were spent");
}

#[worker]
fn panic_and_abort(task: usize) {
    let _ = catch_unwind(|| panic!("task {task} handles this"));
    std::process::abort();
}

#[poolmap::test]
fn an_abort_after_a_panic_that_was_handled_is_an_abort() {
    let _guard = common::guard();
    let error = pool_map!(panic_and_abort, [0]).unwrap_err();
    match error.task().unwrap().kind() {
        TaskErrorKind::Crashed { signal: Some(6), note: Some(note), .. } => {
            assert!(note.starts_with("after a panic at ") && note.ends_with(": task 0 handles this"), "{note}");
        }
        other => panic!("{other:?}"),
    }
}

#[worker]
fn die_by_a_real_time_signal(_task: usize) {
    common::kill(std::process::id(), "40");
    std::thread::sleep(common::SOON);
}

#[poolmap::test]
fn a_signal_without_a_name_is_told_by_its_number() {
    let _guard = common::guard();
    let error = pool_map!(die_by_a_real_time_signal, [0]).unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Crashed { signal: Some(40), .. }), "{error}");
    assert!(error.to_string().contains("killed by signal 40"), "{error}");
}

#[worker]
fn double(x: usize) -> usize {
    2 * x
}

#[poolmap::test]
fn an_iterator_ends_where_its_input_panicked() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let mut results =
        pool_iter!(in &pool, double, (0..).map(|x| if x < 10 { x } else { panic!("no item {x}") })).unwrap();
    let mut given = 0;
    let caught = loop {
        match catch_unwind(AssertUnwindSafe(|| results.next())) {
            Ok(Some(result)) => assert_eq!(result.unwrap(), 2 * given),
            Ok(None) => panic!("the panic was swallowed"),
            Err(panic) => break panic,
        }
        given += 1;
    };
    assert_eq!(caught.downcast_ref::<String>().unwrap(), "no item 10");
    assert!(results.next().is_none() && results.next().is_none());
    assert_eq!(pool_map!(in &pool, double, [1]).unwrap(), [2]);
}

#[poolmap::test]
fn an_input_that_panics_while_results_are_at_hand_ends_the_iterator_as_well() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    for is_ordered in [true, false] {
        // More is read while the caller takes its time over results that are there, and are decoded in blocks.
        let input = (0..).map(|x| if x < 300 { x } else { panic!("no item {x}") });
        let mut results: Box<dyn Iterator<Item = usize>> = if is_ordered {
            Box::new(pool_iter!(in &pool, double, input; chunk_size = 50, window = 200).unwrap().map(Result::unwrap))
        } else {
            let results = pool_iter_unordered!(in &pool, double, input; chunk_size = 50, window = 200).unwrap();
            Box::new(results.map(|result| result.unwrap().1))
        };
        let mut given = BTreeSet::new();
        let caught = loop {
            std::thread::sleep(Duration::from_millis(1));
            match catch_unwind(AssertUnwindSafe(|| results.next())) {
                Ok(Some(result)) => assert!(given.insert(result), "{result} came twice"),
                Ok(None) => panic!("the panic was swallowed"),
                Err(panic) => break panic,
            }
        };
        assert_eq!(caught.downcast_ref::<String>().unwrap(), "no item 300");
        let is_first = given.iter().copied().eq((0..given.len()).map(|x| 2 * x));
        assert!(!is_ordered || is_first, "a result is missing among those before");
        assert!(results.next().is_none() && results.next().is_none(), "results behind a gap");
    }
    assert_eq!(pool_map!(in &pool, double, [1]).unwrap(), [2]);
}

/// The task of number 49 leaves a file.
#[worker]
fn double_and_tell(x: usize, path: &std::path::Path) -> usize {
    if x == 49 {
        std::fs::write(path, "done").unwrap();
    }
    2 * x
}

#[poolmap::test]
fn results_that_were_finished_are_given_when_the_pool_is_dropped() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("done");
    let pool = Pool::builder().workers(1).build().unwrap();
    let paths = std::iter::repeat(&path);
    let mut results = pool_iter!(in &pool, double_and_tell, 0.., paths; chunk_size = 50, window = 50).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    common::wait_until("the first chunk is done", || path.exists());
    assert_eq!(results.next().unwrap().unwrap(), 2);
    // Now at least the results up to the one that left the file have arrived, or stand in the channel.
    assert_eq!(results.next().unwrap().unwrap(), 4);
    drop(pool);
    let rest: Vec<_> = results.collect();
    let (last, finished) = rest.split_last().unwrap();
    assert!(last.as_ref().unwrap_err().is_closed());
    assert!(finished.len() >= 40, "49 tasks were finished, and {} came", 3 + finished.len());
    assert!(finished.iter().enumerate().all(|(index, value)| *value.as_ref().unwrap() == 2 * (index + 3)));
}

#[test]
fn a_program_that_closes_its_standard_streams_goes_on() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result");
    let output = run(program(env!("CARGO_BIN_EXE_scenario")).arg("closed streams").arg(&path));
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "[2, 4, 6]");
}

#[test]
fn ready_tells_that_only_some_workers_start() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let output = run(program(env!("CARGO_BIN_EXE_late_init")).arg("some").arg(folder.path().join("first")));
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
    assert!(stdout.starts_with("[2, 4, 6]\ntrue worker ") && stdout.contains("with exit code 3"), "{stdout}");
}
