//! Options out of their range, and values over a limit: errors that name what, where and what to do.

mod common;

use std::time::Duration;

use poolmap::{Pool, TaskErrorKind, pool_iter, pool_map, pool_try_map, worker};

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

#[worker]
fn length(bytes: &[u8]) -> usize {
    bytes.len()
}

#[worker]
fn zeros(length: usize) -> Vec<u8> {
    vec![0; length]
}

#[worker]
fn fail_with(length: usize) -> Result<(), String> {
    Err("e".repeat(length))
}

#[worker]
fn panic_with(length: usize) {
    panic!("{}", "p".repeat(length));
}

#[poolmap::test]
fn a_pool_out_of_range_is_refused() {
    let _guard = common::guard();
    let cases = [
        (Pool::builder().workers(0), "`workers` must be 1 to 4096, got 0"),
        (Pool::builder().workers(4097), "`workers` must be 1 to 4096, got 4097"),
        (Pool::builder().frame_bytes_max(100), "`frame_bytes_max` must be 4096 bytes to 4 GiB - 1 byte, got 100"),
        (Pool::builder().stack_bytes(1), "`stack_bytes` must be 64 KiB to "),
        (
            Pool::builder().startup_timeout(Duration::ZERO),
            "`startup_timeout` must be greater than zero and at most a day, got 0ns",
        ),
        (Pool::builder().startup_timeout(Duration::MAX), "and at most a day, got "),
    ];
    for (builder, said) in cases {
        let error = builder.build().unwrap_err();
        assert!(error.is_invalid_option() && error.to_string().contains(said), "{error}");
    }
}

#[poolmap::test]
fn a_zero_in_a_call_is_refused_before_anything_runs() {
    let _guard = common::guard();
    for error in
        [pool_map!(double, 0..3; chunk_size = 0).unwrap_err(), pool_iter!(double, 0..3; window = 0).err().unwrap()]
    {
        assert!(error.is_invalid_option() && error.to_string().contains("must be greater than zero, got 0"), "{error}");
    }
}

#[poolmap::test]
fn an_argument_or_a_result_over_the_limit_is_that_tasks_error() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).frame_bytes_max(100_000).build().unwrap();
    let sizes = [10, 99_000, 100_001, 99_000, 99_000];
    let arguments = sizes.map(|size| vec![0u8; size]);
    let outcomes = pool_try_map!(in &pool, length, arguments; chunk_size = 5).unwrap();
    let results = pool_try_map!(in &pool, zeros, sizes; chunk_size = 5).unwrap();
    for (task, size) in sizes.into_iter().enumerate() {
        if task == 2 {
            for error in [outcomes[2].as_ref().unwrap_err(), results[2].as_ref().unwrap_err()] {
                assert!(matches!(error.kind(), TaskErrorKind::Encode(_)), "{error}");
                let said = format!("{error:#}");
                assert!(said.contains("frame_bytes_max") && said.contains("`alloc::vec::Vec<u8>`"), "{said}");
            }
        } else {
            assert_eq!(outcomes[task].as_ref().unwrap(), &size);
            assert_eq!(results[task].as_ref().unwrap().len(), size);
        }
    }
}

#[poolmap::test]
fn errors_and_panics_too_large_for_a_frame_arrive_cut() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).frame_bytes_max(4096).build().unwrap();
    for outcome in pool_try_map!(in &pool, panic_with, [10, 100_000]).unwrap() {
        let error = outcome.unwrap_err();
        assert!(matches!(error.kind(), TaskErrorKind::Panicked { .. }), "{error}");
    }
    let outcomes = pool_try_map!(in &pool, fail_with, [10, 100_000]).unwrap();
    let TaskErrorKind::Failed(error) = outcomes[1].as_ref().unwrap_err().kind() else {
        panic!("{:?}", outcomes[1]);
    };
    assert!(error.message().starts_with("eee"));
    assert_eq!(outcomes[0].as_ref().unwrap_err().to_string(), "task 0 of `bad_options::fail_with` (length: 10) failed");
}
