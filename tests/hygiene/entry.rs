//! Tests with workers, in every form of a test.

use poolmap::{pool_map, worker};

#[worker]
fn increment(x: u64) -> u64 {
    x + 1
}

#[poolmap::test]
fn a_test_can_return_a_result() -> Result<(), Box<dyn std::error::Error>> {
    assert_eq!(pool_map!(increment, [1])?, [2]);
    Ok(())
}

#[poolmap::test]
#[should_panic(expected = "as it must")]
fn a_test_can_panic() {
    assert_eq!(pool_map!(increment, [1]).unwrap(), [2]);
    panic!("as it must");
}

#[poolmap::test]
#[ignore = "run with --ignored or --include-ignored"]
fn a_test_can_be_ignored() {
    assert_eq!(pool_map!(increment, [1]).unwrap(), [2]);
}

#[poolmap::test]
fn r#async() {
    assert_eq!(pool_map!(increment, [1]).unwrap(), [2]);
}

#[poolmap::test(crate = ::poolmap)]
fn a_test_can_name_the_crate() {
    #![allow(clippy::items_after_statements)]
    assert_eq!(pool_map!(increment, [1]).unwrap(), [2]);
}

mod within {
    #[poolmap::test]
    fn a_test_can_stand_in_a_module() {
        assert_eq!(poolmap::pool_map!(super::increment, [1]).unwrap(), [2]);
    }
}
