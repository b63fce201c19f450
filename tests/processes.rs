//! One call in a process of its own: its output, its end, and its handle.

mod common;

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

use common::{SOON, children, is_alive, wait_until};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use poolmap::{Process, ProcessHandle, SharedSlice, TaskErrorKind, WorkerFn, active_children, current_worker, worker};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[worker]
fn eat(times: u32, name: &str) -> String {
    format!("{name} ate {times} times")
}

#[worker]
fn sleep_long() {
    std::thread::sleep(Duration::from_secs(600));
}

#[worker]
fn zeros(bytes: usize) -> Vec<u8> {
    vec![0; bytes]
}

#[worker]
fn length(bytes: &[u8]) -> usize {
    bytes.len()
}

/// Waits for a file to be there.
#[worker]
fn wait_for(path: PathBuf) -> usize {
    while !path.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    7
}

fn started<F: WorkerFn>(call: F) -> ProcessHandle<F::Output> {
    Process::new(call).start().unwrap()
}

/// Waits until the descriptor of a process is readable; false if it is not in time.
fn is_readable<T>(process: &ProcessHandle<T>, within: Duration) -> bool {
    let mut descriptors = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut descriptors, PollTimeout::try_from(within).unwrap()).unwrap() == 1
}

/// Why the call of a process has failed, and how the process ended: its exit code, and its signal.
fn failure<T: std::fmt::Debug>(mut process: ProcessHandle<T>) -> (TaskErrorKind, (Option<i32>, Option<i32>)) {
    let error = process.join().unwrap_err();
    let task = error.task().unwrap_or_else(|| panic!("{error}"));
    assert_eq!((task.index(), task.worker_pid()), (0, Some(process.pid())));
    assert_eq!(task.process_name(), Some(process.name()));
    let status = process.exit_status().unwrap();
    (task.kind().clone(), (status.code(), status.signal()))
}

#[poolmap::test]
fn a_process_gives_its_output_and_exits_with_0() {
    let _guard = common::guard();
    for is_daemon in [false, true] {
        let call = eat { times: 3, name: "giao".into() };
        let mut eater = Process::new(call).name("eater").daemon(is_daemon).start().unwrap();
        assert_eq!(eater.name(), "eater");
        assert_eq!(eater.join().unwrap(), "giao ate 3 times");
        assert!(!eater.is_alive());
        assert_eq!(eater.exit_status().unwrap().code(), Some(0));
        // An end that has been seen is nothing to be signalled.
        eater.terminate();
        eater.kill();
        assert_eq!(eater.exit_status().unwrap().code(), Some(0));
    }
}

#[poolmap::test]
fn a_hundred_processes_are_started_and_joined() {
    let _guard = common::guard();
    let eaters = Vec::from_iter((0..100).map(|times| started(eat { times, name: "one".into() })));
    for (times, mut eater) in eaters.into_iter().enumerate() {
        assert_eq!(eater.join().unwrap(), format!("one ate {times} times"));
    }
}

#[poolmap::test]
fn a_hundred_processes_are_started_and_terminated() {
    let _guard = common::guard();
    // At once, and when they are at their call.
    for waits in [false, true] {
        let sleepers = Vec::from_iter((0..50).map(|_| started(sleep_long {})));
        if waits {
            started(eat { times: 1, name: "one".into() }).join().unwrap();
        }
        sleepers.iter().for_each(ProcessHandle::terminate);
        for sleeper in sleepers {
            let (kind, status) = failure(sleeper);
            assert!(matches!(kind, TaskErrorKind::Crashed { signal: Some(15), exit_code: None, .. }), "{kind:?}");
            assert_eq!(status, (None, Some(15)));
        }
    }
}

#[poolmap::test]
fn arguments_and_outputs_of_any_size_travel() {
    let _guard = common::guard();
    let edge = 64 << 10;
    for bytes in [0, 1, edge - 1, edge, edge + 1, 16 << 20] {
        assert_eq!(started(zeros { bytes }).join().unwrap(), vec![0; bytes]);
        assert_eq!(started(length { bytes: vec![1; bytes] }).join().unwrap(), bytes);
    }
}

