//! Large values: a value is in a process as itself and as its bytes, and no third time (`tests/bin/large_values.rs` tells the peaks);
//! a large output of numbers, or a text, is there as itself alone.
#![cfg(target_os = "linux")]

mod common;

use std::fmt::Debug;

use poolmap::{Counter, Output, Pool, TaskErrorKind, pool_iter, pool_iter_unordered, pool_map, pool_try_map, worker};

const VALUE_MIB: u64 = 128;

/// Twice the value, what buffers grow by, and the program itself.
const PEAK_MIB: u64 = VALUE_MIB * 23 / 10 + 64;
/// The value alone, and the program itself.
const DIRECT_PEAK_MIB: u64 = VALUE_MIB + 64;

#[poolmap::test]
fn a_large_value_is_no_more_than_twice_in_a_process() {
    let _guard = common::guard();
    for transport in ["memory", "socket"] {
        for value in ["argument", "result"] {
            for call in ["map", "apply", "process"] {
                let mut program = common::program(env!("CARGO_BIN_EXE_large_values"));
                program.args([value, call]);
                if transport == "socket" {
                    program.env("POOLMAP_TRANSPORT", "socket");
                }
                let output = common::run(&mut program);
                let stdout = common::text(&output.stdout);
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{transport} {value} {call}: {stdout}{stderr}");
                let peaks: Vec<u64> = stdout.split_whitespace().map(|peak| peak.parse().unwrap()).collect();
                let [parent, worker] = peaks[..] else { panic!("no peaks: {stdout}") };
                println!("{transport} {value} {call}: parent {parent} MiB, worker {worker} MiB");
                let is_direct = (transport, value) == ("memory", "result")
                    && call != "process"
                    && cfg!(target_pointer_width = "64");
                let parent_max = if is_direct && common::shares_memory() { DIRECT_PEAK_MIB } else { PEAK_MIB };
                assert!(
                    parent <= parent_max && worker <= PEAK_MIB,
                    "{transport} {value} {call}: {parent} {worker} MiB"
                );
            }
        }
    }
}

/// The length of each output: none, some that go with others, and some that go by themselves.
const LENGTHS: [usize; 9] = [0, 700_000, 3, 8 << 20, 1 << 20, (5 << 20) + 3, 0, 2 << 20, 6 << 20];

/// So many elements, of which some tell where they stand.
fn marked<T: Clone>(length: usize, other: T, mark: impl Fn(usize) -> T) -> Vec<T> {
    let mut elements = vec![other; length];
    elements.iter_mut().enumerate().step_by(1021).for_each(|(at, element)| *element = mark(at));
    elements
}

#[worker]
fn bytes(length: usize) -> Vec<u8> {
    marked(length, 7, |at| (at / 1021) as u8)
}

#[worker]
fn floats(length: usize) -> Vec<f64> {
    marked(length / 4, -0.5, |at| at as f64 / 3.0)
}

#[worker]
fn halves(length: usize) -> Vec<i16> {
    marked(length, -7, |at| at as i16)
}

#[worker]
fn text(length: usize) -> String {
    "äbc".repeat(length / 4)
}

/// It goes with others: it is no `Vec` by itself.
#[worker]
fn pair(length: usize) -> (Vec<u8>, bool) {
    (bytes(length), true)
}

/// An error of many bytes that begins as such an output does.
#[worker]
fn fails_at_length(length: usize, of: usize) -> Result<Vec<u8>, String> {
    if length == of { Err("x".repeat(length)) } else { Ok(bytes(length)) }
}

fn check<T: PartialEq + Debug>(outputs: &[T], expected: impl Fn(usize) -> T) {
    assert_eq!(outputs.len(), LENGTHS.len());
    for (output, length) in outputs.iter().zip(LENGTHS) {
        // They are too large to be printed.
        assert!(*output == expected(length), "another output of length {length}");
    }
}

