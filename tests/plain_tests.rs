//! A plain `#[test]` has workers if its program has a `#[poolmap::test]`, whichever test runs first, and also in a process of
//! its own, as under nextest.

mod common;

use common::{program, run, text};
use poolmap::{Process, pool_map, worker};

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

/// It is the first by its name, so workers enter by it. What it does as a test is no affair of theirs.
#[poolmap::test]
#[ignore = "it is there to be the first"]
#[should_panic(expected = "as it must")]
fn a_first_test_that_is_ignored_and_panics() {
    panic!("as it must");
}

#[cfg(any())]
#[poolmap::test]
fn a_a_test_that_is_not_compiled() {}

#[poolmap::test]
#[cfg_attr(all(), cfg(any()))]
fn a_b_test_that_is_not_compiled_either() {}

#[test]
fn plain_map() {
    let _guard = common::guard();
    assert_eq!(pool_map!(double, 0..4).unwrap(), [0, 2, 4, 6]);
}

#[test]
fn plain_process() {
    let _guard = common::guard();
    assert_eq!(Process::new(double { x: 21 }).start().unwrap().join().unwrap(), 42);
}

#[test]
fn plain_with_init() {
    poolmap::init();
    plain_map();
}

#[poolmap::test]
fn poolmap_test_that_returns_a_result() -> poolmap::Result<()> {
    let _guard = common::guard();
    assert_eq!(pool_map!(double, [1])?, [2]);
    Ok(())
}

#[test]
fn each_test_passes_alone_and_all_together() {
    let _guard = common::guard();
    let own = std::env::current_exe().unwrap();
    let tests = ["plain_map", "plain_process", "plain_with_init", "poolmap_test_that_returns_a_result"];
    for test in tests {
        let output = run(program(own.to_str().unwrap()).args([test, "--exact"]));
        let stdout = text(&output.stdout);
        assert!(output.status.success() && stdout.contains("1 passed"), "{test}: {stdout}{}", text(&output.stderr));
    }
    let of_all = ["plain_", "poolmap_test_", "--test-threads=1"];
    let output = run(program(own.to_str().unwrap()).args(of_all));
    let stdout = text(&output.stdout);
    assert!(output.status.success() && stdout.contains("4 passed"), "{stdout}{}", text(&output.stderr));
}