#[poolmap::test]
fn a_quarter_of_a_gibibyte_does_not_keep_the_process_from_its_end() {
    let guard = common::guard();
    guard.allow(SOON * 5);
    let mut large = started(zeros { bytes: 256 << 20 });
    // Nobody joins, and it ends.
    assert!(is_readable(&large, SOON * 5));
    assert_eq!(large.join().unwrap().len(), 256 << 20);
    assert_eq!(large.exit_status().unwrap().code(), Some(0));
}

#[poolmap::test]
fn a_join_with_a_time_limit_gives_the_handle_back() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("go");
    let mut waiting = started(wait_for { path: path.clone() });
    for limit in [Duration::ZERO, Duration::from_millis(20)] {
        assert_eq!(waiting.join_timeout(limit).unwrap(), None);
        assert!(waiting.is_alive());
        assert_eq!(waiting.exit_status(), None);
    }
    std::fs::write(path, "").unwrap();
    assert_eq!(waiting.join_timeout(Duration::MAX).unwrap(), Some(7));
    assert!(waiting.join_timeout(Duration::ZERO).unwrap_err().is_taken());
}

#[poolmap::test]
fn a_second_join_is_an_error() {
    let _guard = common::guard();
    let mut eater = Process::new(eat { times: 1, name: "one".into() }).name("eater").start().unwrap();
    eater.join().unwrap();
    let error = eater.join().unwrap_err();
    assert!(error.is_taken() && error.task().is_none());
    assert!(error.to_string().starts_with("process `eater` was joined before"), "{error}");
    // Also where the first gave an error.
    let mut sleeper = started(sleep_long {});
    sleeper.kill();
    assert!(!sleeper.join().unwrap_err().is_taken());
    assert!(sleeper.join().unwrap_err().is_taken());
}

#[poolmap::test]
fn a_killed_process_has_crashed_and_its_status_says_how() {
    let _guard = common::guard();
    for is_daemon in [false, true] {
        let process = Process::new(sleep_long {}).name("sleeper").daemon(is_daemon).start().unwrap();
        common::stop(process.pid());
        process.kill();
        let (kind, status) = failure(process);
        assert!(matches!(kind, TaskErrorKind::Crashed { signal: Some(9), .. }), "{kind:?}");
        assert_eq!(status, (None, Some(9)));
    }
    let mut sleeper = Process::new(sleep_long {}).name("sleeper").start().unwrap();
    sleeper.kill();
    let said = sleeper.join().unwrap_err().to_string();
    let expected = format!(
        "process `sleeper` (`processes::sleep_long`) crashed: it was killed by signal 9 (SIGKILL) (pid {})",
        sleeper.pid()
    );
    assert_eq!(said, expected);
}

#[poolmap::test]
fn dropping_the_handle_lets_the_process_go_on_and_leaves_no_zombie() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("go");
    let waiting = started(wait_for { path: path.clone() });
    let pid = waiting.pid();
    drop(waiting);
    assert!(is_alive(pid));
    assert_eq!(active_children().len(), 1);
    // One whose output nobody takes ends all the same.
    let large = started(zeros { bytes: 16 << 20 });
    let pid_of_large = large.pid();
    drop(large);
    wait_until("the one with the output is reaped", || !children(std::process::id()).contains(&pid_of_large));
    assert!(is_alive(pid));
    std::fs::write(path, "").unwrap();
    wait_until("it is reaped", || !children(std::process::id()).contains(&pid));
}