#[poolmap::test]
fn large_outputs_come_whole_among_others() {
    let _guard = common::guard();
    let pool = common::pool(2);
    for chunk_size in [1, 3, 9] {
        check(&pool_map!(in &pool, bytes, LENGTHS; chunk_size = chunk_size).unwrap(), bytes);
        check(&pool_map!(in &pool, floats, LENGTHS; chunk_size = chunk_size).unwrap(), floats);
        check(&pool_map!(in &pool, halves, LENGTHS; chunk_size = chunk_size).unwrap(), halves);
        check(&pool_map!(in &pool, text, LENGTHS; chunk_size = chunk_size).unwrap(), text);
        check(&pool_map!(in &pool, pair, LENGTHS; chunk_size = chunk_size).unwrap(), pair);
        let in_order = pool_iter!(in &pool, bytes, LENGTHS; chunk_size = chunk_size).unwrap();
        check(&in_order.map(Result::unwrap).collect::<Vec<_>>(), bytes);
        let mut lengths: Vec<usize> = pool_iter_unordered!(in &pool, text, LENGTHS; chunk_size = chunk_size)
            .unwrap()
            .map(|output| output.unwrap().1.len())
            .collect();
        lengths.sort_unstable();
        let mut expected = LENGTHS.map(|length| length / 4 * 4);
        expected.sort_unstable();
        assert_eq!(lengths, expected);
    }
    assert!(pool.apply(floats { length: 24 << 20 }).unwrap() == floats(24 << 20));
    assert!(pool.submit(text { length: 5 << 20 }).unwrap().join().unwrap() == text(5 << 20));
}

#[poolmap::test]
fn a_large_error_among_large_outputs_is_an_error() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let failing = 6 << 20;
    let outcomes =
        pool_try_map!(in &pool, fails_at_length, LENGTHS, std::iter::repeat_n(failing, 9); chunk_size = 3).unwrap();
    assert_eq!(outcomes.len(), LENGTHS.len());
    for (outcome, length) in outcomes.iter().zip(LENGTHS) {
        match outcome {
            Ok(output) => assert!(length != failing && *output == bytes(length)),
            Err(error) => {
                assert!(length == failing && matches!(error.kind(), TaskErrorKind::Failed(_)));
                assert!(format!("{error:#}").contains("xxxx"));
            }
        }
    }
}

#[poolmap::test]
fn large_outputs_come_with_what_their_tasks_print() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).output(Output::Captured).build().unwrap();
    check(&pool_map!(in &pool, bytes, LENGTHS).unwrap(), bytes);
}

/// A large output, a small one, and a crash.
#[worker]
fn large_small_crash(task: usize, executions: &Counter) -> Vec<u8> {
    executions.add(1 << (16 * task as i64));
    match task {
        0 => bytes(6 << 20),
        1 => bytes(3),
        _ => std::process::abort(),
    }
}

/// The large output is taken by itself, so the worker is dead before what it has finished behind that is taken.
#[poolmap::test]
fn what_is_finished_behind_a_large_output_is_not_lost_with_the_worker() {
    let _guard = common::guard();
    let pool = common::pool(1);
    for round in 0..20 {
        let executions = Counter::new(0).unwrap();
        let shared = std::iter::repeat(&executions);
        let mut outcomes = pool_iter!(in &pool, large_small_crash, 0..3, shared; chunk_size = 3).unwrap();
        let large = outcomes.next().unwrap().unwrap();
        if round % 2 == 0 {
            // Nobody drives meanwhile.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(large == bytes(6 << 20));
        assert!(outcomes.next().unwrap().unwrap() == bytes(3), "round {round}");
        let error = outcomes.next().unwrap().unwrap_err();
        let task = error.task().unwrap();
        assert!(matches!(task.kind(), TaskErrorKind::Crashed { .. }) && task.attempts() == 1, "round {round}: {error}");
        assert_eq!(executions.get(), 1 | 1 << 16 | 1 << 32, "round {round}: a task was executed again");
    }
}
