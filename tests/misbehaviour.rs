//! Tasks that do to their own process what no task should: each costs itself, and the pool goes on.

mod common;

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use common::{program, run, text};
use nix::libc;
use poolmap::{Pool, TaskErrorKind, pool_map, pool_try_map, worker};

/// Those that misbehave.
const ODD: usize = 4;

#[worker]
fn double(x: usize) -> usize {
    2 * x
}

/// The pool gives all results but those of some tasks, and goes on.
fn check(pool: &Pool, outcomes: &[Result<usize, poolmap::TaskError>], may_fail: impl Fn(&poolmap::TaskError) -> bool) {
    for (task, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(value) => assert_eq!(*value, 2 * task),
            Err(error) => assert!(task == ODD && may_fail(error), "{error}"),
        }
    }
    assert_eq!(pool_map!(in pool, double, 0..100).unwrap(), Vec::from_iter((0..100).map(|x| 2 * x)));
}

/// Closes all that is open, the standard streams too.
#[worker]
#[allow(unsafe_code, reason = "the fault is what the test is about")]
fn close_everything(x: usize) -> usize {
    if x == ODD {
        for descriptor in 0..1024 {
            // SAFETY: it takes a number and touches no memory.
            unsafe { libc::close(descriptor) };
        }
    }
    2 * x
}

#[poolmap::test]
fn a_task_that_closes_all_descriptors_costs_itself_at_most() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    for chunk_size in [1, 5] {
        let outcomes = pool_try_map!(in &pool, close_everything, 0..20; chunk_size = chunk_size).unwrap();
        check(&pool, &outcomes, |error| matches!(error.kind(), TaskErrorKind::Crashed { .. }));
    }
}

/// Closes the channel, and interrupts whoever waits for it.
#[cfg(target_os = "linux")]
#[worker]
#[allow(unsafe_code, reason = "the fault is what the test is about")]
fn close_and_interrupt(x: usize) -> usize {
    if x == ODD {
        for descriptor in 3..64 {
            // SAFETY: it takes a number and touches no memory.
            unsafe { libc::close(descriptor) };
        }
        for thread in std::fs::read_dir("/proc/self/task").unwrap() {
            let thread: libc::c_long = thread.unwrap().file_name().to_str().unwrap().parse().unwrap();
            let process = libc::c_long::from(std::process::id() as libc::pid_t);
            // SAFETY: the call takes numbers. A worker does nothing about this signal.
            unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::c_long::from(libc::SIGINT)) };
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    2 * x
}

#[cfg(target_os = "linux")]
#[poolmap::test]
fn a_task_that_closes_its_channel_under_a_signal_has_its_result() {
    let _guard = common::guard();
    if !common::shares_memory() {
        return;
    }
    let pool = Pool::builder().workers(2).build().unwrap();
    let doubled = pool_map!(in &pool, close_and_interrupt, 0..20; chunk_size = 1).unwrap();
    assert_eq!(doubled, Vec::from_iter((0..20).map(|x| 2 * x)));
}

/// Becomes another program.
#[worker]
fn become_another(x: usize, program: &str, argument: &str) -> usize {
    if x == ODD {
        let error = Command::new(program).arg(argument).exec();
        panic!("{program} does not start: {error}");
    }
    2 * x
}

#[poolmap::test]
fn a_task_that_becomes_another_program_has_crashed() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    for (program, argument, said) in
        [("true", "", "code 0"), ("false", "", "code 1"), ("sleep", "600", "it closed its channel and went on")]
    {
        let arguments = (std::iter::repeat(program), std::iter::repeat(argument));
        let outcomes = pool_try_map!(in &pool, become_another, 0..10, arguments.0, arguments.1).unwrap();
        assert!(outcomes[ODD].is_err());
        check(&pool, &outcomes, |error| format!("{error:#}").contains(said));
    }
}

/// Writes bytes to whatever is open but the standard streams, and gives its result.
#[worker]
#[allow(unsafe_code, reason = "the fault is what the test is about")]
fn write_bytes(x: usize, bytes: &[u8]) -> usize {
    if x == ODD {
        for descriptor in 3..256 {
            // SAFETY: the pointer and the length are those of bytes that live through the call.
            unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
        }
    }
    2 * x
}

#[poolmap::test]
fn random_bytes_on_the_channel_cost_the_task_that_wrote_them_at_most() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    // xorshift64: the same bytes each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..40 {
        let length = [1, 7, 8, 9, 64, 1000, 100_000][round % 7];
        let mut bytes: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        if round % 2 == 0 {
            // A length that may be right stands at the beginning of a frame.
            bytes.iter_mut().skip(1).take(7).for_each(|byte| *byte = 0);
        }
        let outcomes = pool_try_map!(in &pool, write_bytes, 0..10, std::iter::repeat(&bytes); chunk_size = 3).unwrap();
        check(&pool, &outcomes, |error| format!("{error:#}").contains("it broke the protocol"));
    }
}

#[test]
fn a_flood_of_errors_is_passed_on_and_does_not_hurt() {
    let _guard = common::guard();
    let output = run(program(env!("CARGO_BIN_EXE_scenario")).args(["flood", "1000", "60000"]));
    assert!(output.status.success(), "{}: {}", output.status, text(&output.stdout));
    assert_eq!(text(&output.stdout), "Ok(1000)\n".repeat(4));
    assert_eq!(output.stderr.len(), 4 * 1000 * 1024);
}

#[test]
fn tasks_whose_flood_nobody_reads_are_ended_by_their_limit() {
    let _guard = common::guard();
    // Nobody reads from this, and it holds 64 KiB.
    let (unread, stderr) = std::io::pipe().unwrap();
    let mut command = program(env!("CARGO_BIN_EXE_scenario"));
    command.args(["flood", "1000", "300"]).stdout(Stdio::piped()).stderr(stderr);
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    drop((unread, command));
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{}: {stdout}", output.status);
    assert_eq!(stdout.matches("TimedOut").count(), 4, "{stdout}");
}