#[poolmap::test]
fn the_active_children_are_those_that_run() {
    let _guard = common::guard();
    assert_eq!(active_children(), []);
    let mut sleeper = Process::new(sleep_long {}).name("sleeper").start().unwrap();
    let daemon = Process::new(sleep_long {}).daemon(true).start().unwrap();
    started(eat { times: 1, name: "one".into() }).join().unwrap();
    let active = active_children();
    let expected = [(sleeper.pid(), "sleeper", false), (daemon.pid(), daemon.name(), true)];
    assert_eq!(Vec::from_iter(active.iter().map(|it| (it.pid(), it.name(), it.is_daemon()))), expected);
    assert!(daemon.name().starts_with("Process-"));
    sleeper.kill();
    assert!(sleeper.join().is_err());
    assert_eq!(active_children().len(), 1);
    // What runs no more is not told, also before anybody joins it.
    daemon.kill();
    assert!(is_readable(&daemon, SOON));
    assert_eq!(active_children(), []);
    assert!(!daemon.is_alive());
}

#[poolmap::test]
fn the_descriptor_becomes_readable_at_the_end() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("go");
    let mut waiting = started(wait_for { path: path.clone() });
    assert!(!is_readable(&waiting, Duration::from_millis(20)));
    std::fs::write(path, "").unwrap();
    assert!(is_readable(&waiting, SOON));
    assert!(!waiting.is_alive());
    assert!(waiting.exit_status().is_some());
    // What has ended is not waited for.
    assert_eq!(waiting.join_timeout(Duration::ZERO).unwrap(), Some(7));
    assert!(is_readable(&waiting, Duration::ZERO));
}

#[poolmap::test]
fn a_process_started_by_a_thread_outlives_it() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("go");
    let call = wait_for { path: path.clone() };
    let thread = std::thread::spawn(|| Process::new(call).daemon(true).start().unwrap());
    let mut daemon = thread.join().unwrap();
    assert_eq!(daemon.join_timeout(Duration::from_millis(50)).unwrap(), None);
    std::fs::write(path, "").unwrap();
    assert_eq!(daemon.join().unwrap(), 7);
}

#[worker]
fn sum(numbers: &SharedSlice<u64>) -> u64 {
    numbers.iter().sum()
}

#[poolmap::test]
fn a_shared_slice_is_an_argument() {
    let _guard = common::guard();
    let numbers: SharedSlice<u64> = (0..100_000).collect();
    let mut processes = Vec::from_iter((0..3).map(|_| started(sum { numbers: numbers.clone() })));
    drop(numbers);
    for process in &mut processes {
        assert_eq!(process.join().unwrap(), 99_999 * 50_000);
    }
}

#[worker]
fn who() -> Option<(usize, u32, u32, u32)> {
    current_worker().map(|worker| (worker.index(), worker.pid(), worker.parent_pid(), worker.attempt()))
}

#[poolmap::test]
fn inside_a_process_the_current_worker_is_its_own() {
    let _guard = common::guard();
    let mut process = started(who {});
    assert_eq!(process.join().unwrap(), Some((0, process.pid(), std::process::id(), 1)));
}

#[worker]
fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    text.parse()
}

/// Ends in one way or another, none of them good.
#[worker]
fn die(how: &str) -> HashMap<u64, Stuck> {
    match how {
        "panics" => panic!("it was to be"),
        "exits" => std::process::exit(5),
        "exits well" => std::process::exit(0),
        "aborts" => std::process::abort(),
        "overflows" => drop(overflow(0)),
        "cannot be carried" => return HashMap::from([(1, Stuck)]),
        _ => unreachable!("{how}"),
    }
    HashMap::new()
}

/// A value that neither goes nor comes.
#[derive(Debug)]
struct Stuck;

impl Serialize for Stuck {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it does not travel"))
    }
}

impl<'de> Deserialize<'de> for Stuck {
    fn deserialize<D: Deserializer<'de>>(_deserializer: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("it does not travel"))
    }
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
fn overflow(depth: u64) -> u64 {
    let large = std::hint::black_box([depth; 1000]);
    overflow(depth.wrapping_add(large[1]) + 1).wrapping_add(large[2])
}

#[poolmap::test]
fn what_a_call_fails_of_is_told_as_that_of_a_task() {
    let _guard = common::guard();
    assert_eq!(started(parse { text: "7".into() }).join().unwrap(), 7);
    let (kind, status) = failure(started(parse { text: "seven".into() }));
    let TaskErrorKind::Failed(error) = kind else { panic!("{kind:?}") };
    assert_eq!((error.to_string().as_str(), status), ("invalid digit found in string", (Some(1), None)));

    let (kind, status) = failure(started(die { how: "panics".into() }));
    let TaskErrorKind::Panicked { message, location, .. } = kind else { panic!("{kind:?}") };
    assert_eq!((message.as_str(), status), ("it was to be", (Some(101), None)));
    assert!(location.unwrap().starts_with("tests/processes.rs:"));

    let (kind, status) = failure(started(die { how: "cannot be carried".into() }));
    assert!(
        matches!(&kind, TaskErrorKind::Encode(error) if error.to_string().contains("it does not travel")),
        "{kind:?}"
    );
    assert_eq!(status, (Some(1), None));
}

#[poolmap::test]
fn what_a_process_dies_of_is_told_as_that_of_a_worker() {
    let _guard = common::guard();
    let died = |how: &str| match failure(started(die { how: how.into() })) {
        (TaskErrorKind::Crashed { signal, exit_code, note, .. }, status) => {
            assert_eq!((exit_code, signal), status);
            (status, note.unwrap_or_default())
        }
        (kind, _) => panic!("{kind:?}"),
    };
    let (status, note) = died("exits");
    assert_eq!(status, (Some(5), None));
    assert!(note.contains("ended from inside"), "{note}");
    assert_eq!(died("exits well").0, (Some(0), None));
    assert_eq!(died("aborts").0, (None, Some(6)));
    let (status, note) = died("overflows");
    assert_eq!(status, (None, Some(6)));
    assert!(note.contains("stack overflow (the stack of a task is 8 MiB"), "{note}");
}

#[poolmap::test]
fn an_argument_that_cannot_be_carried_starts_nothing() {
    let _guard = common::guard();
    let error = Process::new(take { value: Stuck }).name("taker").start().unwrap_err();
    let task = error.task().unwrap();
    assert!(matches!(task.kind(), TaskErrorKind::Encode(_)));
    assert_eq!((task.attempts(), task.worker_pid(), task.process_name()), (0, None, Some("taker")));
    assert_eq!(active_children(), []);
}

#[worker]
fn take(value: Stuck) -> String {
    format!("{value:?}")
}

/// The depth at which no more processes are allowed.
#[worker]
fn nest(depth: u32) -> Result<u32, String> {
    match Process::new(nest { depth: depth + 1 }).start() {
        Ok(mut process) => process.join().map_err(|error| format!("{error:#}")),
        Err(error) if error.is_nested_too_deep() => Ok(depth),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// Starts one in the task of a pool, and maps in one.
#[worker]
fn nest_in_a_pool(depth: u32) -> poolmap::Result<u32> {
    Ok(poolmap::pool_map!(nest, [depth])?[0])
}

#[poolmap::test]
fn processes_start_processes_up_to_a_depth() {
    let _guard = common::guard();
    assert_eq!(started(nest { depth: 1 }).join().unwrap(), 4);
    assert_eq!(poolmap::pool_map!(nest, [1, 1]).unwrap(), [4, 4]);
    assert_eq!(started(nest_in_a_pool { depth: 2 }).join().unwrap(), 4);
}

/// Starts a process that is no daemon, and tells its number.
#[worker]
fn start_another() -> poolmap::Result<u32> {
    Process::new(sleep_long {}).start().map(|process| process.pid())
}

#[poolmap::test]
fn what_a_task_has_started_ends_with_its_worker() {
    let _guard = common::guard();
    let pool = poolmap::Pool::builder().workers(1).build().unwrap();
    let pid = pool.apply(start_another {}).unwrap();
    assert!(is_alive(pid));
    drop(pool);
    wait_until("it is gone", || !is_alive(pid));
}

#[test]
fn a_handle_goes_to_other_threads_whatever_its_output() {
    fn goes<T: Send + Sync>() {}
    goes::<ProcessHandle<std::rc::Rc<u8>>>();
    goes::<Process<eat>>();
}
